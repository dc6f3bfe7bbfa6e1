"""The servers that `bench.overhead` compares, each a process that takes its port as an argument."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.corpus import REPOSITORY
from bench.load import Result
from tests.ports import free_port

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatagent" / "bench"
PEERS = REPOSITORY / "bench" / "peers"
NOTHING, OURS = "nothing", "agent-runtime"
RETRIEVALS = ("hybrid", "dense")
START_SECONDS = 90.0


@dataclass
class Contestant:
    """A server process, and what it did in all rounds."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    paced: Result = field(default_factory=lambda: Result(0.0))
    """At the fixed rate."""
    full: Result = field(default_factory=lambda: Result(0.0))
    """At full speed."""
    cpu: float = 0.0
    """Seconds of CPU that it spent on `full`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"

    def start(self, passages: Path, log: Path) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its output."""
        self.port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "BENCH_PASSAGES": str(passages),
            # More threads than one only get in each other's way on so few passages.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            **self.environment,
        }
        command = [*self.command, str(self.port)]
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"{self.name} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url, body("When will my order ship?"), headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return self.name == NOTHING or bool(json.load(reply)["choices"])
        except OSError:
            return False

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def cpu_seconds(self) -> float:
        """Return user and system time of the process so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def contestants(names: Sequence[str]) -> list[Contestant]:
    """Return those whose names are given, or all: a server that does nothing, then this runtime,
    then the peers, each with the same hybrid retrieval and with dense search alone."""
    module = [sys.executable, "-m"]
    found = [
        Contestant(NOTHING, [*module, "bench.load", "--trivial"]),
        Contestant(OURS, [*module, "bench.instant"]),
    ]
    for peer in ("haystack", "langchain"):
        for retrieval in RETRIEVALS:
            script = str(PEERS / peer / "serve.py")
            found.append(
                Contestant(f"{peer}, {retrieval}", [script], {"BENCH_RETRIEVAL": retrieval})
            )
    wanted = [each for each in found if not names or each.name in names]
    for each in wanted:
        if each.command[0].endswith("serve.py"):
            each.command.insert(0, str(python_of(each.name.partition(",")[0])))
    return wanted


def python_of(peer: str) -> Path:
    """Return the Python of a peer's environment, named by its pinned requirements and made once."""
    requirements = PEERS / peer / "requirements.txt"
    folder = CACHE / f"{peer}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        find = ["python3", "-m", "dev", "uv"]
        uv = subprocess.check_output(find, cwd=REPOSITORY, text=True).strip()
        make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
        subprocess.run(make, check=True)
        fill = [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)]
        subprocess.run(fill, check=True)
        (folder / "done").touch()
    return python


def body(question: str) -> bytes:
    """Return the request that all of them get."""
    messages = [{"role": "user", "content": question}]
    return json.dumps({"model": "agent", "messages": messages}, ensure_ascii=False).encode()
