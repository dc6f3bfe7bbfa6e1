"""What is mounted below a folder of ours, and how to undo it."""

from __future__ import annotations

from pathlib import Path

from dev.commands import succeeds
from dev.errors import DevError

MOUNTINFO = Path("/proc/self/mountinfo")


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Mount point and file system type of each line, in the order in which they were mounted."""
    mounts: list[tuple[str, str]] = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4]
        mounts.append((point.encode().decode("unicode_escape"), after.split(" ")[0]))
    return mounts


def mounts_below(folder: Path) -> list[str]:
    """Deepest last, as mounted."""
    prefix = f"{folder}/"
    return [
        point
        for point, _ in parse_mountinfo(MOUNTINFO.read_text())
        if point == str(folder) or point.startswith(prefix)
    ]


def is_mounted(point: Path, kind: str) -> bool:
    return (str(point), kind) in parse_mountinfo(MOUNTINFO.read_text())


def unmount_below(folder: Path) -> int:
    """Unmount everything below; a busy one is detached, its users being dead or dying."""
    count = 0
    for point in reversed(mounts_below(folder)):
        if succeeds(["umount", point]) or succeeds(["umount", "--lazy", point]):
            count += 1
    if left := mounts_below(folder):
        raise DevError("still mounted: " + ", ".join(left))
    return count
