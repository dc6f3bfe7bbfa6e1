"""HAProxy's configuration for one agent's gateway, rendered from a few numbers.

Pure but for reading its own template. What changes at run time is not in it: see commands.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from chatagent_operator.core.routing.routes import SLOTS

FRONTEND = "chat"
"""HAProxy's name of what listens for clients."""

BACKEND = "agent"
"""HAProxy's name of the backend and of the stick table in it."""

CONFIG_FILE = "haproxy.cfg"
SLOTS_MAP_FILE = "slots.map"
"""Keys of the gateway's ConfigMap, and names of the files in the directory it is mounted at."""

LINGER_SECONDS = 5
"""How long a gateway still takes connections once its pod ends: the nodes learn of it meanwhile."""
DRAIN_SECONDS = 120
"""How long streams may go on after that. Not the agent's pods' own time: a change of that would
restart the gateway."""
HARD_STOP_SECONDS = 5
"""How long requests may go on that came when there was no other: see gateway/ending.py."""
ENDING_FILE = "ending"
ENDED_FILE = "ended"
"""Beside the socket: HAProxy's container is to be stopped, and may be."""

REVISION_HEADER = "X-Agent-Revision"
"""Response header that names the revision which answered."""

NOWHERE = "0.0.0.0"  # noqa: S104  an address that no slot in use has
NO_REVISION = "-"

_KEY_LENGTH = 128
_ISSUED_PREFIX_BYTES = len("conv_") + 32 + len("-")
_ISSUED_CONVERSATION = "^conv_[0-9a-f]{32}-[a-z0-9][-a-z0-9.]*$"
"""A name that the runtime gave: its end is the revision that the conversation began on."""


@dataclass(frozen=True)
class Peer:
    """A gateway that shares the table of conversations."""

    name: str
    """Its pod's name: what `haproxy -L` is given there."""
    address: str
    """HOST:PORT. A host name is looked up once, when HAProxy starts, and must be known then."""


@dataclass(frozen=True)
class GatewaySettings:
    """What the operator may choose for a gateway. The defaults fit one CPU and 128 MiB."""

    http_port: int = 8080
    ops_port: int = 8404
    peer_port: int = 8406
    peers: tuple[Peer, ...] = ()
    """All gateways of the agent, this one among them. Empty: it shares its table with nobody."""
    bind_address: str = ""
    """Empty: every IPv4 address. `[::]` in a cluster with IPv6."""
    socket: str = "/run/haproxy/admin.sock"
    config_dir: str = "/etc/haproxy"
    max_connections: int = 2000
    table_entries: int = 100_000
    """Conversations remembered. The oldest is forgotten when there are more."""
    affinity_ttl_seconds: int = 86_400
    stream_timeout_seconds: int = 600
    """Longest silence before and within an answer."""
    connect_timeout_ms: int = 2000
    request_timeout_ms: int = 10_000
    """For the whole of a request to arrive, body included where it is searched."""
    buffer_bytes: int = 65_536
    """Headers and start of the body that are searched for `conversation_id`. A stream holds up
    to two of these while bytes move."""

    @property
    def slots_map(self) -> str:
        """The map as HAProxy knows it: by the path in its configuration."""
        return f"{self.config_dir}/{SLOTS_MAP_FILE}"


@dataclass(frozen=True)
class ErrorAnswer:
    """An answer that HAProxy gives itself, in the same form as the agent's own errors."""

    status: int
    type: str
    code: str
    message: str
    retry_after_seconds: int = 0

    @property
    def body(self) -> str:
        """JSON; it must hold no apostrophe, in which the configuration quotes it."""
        fields = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        return json.dumps({"error": fields})


ERRORS = (
    ErrorAnswer(400, "invalid_request_error", "bad_request", "The request is not valid HTTP."),
    ErrorAnswer(
        408, "invalid_request_error", "request_timeout", "The request did not arrive in time."
    ),
    # No Retry-After on 502 and 504: the request was sent, and a tool may have acted on it.
    ErrorAnswer(502, "server_error", "bad_gateway", "The agent broke off before it answered."),
    ErrorAnswer(
        503, "server_error", "unavailable", "No revision of the agent can be reached now.", 2
    ),
    ErrorAnswer(504, "server_error", "gateway_timeout", "The agent did not answer in time."),
)


@cache
def _template() -> Template:
    source = files("chatagent_operator.core.routing").joinpath("haproxy.cfg.j2").read_text("utf-8")
    # No HTML here: the text goes to HAProxy, and every value is ours or a number.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(source)


def render_haproxy_config(settings: GatewaySettings) -> str:
    """Text of `haproxy.cfg`. Equal settings give equal text."""
    return _template().render(
        vars(settings),
        slots_map=settings.slots_map,
        slots=SLOTS,
        hard_stop_seconds=HARD_STOP_SECONDS,
        frontend=FRONTEND,
        backend=BACKEND,
        errors=ERRORS,
        key_length=_KEY_LENGTH,
        issued_conversation=_ISSUED_CONVERSATION,
        issued_prefix_bytes=_ISSUED_PREFIX_BYTES,
        max_header_bytes=settings.buffer_bytes,
        revision_header=REVISION_HEADER,
        nowhere=NOWHERE,
        nowhere_port=settings.http_port,
    )


def render_slots_map() -> str:
    """Text of `slots.map` at HAProxy's start: what each slot serves, no stable revision and no
    generation yet, and that the other gateways' pins are not here.

    The sidecar keeps it current in HAProxy's memory. So the process itself remembers which
    revision its pins are for, exactly as long as it remembers the pins.
    """
    slots = [f"{slot} {NO_REVISION}\n" for slot in SLOTS]
    return "".join([*slots, f"stable {NO_REVISION}\n", "generation -1\n", "synced 0\n"])


def render_config_files(settings: GatewaySettings) -> dict[str, str]:
    """`data` of the ConfigMap that HAProxy mounts: file name → text."""
    return {CONFIG_FILE: render_haproxy_config(settings), SLOTS_MAP_FILE: render_slots_map()}
