"""A contestant's process: started, measured from /proc, stopped."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.commands import tail
from dev.conditions import wait_for

TICKS = os.sysconf("SC_CLK_TCK")
USER_TIME, SYSTEM_TIME = 11, 12  # counted from the first field after the name in /proc/PID/stat
PATIENCE = 15.0


class Process:
    """Memory is in MiB, CPU time in seconds."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self._log = log
        with log.open("ab") as out:
            self._child = subprocess.Popen(
                argv, env=dict(environment), cwd=folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._proc = Path(f"/proc/{self._child.pid}")

    @property
    def cpu(self) -> float:
        """User and system time since it started."""
        fields = (self._proc / "stat").read_text().rpartition(") ")[2].split()
        return (int(fields[USER_TIME]) + int(fields[SYSTEM_TIME])) / TICKS

    @property
    def memory(self) -> float:
        """Resident now."""
        return self._mebibytes("VmRSS")

    @property
    def peak_memory(self) -> float:
        """Most that was resident since the start."""
        return self._mebibytes("VmHWM")

    def await_answer(self, url: str) -> None:
        """Wait until it answers there with 200."""

        def answers() -> bool:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    return answer.status == 200
            except (OSError, urllib.error.URLError):
                return False

        wait_for(f"an answer of {url}", answers, 90, interval=0.05, complain=self._complain)

    def stop(self) -> None:
        """As Kubernetes does: SIGTERM first."""
        self._child.terminate()
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _complain(self) -> str | None:
        if self._child.poll() is None:
            return None
        return f"it ended with {self._child.returncode}:\n{tail(self._log)}"

    def _mebibytes(self, field: str) -> float:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise ValueError(f"/proc says nothing of {field}")
