"""Namespaces of the benchmark's own: whatever happens to it, its processes and addresses go.

In the network namespace all addresses of pods are the machine's own, so that a server on loopback
can answer for pods that kwok only pretends to run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from dev.commands import output
from dev.settings import NODE_ADDRESS, POD_CIDR

INSIDE = "BENCH_OPERATOR_SCALE_INSIDE"


def is_inside() -> bool:
    """Whether this process has been isolated."""
    return INSIDE in os.environ


def isolate(module: str, arguments: Sequence[str]) -> None:
    """Become the same program in namespaces of its own. Does not return."""
    os.environ[INSIDE] = "1"
    # The kernel ends everything in a process namespace with its first process.
    flags = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["unshare", *flags, sys.executable, "-m", module, *arguments]
    os.execvp(command[0], command)  # noqa: S606


def configure_network() -> None:
    """Give the namespace the addresses of the node and of all pods."""
    output(["ip", "link", "set", "lo", "up"])
    output(["ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "lo"])
    output(["ip", "route", "add", "local", POD_CIDR, "dev", "lo"])
