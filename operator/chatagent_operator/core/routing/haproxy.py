"""Renders HAProxy's configuration for an agent's gateway from a few settings.

Pure, except that it reads its own template. What changes at run time is set by gateway/commands.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from chatagent_operator.core.routing.routes import SLOTS

FRONTEND = "chat"
"""Name of HAProxy's frontend for clients."""

BACKEND = "agent"
"""Name of HAProxy's backend and of its stick table."""

CHECKS = "reachable"
"""Name of HAProxy's backend that checks whether a revision can be reached. It serves nothing."""

CONFIG_FILE = "haproxy.cfg"
SLOTS_MAP_FILE = "slots.map"
"""Keys of the gateway's ConfigMap, and names of the files in the directory it is mounted at."""

LINGER_SECONDS = 5
"""How long a terminating gateway pod still accepts connections: until the nodes have updated their
endpoints."""
DRAIN_SECONDS = 120
"""How long streams may continue after that. It does not depend on the grace period of the agent's
pods: a change of that would restart the gateway."""
HARD_STOP_SECONDS = 5
"""How long requests that came without another gateway may continue: see gateway/ending.py."""
ENDING_FILE = "ending"
ENDED_FILE = "ended"
"""Files beside the socket: HAProxy's container is being stopped; it may stop now."""

REVISION_HEADER = "X-Agent-Revision"
"""Response header that names the revision which answered."""

NOWHERE = "0.0.0.0"  # noqa: S104  an address that no slot in use has
NO_REVISION = "-"

_KEY_LENGTH = 128
_ISSUED_PREFIX_BYTES = len("conv_") + 32 + len("-")
_ISSUED_CONVERSATION = "^conv_[0-9a-f]{32}-[a-z0-9][-a-z0-9.]*$"
"""A name that the runtime gave: it ends with the revision that the conversation began on."""


@dataclass(frozen=True)
class Peer:
    """A gateway pod that shares the table of conversations."""

    name: str
    """Name of the pod, which is also the argument of `haproxy -L` there."""
    address: str
    """HOST:PORT. A host name is resolved once, when HAProxy starts, and must exist then."""


@dataclass(frozen=True)
class GatewaySettings:
    """Settings of a gateway. The defaults fit one CPU and 128 MiB."""

    http_port: int = 8080
    ops_port: int = 8404
    peer_port: int = 8406
    peers: tuple[Peer, ...] = ()
    """All gateway pods of the agent, this one included. Empty: the table is not shared."""
    bind_address: str = ""
    """Empty: every IPv4 address. `[::]` in a cluster with IPv6."""
    socket: str = "/run/haproxy/admin.sock"
    config_dir: str = "/etc/haproxy"
    max_connections: int = 2000
    table_entries: int = 100_000
    """Maximum number of conversations in the table. The oldest is removed when it is exceeded."""
    affinity_ttl_seconds: int = 86_400
    stream_timeout_seconds: int = 600
    """Maximum time without data before and within a response."""
    connect_timeout_ms: int = 2000
    request_timeout_ms: int = 10_000
    """Time limit for a request to arrive, with its body if that is searched."""
    buffer_bytes: int = 65_536
    """Size of the headers and of the start of the body that are searched for `conversation_id`. A
    stream uses up to two buffers while it transfers data."""

    @property
    def slots_map(self) -> str:
        """Path of the map in HAProxy's configuration, by which HAProxy identifies it."""
        return f"{self.config_dir}/{SLOTS_MAP_FILE}"


@dataclass(frozen=True)
class ErrorAnswer:
    """A response that HAProxy generates, in the format of the agent's own errors."""

    status: int
    type: str
    code: str
    message: str
    retry_after_seconds: int = 0

    @property
    def body(self) -> str:
        """JSON without apostrophes, because the configuration quotes it in them."""
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
    # No HTML here: the text is read by HAProxy, and every value is our own or a number.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(source)


def render_haproxy_config(settings: GatewaySettings) -> str:
    """Render `haproxy.cfg`. Equal settings give equal text."""
    return _template().render(
        vars(settings),
        slots_map=settings.slots_map,
        slots=SLOTS,
        hard_stop_seconds=HARD_STOP_SECONDS,
        frontend=FRONTEND,
        backend=BACKEND,
        checks=CHECKS,
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
    """Render `slots.map` as it is when HAProxy starts: no slot has a revision, there is no stable
    revision and no generation yet, and the pins of the other gateways are not received.

    The sidecar updates the map in HAProxy's memory. So the process knows which revision its pins
    are for, exactly as long as it keeps the pins.
    """
    slots = [f"{slot} {NO_REVISION}\n" for slot in SLOTS]
    return "".join([*slots, f"stable {NO_REVISION}\n", "generation -1\n", "synced 0\n"])


def render_config_files(settings: GatewaySettings) -> dict[str, str]:
    """Render the `data` of the ConfigMap that HAProxy mounts, by file name."""
    return {CONFIG_FILE: render_haproxy_config(settings), SLOTS_MAP_FILE: render_slots_map()}
