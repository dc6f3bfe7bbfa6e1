"""The address of a collection: which engine it is in, where that is, and the collection's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from agent_runtime.errors import InvalidConfigError

Engine = Literal["chroma", "weaviate", "faiss"]
FORMS = (
    "chroma://HOST:PORT/COLLECTION, weaviate://HOST:PORT/COLLECTION?grpc=PORT "
    "(both also with +https), chroma://COLLECTION for one on this machine, "
    "or faiss:///FOLDER/COLLECTION"
)
PORTS = {"chroma": 8000, "weaviate": 8080}
GRPC_PORT = 50051
TLS_PORT = 443
_SERVERS: dict[str, tuple[Engine, bool]] = {
    "chroma": ("chroma", False),
    "chroma+https": ("chroma", True),
    "weaviate": ("weaviate", False),
    "weaviate+https": ("weaviate", True),
}
_COLLECTION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]")
"""What Chroma takes; the same name must do for every engine."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is. With `tls` the server's certificate is checked."""

    engine: Engine
    collection: str
    host: str = ""
    port: int = 0
    grpc_port: int = 0
    """Weaviate's second port."""
    tls: bool = False
    folder: Path = Path()
    """The folder of a FAISS collection's own folder."""

    @property
    def netloc(self) -> str:
        """`HOST:PORT`, as it stands in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(url: str) -> Address:
    """Read an address. Raises InvalidConfigError, which says what would be right."""
    try:
        parts = urlsplit(url.strip())
        if parts.port == 0:
            raise ValueError("port 0 is none that listens")
    except ValueError as error:
        raise InvalidConfigError(f"vector store address {url!r}: {error}") from error
    if "@" in parts.netloc:
        raise InvalidConfigError(
            "vector store address: it may hold no user or password; give a token apart from it"
        )
    if parts.fragment or (parts.query and parts.scheme not in ("weaviate", "weaviate+https")):
        raise _wrong(url, f"nothing may follow the collection; the forms are {FORMS}")
    if parts.scheme == "faiss":
        return _folder(url, parts)
    if parts.scheme not in _SERVERS:
        raise _wrong(url, f"it begins with no known engine; the forms are {FORMS}")
    return _server(url, parts)


def _server(url: str, parts: SplitResult) -> Address:
    engine, tls = _SERVERS[parts.scheme]
    grpc_port = _grpc_port(url, parts) if engine == "weaviate" else 0
    collection = parts.path.strip("/")
    if not parts.hostname:
        raise _wrong(url, f"it names no host; the forms are {FORMS}")
    if collection:
        host, port = parts.hostname, parts.port or (TLS_PORT if tls else PORTS[engine])
    elif parts.port is None and not tls:
        # Not `hostname`, which is in lower case.
        host, port, collection = "localhost", PORTS[engine], parts.netloc
    else:
        raise _wrong(url, f"it names no collection: {parts.scheme}://{parts.netloc}/COLLECTION")
    return Address(engine, _named(url, collection), host, port, grpc_port, tls)


def _folder(url: str, parts: SplitResult) -> Address:
    path = Path(unquote(parts.path))
    if parts.netloc or len(path.parts) < 3 or ".." in path.parts or "\0" in str(path):
        raise _wrong(
            url, "it needs three slashes, a folder and a collection: faiss:///FOLDER/COLLECTION"
        )
    return Address("faiss", _named(url, path.name), folder=path.parent)


def _grpc_port(url: str, parts: SplitResult) -> int:
    if not parts.query:
        return GRPC_PORT
    given = parse_qsl(parts.query, keep_blank_values=True)
    if [name for name, _ in given] != ["grpc"]:
        raise _wrong(url, "the only thing that may follow the collection is ?grpc=PORT")
    value = given[0][1]
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 65536):
        raise _wrong(url, f"grpc: {value!r} is not a port")
    return int(value)


def _named(url: str, collection: str) -> str:
    if not _COLLECTION.fullmatch(collection):
        raise _wrong(
            url,
            f"the collection's name {collection!r} must have 3 to 512 letters, digits and . _ -, "
            "and begin and end with a letter or digit",
        )
    return collection


def _wrong(url: str, why: str) -> InvalidConfigError:
    return InvalidConfigError(f"vector store address {url!r}: {why}")
