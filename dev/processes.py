"""Starts the cluster's programs, knows them again later, and ends them.

A program is known by its pid together with its start time and the machine's boot: a pid alone may
belong to someone else by the time `down` runs. The record is written by a shell that then becomes
the program, so there is no moment at which a killed `up` leaves a program without a record.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev.commands import Argument
from dev.conditions import wait_for
from dev.settings import Paths

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MAX_LOG = 64 * 2**20
START_TIME_FIELD = 19  # counted from the first field after the name in /proc/PID/stat

RECORD_AND_BECOME = """
record=$1; digest=$2; shift 2
read -r stat < /proc/$$/stat
start=$(set -- ${stat##*) }; echo "${20}")
echo "$$ $start $(cat /proc/sys/kernel/random/boot_id) $digest" > "$record.new"
mv "$record.new" "$record"
exec "$@"
"""


@dataclass(frozen=True)
class Program:
    """`inputs` is what else it was configured by; a change of it or of argv means a restart."""

    name: str
    argv: Sequence[Argument]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    inputs: str = ""

    def digest(self) -> str:
        words = [str(word) for word in self.argv]
        text = "\0".join([*words, *sorted(map(str, self.environment.items())), self.inputs])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    pid: int
    start_time: str
    boot: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Record | None:
        words = text.split()
        if len(words) != 4 or not words[0].isdigit():
            return None
        return cls(int(words[0]), *words[1:])


def start_time(pid: int) -> str | None:
    """In clock ticks since the boot; None for a process that is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(") ")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[START_TIME_FIELD]


class Processes:
    """The programs of one cluster, by name."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        # Meant to outlive us; kept only so that Python does not warn of children left behind.
        self._children: list[subprocess.Popen[bytes]] = []

    def names(self) -> list[str]:
        return sorted(path.stem for path in self._paths.records.glob("*.pid"))

    def running(self, name: str) -> Record | None:
        path = self._record_path(name)
        record = Record.parse(path.read_text()) if path.exists() else None
        if record is None or record.boot != BOOT_ID.read_text().strip():
            return None
        return record if start_time(record.pid) == record.start_time else None

    def ensure(self, program: Program) -> str:
        """Start it unless it runs just so. Returns "started", "restarted" or "reused"."""
        record = self.running(program.name)
        if record is not None and record.digest == program.digest():
            return "reused"
        known = self._record_path(program.name).exists()
        if record is not None:
            self.stop(program.name)
        self._start(program)
        return "restarted" if known else "started"

    def stop(self, name: str, patience: float = 5) -> bool:
        """End it and wait until it is gone. Returns whether it ran. An API server with watchers
        would take a minute to end by itself; it loses nothing by a kill."""
        record = self.running(name)
        if record is not None:
            end_process(record.pid, record.start_time, patience)
        self._record_path(name).unlink(missing_ok=True)
        return record is not None

    def log(self, name: str) -> Path:
        return self._paths.logs / f"{name}.log"

    def _record_path(self, name: str) -> Path:
        return self._paths.records / f"{name}.pid"

    def _start(self, program: Program) -> None:
        self._paths.records.mkdir(parents=True, exist_ok=True)
        self._paths.logs.mkdir(parents=True, exist_ok=True)
        log = self.log(program.name)
        if log.exists() and log.stat().st_size > MAX_LOG:
            log.replace(log.with_suffix(".log.1"))
        words = [str(word) for word in program.argv]
        record = self._record_path(program.name)
        with log.open("ab") as out:
            child = subprocess.Popen(
                ["/bin/sh", "-c", RECORD_AND_BECOME, "sh", record, program.digest(), *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(program.environment),
                cwd="/",
                start_new_session=True,
            )
        self._children.append(child)
        wait_for(
            f"the start of {program.name}",
            lambda: child.poll() is not None or self._is_recorded(program.name, child.pid),
            timeout=10,
            interval=0.005,
        )

    def _is_recorded(self, name: str, pid: int) -> bool:
        path = self._record_path(name)
        record = Record.parse(path.read_text()) if path.exists() else None
        return record is not None and record.pid == pid


def end_process(pid: int, started: str, patience: float) -> None:
    """SIGTERM, then SIGKILL. The descriptor makes sure that the signal meets the right process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if start_time(pid) != started:
            return
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], seconds)[0]:
                return
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
