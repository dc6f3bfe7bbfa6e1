"""The connection to a Weaviate server: made when needed, dropped after any failure, so that the
next call starts anew and says at once whether the server is there.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from grpc import ChannelCredentials, ssl_channel_credentials
from grpc.aio import AioRpcError
from weaviate import WeaviateAsyncClient
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.config import GrpcConfig, Proxies
from weaviate.connect import ConnectionParams

from agent_runtime.errors import AgentError, InvalidConfigError, VectorStoreUnavailableError
from agent_runtime.stores import failures
from agent_runtime.stores.address import Address

CONNECT_SECONDS = 5
CALL_SECONDS = 10
LONGEST_CLASS = 255


def class_name(collection: str) -> str:
    """Return the class that holds a collection, one for each name.

    A class's name is letters, digits and _ and begins with a capital; two that differ in case only
    are the same to Weaviate. So everything but small letters and digits is written as _ and two
    hexadecimal digits. Raises InvalidConfigError where the outcome is too long.
    """
    name = "C" + re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found[0]):02x}", collection)
    if len(name) > LONGEST_CLASS:
        raise InvalidConfigError(
            f"vector store address: the collection's name {collection!r} is too long for Weaviate"
        )
    return name


@dataclass(slots=True)
class _Open:
    client: WeaviateAsyncClient
    calls: int = 0
    """Calls under way: the last one closes a client that was dropped."""


class WeaviateConnection:
    """Hands out a connected client and turns its failures into ours."""

    def __init__(self, address: Address, token: str | None) -> None:
        self._address = address
        self._token = token
        self._open: _Open | None = None
        self._connecting = asyncio.Lock()

    @asynccontextmanager
    async def calling(self, seconds: float) -> AsyncGenerator[WeaviateAsyncClient]:
        """Bound a call in time. Raises VectorStoreUnavailableError, or what the caller raises."""
        used: _Open | None = None
        try:
            async with asyncio.timeout(seconds):
                used = await self._connected()
                used.calls += 1
                yield used.client
        except AgentError:
            raise
        except Exception as error:  # several libraries' own
            if used is not None and used is self._open:
                self._open = None
            lasting, advice = failures.judge(error)
            raise VectorStoreUnavailableError(
                f"the vector store at {self._address.netloc}: {_reason(error)}{advice}", lasting
            ) from error
        finally:
            if used is not None:
                used.calls -= 1
                await self._close_dropped(used)

    async def close(self) -> None:
        """Close the connection once no call uses it."""
        dropped, self._open = self._open, None
        if dropped is not None:
            await self._close_dropped(dropped)

    async def _close_dropped(self, used: _Open) -> None:
        if used is not self._open and used.calls == 0:
            await used.client.close()

    async def _connected(self) -> _Open:
        async with self._connecting:
            if self._open is None:
                client = self._client()
                try:
                    await client.connect()
                except BaseException:
                    await client.close()
                    raise
                self._open = _Open(client)
            return self._open

    def _client(self) -> WeaviateAsyncClient:
        address = self._address
        host = address.netloc.rpartition(":")[0]
        return WeaviateAsyncClient(
            ConnectionParams.from_params(
                http_host=host,
                http_port=address.port,
                http_secure=address.tls,
                grpc_host=host,
                grpc_port=address.grpc_port,
                grpc_secure=address.tls,
            ),
            auth_client_secret=Auth.api_key(self._token) if self._token else None,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=CONNECT_SECONDS, query=CALL_SECONDS, insert=CALL_SECONDS),
                grpc_config=GrpcConfig(credentials=_roots() if address.tls else None),
                # Leaves certificates and proxies to httpx, which heeds NO_PROXY; the client
                # would read the proxies itself and does not.
                trust_env=True,
                proxies=Proxies(),
            ),
            skip_init_checks=True,
        )


def _reason(error: BaseException) -> str:
    """Return the words of the first cause; the client's own often say nothing."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = error.details() if isinstance(error, AioRpcError) else str(error)
    return (words or "").strip() or type(error).__name__


def _roots() -> ChannelCredentials:
    """Return credentials that trust what Python trusts, SSL_CERT_FILE included."""
    trusted = ssl.get_default_verify_paths().cafile
    return ssl_channel_credentials(Path(trusted).read_bytes() if trusted else None)
