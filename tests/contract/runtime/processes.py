"""The real programs of the runtime's tests, as processes on loopback that end by their id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

import httpx

from tests.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
KNOWLEDGE = REPOSITORY / "examples" / "quickstart" / "knowledge"
T = TypeVar("T")
DEADLINE = 90.0
"""Seconds: a busy machine is slow, and a hung process must not hang the tests."""
INGESTING = 300.0
"""The same for an ingestion, which embeds every document."""


def until(ask: Callable[[], T | None], what: str, patience: float = DEADLINE) -> T:
    """Ask again and again until there is an answer."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.02)
    raise TimeoutError(what)


@cache
def built(program: str) -> str:
    """Return where a program is that the project builds, the first time it is asked for. That
    takes minutes."""
    command = [sys.executable, "-m", "dev", "bin", program]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


@dataclass
class Program:
    """A process with its output in a file."""

    patience = DEADLINE  # of `wait`, in seconds
    command: list[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log.parent,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), **self.environment},
                stdout=output,
                stderr=output,
            )

    def until(self, ask: Callable[[], T | None], patience: float = DEADLINE) -> None:
        """Wait until it answers. It ends where it does not, and its log says why."""

        def alive() -> T | None:
            assert self.process is not None
            assert self.process.poll() is None, "it has ended"
            return ask()

        try:
            until(alive, "it does not answer", patience)
        except BaseException as error:
            self.stop()
            error.add_note(f"{self.command}: {self.log.read_text()[-2000:]}")
            raise

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(self.patience)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)


class Chroma(Program):
    """A Chroma server; its data stays where it is when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        chroma = str(Path(sys.executable).with_name("chroma"))
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        data = str(folder / "chroma")
        super().__init__([chroma, "run", "--path", data, *address], folder / "chroma.log")

    def start(self) -> None:
        super().start()
        self.until(self._heartbeat)

    def _heartbeat(self) -> bool | None:
        try:
            url = f"http://127.0.0.1:{self.port}/api/v2/heartbeat"
            return httpx.get(url, timeout=5).is_success or None
        except httpx.TransportError:
            return None

    def url(self, collection: str) -> str:
        return f"chroma://127.0.0.1:{self.port}/{collection}"


def agent_runtime(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agent_runtime", *arguments]


class Agent(Program):
    """`agent-runtime serve`."""

    def __init__(self, folder: Path, models: Path, store: str, drain: float = 0.0) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.termination = folder / "serve-termination.json"
        config = folder / "agent.yaml"
        config.touch()
        flags = ["--vector-store", store, "--models", str(models), "--revision", "rev-1"]
        flags += ["--host", "127.0.0.1", "--port", str(self.port), "--drain", str(drain)]
        super().__init__(
            agent_runtime("serve", str(config), *flags),
            folder / f"serve-{self.port}.log",
            {"AGENT_TERMINATION_LOG": str(self.termination)},
        )

    def ready(self) -> dict[str, object] | None:
        """Return /readyz with its status code, or None before it listens."""
        try:
            reply = httpx.get(f"{self.base}/readyz", timeout=5)
        except httpx.TransportError:
            return None
        return {"code": reply.status_code, **reply.json()}

    def becomes(self, **wanted: object) -> dict[str, object]:
        """Wait until /readyz says this."""

        def said() -> dict[str, object] | None:
            now = self.ready()
            return now if now and wanted.items() <= now.items() else None

        return until(said, f"{wanted}; last: {self.ready()}; {self.log.read_text()[-2000:]}")

    def ask(self, question: str, **body: object) -> httpx.Response:
        messages = [{"role": "user", "content": question}]
        url = f"{self.base}/v1/chat/completions"
        return httpx.post(url, json={"messages": messages, **body}, timeout=30)

    def answer(self, question: str) -> str:
        reply = self.ask(question)
        reply.raise_for_status()
        return str(reply.json()["choices"][0]["message"]["content"])


class Ingestion(Program):
    """`agent-runtime ingest` of a folder."""

    patience = INGESTING

    def __init__(self, folder: Path, models: Path, store: str, source: Path) -> None:
        self.report = folder / "report.json"
        config = folder / "agent.yaml"
        config.touch()
        flags = ["--vector-store", store, "--models", str(models), "--source", f"shop={source}"]
        flags += ["--report", str(self.report)]
        super().__init__(agent_runtime("ingest", str(config), *flags), folder / "ingest.log")

    def run(self) -> dict[str, object]:
        """Run to the end and return the report."""
        self.start()
        code = self.wait()
        report = json.loads(self.report.read_text())
        assert (code == 0) == ("reason" not in report), self.log.read_text()
        return report
