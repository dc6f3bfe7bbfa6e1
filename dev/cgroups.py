"""The cgroup below which the kubelet puts all pods: whatever runs in it is ours to end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from dev.conditions import wait_for

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """The one tree of version 2, or a tree for each controller of version 1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink())


def ensure(name: str) -> None:
    for hierarchy in hierarchies():
        controllers = hierarchy / "cgroup.controllers"
        if hierarchy == ROOT and controllers.exists():
            _delegate(hierarchy, controllers.read_text().split())
        (hierarchy / name).mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":
            _inherit_cpuset(hierarchy, hierarchy / name)
        if hierarchy == ROOT:
            _delegate(hierarchy / name, controllers.read_text().split())


def _delegate(group: Path, controllers: list[str]) -> None:
    for controller in controllers:
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue  # not every controller can be delegated, and the kubelet needs but a few


def _inherit_cpuset(parent: Path, group: Path) -> None:
    """A new cpuset of version 1 is empty, and no process may enter an empty one."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        (group / name).write_text((parent / name).read_text())


def processes(name: str) -> set[int]:
    pids: set[int] = set()
    for hierarchy in hierarchies():
        for folder, _, files in os.walk(hierarchy / name):
            if "cgroup.procs" in files:
                pids.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return pids


def end_processes(name: str) -> int:
    """Kill all that runs in the pods and wait until it is gone."""
    ended = 0

    def none_left() -> bool:
        nonlocal ended
        left = processes(name)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                ended += 1
            except ProcessLookupError:
                continue
        return not left

    wait_for("the end of the pods' processes", none_left, timeout=30)
    return ended


def remove(name: str) -> None:
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            os.rmdir(folder)
