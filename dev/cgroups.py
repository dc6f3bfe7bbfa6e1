"""The cgroup below which the kubelet puts all pods: whatever runs in it is ours to end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from dev.conditions import wait_for

ROOT = Path("/sys/fs/cgroup")
CGROUP = "chatagent-dev"


def hierarchies() -> list[Path]:
    """The one tree of version 2, or a tree for each controller of version 1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink())


def ensure() -> None:
    for hierarchy in hierarchies():
        controllers = hierarchy / "cgroup.controllers"
        if hierarchy == ROOT and controllers.exists():
            _delegate(hierarchy, controllers.read_text().split())
        (hierarchy / CGROUP).mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":
            _inherit_cpuset(hierarchy)
        if hierarchy == ROOT:
            _delegate(hierarchy / CGROUP, controllers.read_text().split())


def _delegate(group: Path, controllers: list[str]) -> None:
    for controller in controllers:
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue  # not every controller can be delegated, and the kubelet needs but a few


def _inherit_cpuset(hierarchy: Path) -> None:
    """A new cpuset of version 1 is empty, and no process may enter an empty one."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        (hierarchy / CGROUP / name).write_text((hierarchy / name).read_text())


def processes() -> set[int]:
    pids: set[int] = set()
    for hierarchy in hierarchies():
        for folder, _, files in os.walk(hierarchy / CGROUP):
            if "cgroup.procs" in files:
                pids.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return pids


def end_processes() -> int:
    """Kill all that runs in the pods and wait until it is gone."""
    ended = 0

    def none_left() -> bool:
        nonlocal ended
        left = processes()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                ended += 1
            except ProcessLookupError:
                continue
        return not left

    wait_for("the end of the pods' processes", none_left, timeout=30)
    return ended


def remove() -> None:
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / CGROUP, topdown=False):
            os.rmdir(folder)
