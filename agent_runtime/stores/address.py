"""The address of a collection, `chroma://HOST:PORT/COLLECTION`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_runtime.errors import InvalidConfigError

SCHEMES = {"chroma": False, "chroma+https": True}
_COLLECTION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")
"""What Chroma takes."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is. `chroma+https://` speaks TLS and checks the certificate."""

    host: str
    port: int
    collection: str
    tls: bool


def parse(url: str) -> Address:
    """Read an address. Raises InvalidConfigError, which says what is wrong with it."""
    parts = urlsplit(url)
    tls = SCHEMES.get(parts.scheme)
    collection = parts.path.strip("/")
    try:
        port = parts.port or (443 if tls else 8000)
    except ValueError as error:
        raise InvalidConfigError(f"vector store address {url!r}: {error}") from error
    if collection and not _COLLECTION.fullmatch(collection):
        raise InvalidConfigError(
            f"vector store address {url!r}: the collection's name has 3 to 512 letters, digits "
            "and . _ -, and begins and ends with a letter or digit"
        )
    if tls is None or not parts.hostname or not collection:
        wanted = "chroma://HOST:PORT/COLLECTION or chroma+https://HOST:PORT/COLLECTION"
        raise InvalidConfigError(f"vector store address {url!r} is not {wanted}")
    return Address(parts.hostname, port, collection, tls)
