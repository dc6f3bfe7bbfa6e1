"""Where Redis is, from AGENT_REDIS: `redis://HOST:PORT/DATABASE`, or `rediss://` with TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from agent_runtime.errors import InvalidConfigError

FORMS = "redis://HOST:PORT/DATABASE or, with TLS, rediss://HOST:PORT/DATABASE?ssl_ca_certs=FILE"


@dataclass(frozen=True, slots=True)
class Address:
    """One Redis server. With `tls` its certificate is checked."""

    host: str
    port: int = 6379
    database: int = 0
    tls: bool = False
    authority: str | None = None
    """File with the certificates to trust. None: the system's."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def netloc(self) -> str:
        """`HOST:PORT`, without any secret."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: str, password: str | None = None) -> Address:
    """Read an address; `password` counts where the URL has none.

    Raises:
        InvalidConfigError: it says what would be right and holds no password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise InvalidConfigError(f"AGENT_REDIS: the port is wrong; the form is {FORMS}") from error
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise InvalidConfigError(f"AGENT_REDIS: the form is {FORMS}")
    if port == 0 or parts.fragment:
        raise InvalidConfigError(f"AGENT_REDIS: the form is {FORMS}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    authority = options.pop("ssl_ca_certs", None) or None
    if options or (authority and parts.scheme == "redis"):
        raise InvalidConfigError(
            "AGENT_REDIS: the only option is ssl_ca_certs, and only for rediss://"
        )
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdigit()):
        raise InvalidConfigError(f"AGENT_REDIS: {database!r} is no database; the form is {FORMS}")
    return Address(
        host=parts.hostname,
        port=port or 6379,
        database=int(database or 0),
        tls=parts.scheme == "rediss",
        authority=authority,
        user=unquote(parts.username) if parts.username else None,
        password=(unquote(parts.password) if parts.password else None) or password,
    )
