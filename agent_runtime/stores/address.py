"""The address of a collection, `chroma://HOST:PORT/COLLECTION`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_runtime.errors import InvalidConfig

SCHEMES = {"chroma": False, "chroma+https": True}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is. `chroma+https://` speaks TLS and checks the certificate."""

    host: str
    port: int
    collection: str
    tls: bool


def parse(url: str) -> Address:
    """Read an address. Raises InvalidConfig, which says what is wrong with it."""
    parts = urlsplit(url)
    tls = SCHEMES.get(parts.scheme)
    collection = parts.path.strip("/")
    try:
        port = parts.port or (443 if tls else 8000)
    except ValueError as error:
        raise InvalidConfig(f"vector store address {url!r}: {error}") from error
    if tls is None or not parts.hostname or not collection or "/" in collection:
        wanted = "chroma://HOST:PORT/COLLECTION or chroma+https://HOST:PORT/COLLECTION"
        raise InvalidConfig(f"vector store address {url!r} is not {wanted}")
    return Address(parts.hostname, port, collection, tls)
