"""The one connection to Redis, which never makes anybody wait long.

A call has 50 ms. Where Redis does not answer, all calls fail at once until a probe in the
background gets an answer, so that a dead or half-open Redis costs the calls of one moment and no
more. The probe comes at once and is patient: after a mere pause it is over within milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from agent_runtime.errors import StateUnavailableError
from agent_runtime.state.address import Address

log = logging.getLogger(__name__)
T = TypeVar("T")
Client = Any
"""The client. Its own types are unions of all ways to decode."""

CALL_SECONDS = 0.05
PROBE_SECONDS = 1.0
WATCH_SECONDS = 2.0
"""How often it is asked whether it is well, so that the first to notice is no user."""
RETRY_SECONDS = 0.5
CONNECTIONS = 32


class RedisState:
    """A client that knows whether Redis is well. Connects on first use."""

    def __init__(self, address: Address, call_seconds: float = CALL_SECONDS) -> None:
        self._address = address
        self._seconds = call_seconds
        self._redis: Redis = Redis.from_pool(_pool(address))
        self._watching: asyncio.Task[None] | None = None
        self._noticed = asyncio.Event()
        self._down: str | None = None
        self._refuses: str | None = None
        self._said: str | None = None

    @property
    def healthy(self) -> bool:
        """Whether it answers and stores what it is given."""
        return self.trouble is None

    @property
    def trouble(self) -> str | None:
        """What is wrong with it, in words without secrets."""
        return self._down or self._refuses

    async def call(
        self,
        operation: Callable[[Client], Awaitable[T]],
        seconds: float | None = None,
        *,
        write: bool = False,
    ) -> T:
        """Do something with the client. Raises StateUnavailableError within its time.

        Args:
            operation: what to do.
            seconds: how long it may take where that is longer than for other calls.
            write: whether it shows that what is stored is taken.
        """
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        if self._down is not None:
            raise StateUnavailableError(self._down)
        try:
            async with asyncio.timeout(max(seconds or 0.0, self._seconds)):
                done = await operation(self._redis)
        except ResponseError as error:
            # It answers, and refuses: out of memory, read-only, or a value of another kind.
            self._refuses = self._words(error)
            self._say(self._refuses)
            raise StateUnavailableError(self._refuses) from error
        except (RedisError, OSError, TimeoutError) as error:
            self._down = self._words(error)
            self._noticed.set()
            raise StateUnavailableError(self._down) from error
        if write and self._refuses is not None:
            self._refuses = None
            self._say(None)
        return done

    async def start(self) -> None:
        """Find out whether it is there, before anybody asks."""
        with contextlib.suppress(StateUnavailableError):
            await self.call(_ping, PROBE_SECONDS)

    async def aclose(self) -> None:
        """Close its connections."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._redis.aclose(close_connection_pool=True)

    async def _watch(self) -> None:
        """Ask now and then, and at once when a call has failed."""
        while True:
            try:
                async with asyncio.timeout(WATCH_SECONDS if self._down is None else RETRY_SECONDS):
                    await self._noticed.wait()
            except TimeoutError:
                pass
            self._noticed.clear()
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await _ping(self._redis)
            except Exception as error:  # whatever it is, it is asked again
                self._down = self._words(error)
                self._say(self._down)
            else:
                self._down = None
                self._say(self._refuses)

    def _say(self, trouble: str | None) -> None:
        if trouble == self._said:
            return
        self._said = trouble
        if trouble is None:
            log.info("Redis at %s is well again", self._address.netloc)
        else:
            log.warning("%s", trouble)

    def _words(self, error: Exception) -> str:
        what = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        return f"Redis at {self._address.netloc}: {what or type(error).__name__}"


async def _ping(redis: Client) -> None:
    await redis.execute_command("PING")


def _pool(address: Address) -> BlockingConnectionPool:
    tls: dict[str, Any] = {
        "connection_class": SSLConnection,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": address.authority,
    }
    return BlockingConnectionPool(
        max_connections=CONNECTIONS,
        timeout=PROBE_SECONDS,
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.user,
        password=address.password,
        # Our own limits are around every call, and our own probe is the retry.
        socket_timeout=None,
        socket_connect_timeout=PROBE_SECONDS,
        retry=Retry(NoBackoff(), 0),
        **(tls if address.tls else {}),
    )
