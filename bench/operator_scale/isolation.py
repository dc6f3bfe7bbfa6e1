"""Namespaces of the benchmark's own: whatever happens to it, its processes and addresses go.

In the network namespace all addresses of pods are the machine's own, so that a server on loopback
can answer for pods that kwok only pretends to run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from dev.commands import output
from dev.settings import NODE_ADDRESS, POD_CIDR

INSIDE = "BENCH_OPERATOR_SCALE_INSIDE"
PATIENCE = 60.0
"""Seconds for the end of everything that runs inside."""


def is_inside() -> bool:
    """Whether this process has been isolated."""
    return INSIDE in os.environ


def run_isolated(module: str, arguments: Sequence[str]) -> int:
    """Run a module in namespaces of its own, to the end. Returns its exit status."""
    # The kernel ends everything in a process namespace with its first process, and that with us.
    flags = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    bound = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *flags]
    signal.signal(signal.SIGTERM, _interrupt)
    child = subprocess.Popen(
        [*bound, sys.executable, "-m", module, *arguments],
        env={**os.environ, INSIDE: "1"},
        start_new_session=True,
    )
    try:
        return child.wait()
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGTERM)  # for the module: `unshare` itself is deaf to it
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
        return 128 + signal.SIGINT


def enter() -> None:
    """Be the first process of the namespaces: obey signals, and have the addresses of the node and
    of all pods."""
    signal.signal(signal.SIGTERM, _interrupt)
    output(["ip", "link", "set", "lo", "up"])
    output(["ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo"])
    output(["ip", "route", "add", "local", POD_CIDR, "dev", "lo"])


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
