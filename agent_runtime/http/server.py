"""Running the application until SIGTERM, and then to the end of what is in flight.

A pod that is being deleted still gets requests for a moment, until its endpoint is gone
everywhere: so it says "not ready" first, goes on serving, and closes its socket after that.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


class DrainingServer(uvicorn.Server):
    """A server whose exit code after SIGTERM is 0."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None], delay: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._delay = delay
        self._stopping = False

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Replaces uvicorn's own, which stops listening at once and then kills the process."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop, loop)
        yield

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._stopping:
            self.should_exit = True
            return
        self._stopping = True
        self._drain()
        loop.call_later(self._delay, setattr, self, "should_exit", True)


def run(app: ASGIApp, host: str, port: int, drain: Callable[[], None], delay: float) -> None:
    """Serve until told to stop. `delay` is in seconds, between "not ready" and the end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        log_config=None,
    )
    DrainingServer(config, drain, delay).run()
