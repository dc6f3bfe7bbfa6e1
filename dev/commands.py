"""Runs other programs: their output goes to a log file whose tail is shown when they fail."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dev.errors import DevError

TAIL_LINES = 20
Argument = str | Path


class CommandRunner:
    """Starts commands and can end all of them, also from another thread."""

    def __init__(self) -> None:
        self._children: set[subprocess.Popen[bytes]] = set()
        self._mutex = threading.Lock()
        self._cancelled = threading.Event()

    def run(
        self,
        argv: Sequence[Argument],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        watch: Callable[[float], None] | None = None,
        interruptible: bool = True,
    ) -> None:
        """Run to the end. `watch` is called every 15 s with the seconds gone by.

        A command dies with this process, so that a killed `up` leaves nothing behind that the next
        one would compete with; `interruptible=False` is for dpkg, which had better end its work.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(word) for word in argv]
        prefix = ["setpriv", "--pdeathsig", "KILL", "--"] if interruptible else []
        with log.open("ab") as out:
            out.write(f"\n$ {shlex.join(words)}\n".encode())
            out.flush()
            start = out.tell()
            with self._mutex:
                if self._cancelled.is_set():
                    raise DevError(f"{words[0]}: not started, another task failed")
                child = subprocess.Popen(
                    prefix + words,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=folder,
                    start_new_session=not interruptible,
                )
                if interruptible:
                    self._children.add(child)
        try:
            code = _wait(child, watch)
        finally:
            with self._mutex:
                self._children.discard(child)
        if code != 0:
            raise DevError(failure(words, code, log, start))

    def cancel(self) -> None:
        """End all commands that run, and let no other start."""
        with self._mutex:
            self._cancelled.set()
            for child in self._children:
                child.send_signal(signal.SIGTERM)

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()


def _wait(child: subprocess.Popen[bytes], watch: Callable[[float], None] | None) -> int:
    started = time.monotonic()
    while True:
        try:
            return child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            if watch is not None:
                watch(time.monotonic() - started)


def require_root() -> None:
    if os.geteuid() != 0:
        raise DevError(
            "this needs root, for network namespaces, mounts and cgroups; run it with `sudo -E`"
        )


def output(argv: Sequence[Argument], *, stdin: str | None = None) -> str:
    """The standard output of a short command."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise DevError(f"{words[0]}: not found; run `python3 -m dev up` first") from missing
    if done.returncode != 0:
        raise DevError(f"{shlex.join(words)} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def succeeds(argv: Sequence[Argument]) -> bool:
    words = [str(word) for word in argv]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def tail(log: Path, lines: int = TAIL_LINES, start: int = 0) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 64 * 1024))
        text = file.read().decode(errors="replace")
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def failure(words: Sequence[str], code: int, log: Path, start: int) -> str:
    text = f"{words[0]} failed ({code}); the end of {log}:\n{tail(log, start=start)}"
    free = shutil.disk_usage(log.parent).free
    if "No space left on device" in tail(log, 200, start) or free < 200 * 2**20:
        text += f"\nThe disk is full: {free // 2**20} MiB are free below {log.parent}."
    return text


def explain(error: OSError) -> str:
    """An operating system's error in the words of a person who has to act on it."""
    if error.errno == errno.ENOSPC:
        return f"The disk is full: {error.filename or os.getcwd()}"
    return str(error)
