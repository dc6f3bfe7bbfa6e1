"""The stores that the suite runs over: real servers, a folder, and TLS in front of a server."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.runtime.processes import Program, built
from tests.ports import free_port


class Store(Protocol):
    """Something that collections are in."""

    def url(self, collection: str) -> str: ...


class Server(Store, Protocol):
    """A store that a test may stop; its data stays where it is."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Folder:
    """FAISS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def url(self, collection: str) -> str:
        return f"faiss://{self.folder}/{collection}"


class Weaviate(Program):
    """A node alone. `key`: the one that clients must have."""

    def __init__(self, folder: Path, key: str = "") -> None:
        self.port, self.grpc_port = free_port(), free_port()
        raft, internal, gossip, data = (free_port() for _ in range(4))
        environment = {
            "PERSISTENCE_DATA_PATH": str(folder / "weaviate"),
            "DISABLE_TELEMETRY": "true",
            "DEFAULT_VECTORIZER_MODULE": "none",
            "GO_PROFILING_DISABLE": "true",
            "LOG_LEVEL": "warning",
            "GRPC_PORT": str(self.grpc_port),
            "CLUSTER_HOSTNAME": "alone",
            "CLUSTER_BIND_ADDR": "127.0.0.1",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
            "CLUSTER_DATA_BIND_PORT": str(data),
            "RAFT_PORT": str(raft),
            "RAFT_INTERNAL_RPC_PORT": str(internal),
            "RAFT_JOIN": f"alone:{raft}",
            "RAFT_BOOTSTRAP_EXPECT": "1",
            "RAFT_TIMEOUTS_MULTIPLIER": "1",
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false" if key else "true",
        }
        if key:
            environment |= {
                "AUTHENTICATION_APIKEY_ENABLED": "true",
                "AUTHENTICATION_APIKEY_ALLOWED_KEYS": key,
                "AUTHENTICATION_APIKEY_USERS": "agent",
                "AUTHORIZATION_ADMINLIST_ENABLED": "true",
                "AUTHORIZATION_ADMINLIST_USERS": "agent",
            }
        address = ["--scheme", "http", "--host", "127.0.0.1", "--port", str(self.port)]
        super().__init__([built("weaviate-server"), *address], folder / "weaviate.log", environment)

    def start(self) -> None:
        super().start()
        self.until(self._ready)

    def _ready(self) -> bool | None:
        try:
            url = f"http://127.0.0.1:{self.port}/v1/.well-known/ready"
            return httpx.get(url, timeout=5).is_success or None
        except httpx.TransportError:
            return None

    def url(self, collection: str) -> str:
        return f"weaviate://127.0.0.1:{self.port}/{collection}?grpc={self.grpc_port}"


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that signs itself; its key is in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a store")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "store.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


@asynccontextmanager
async def tls_before(port: int, pem: Path) -> AsyncGenerator[int]:
    """Serve a plain port over TLS. Yields the new port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["h2", "http/1.1"])

    open_now: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while received := await reader.read(65536):
                writer.write(received)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        finally:
            for each in (inner_writer, writer):
                each.transport.abort()
                with suppress(ConnectionError, ssl.SSLError):
                    await each.wait_closed()
            open_now.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # A client that keeps its connection open would leave them to the end of the loop.
        for task in tuple(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
