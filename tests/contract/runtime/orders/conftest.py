"""The order system of examples/orders as real processes on loopback."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.runtime.processes import REPOSITORY, Program
from tests.ports import free_port

ORDERS = REPOSITORY / "examples" / "orders"
TODAY = "2026-06-15"
TOKEN = "a-token-for-tests"


class Orders(Program):
    """One of its servers. The database stays when it is started again."""

    def __init__(self, folder: Path, module: str, token: str | None = None) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        flags = ["--port", str(self.port), "--database", str(folder / "orders.db")]
        environment = {"PYTHONPATH": str(ORDERS), "ORDERS_TOKEN": token or ""}
        command = [sys.executable, "-m", module, *flags, "--today", TODAY]
        super().__init__(command, folder / f"{module}-{self.port}.log", environment)

    def start(self) -> None:
        super().start()
        self.until(self._listens)

    def _listens(self) -> bool | None:
        try:
            return httpx.get(f"{self.base}/healthz", timeout=5).status_code < 500 or None
        except httpx.TransportError:
            return None


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Callable[..., Orders]]:
    """Start a server on the test's database; it ends with the test."""
    started: list[Orders] = []

    def start(module: str = "orders.server", token: str | None = None) -> Orders:
        started.append(Orders(tmp_path, module, token))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def http(starting: Callable[..., Orders]) -> Iterator[httpx.Client]:
    """A client of a fresh order system."""
    with httpx.Client(base_url=starting().base, timeout=30) as client:
        yield client


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Python tools, imported from the checkout as an agent's image imports them."""
    monkeypatch.syspath_prepend(str(ORDERS))
    return importlib.import_module("orders.tools")
