"""`down`: ends the processes, mounts, network and cgroups of the cluster, and nothing else.

The cluster's own state (etcd, pods, volumes) goes; loaded images and credentials stay for a quick
next `up`. A purge drops these too.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dev import buildah, cgroups, containers, debian, mounts, network, rootfs
from dev.errors import DevError
from dev.lock import locked_if_free
from dev.processes import Processes, end_process, start_time
from dev.progress import Progress
from dev.settings import Paths

# The kubelet first, so that nothing starts pods again; containerd last, as it ends containers.
FIRST = ("kwok", "local-path-provisioner", "kubelet", "kube-proxy", "coredns")
THEN = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
STEPS = 5


def down(paths: Paths, progress: Progress, *, purge: bool) -> None:
    if not paths.marker.exists():
        progress.note("down", f"nothing to do: {paths.state} holds no cluster")
        return
    processes = Processes(paths)
    stopped = [name for name in (*FIRST, *THEN) if processes.stop(name, patience=2)]
    progress.finished("processes", f"ended {len(stopped)}")
    ended = cgroups.end_processes(paths.cgroup)
    removed = containers.remove_containers(paths) if containers.answers(paths) else 0
    processes.stop("containerd")
    for name in processes.names():
        processes.stop(name)
    shims = end_shims(paths)
    progress.finished("containers", f"ended {ended} processes, {shims} shims, {removed} containers")
    count = mounts.unmount_below(paths.cluster) + unmount_run(paths)
    count += mounts.unmount_below(paths.containerd)
    progress.finished("mounts", f"undid {count}")
    network.remove(paths)
    cgroups.remove(paths.cgroup)
    remove_build_leftovers(paths)
    debian.remove_guard()
    progress.finished("network and cgroups", "removed")
    progress.finished("state", drop_state(paths, purge=purge))


def remove_build_leftovers(paths: Paths) -> None:
    """Mounts of builds that were killed. A build that goes on elsewhere is left alone."""
    with locked_if_free(paths.rootfs_lock) as free:
        if free:
            rootfs.remove_leftovers(paths)
    with locked_if_free(paths.build_lock) as free:
        if free:
            buildah.remove_leftovers(paths)


def unmount_run(paths: Paths) -> int:
    """All but the network namespace, which goes with the network."""
    own = str(paths.network_namespace)
    points = [point for point in mounts.mounts_below(paths.run) if point != own]
    return sum(mounts.unmount_below(Path(point)) for point in reversed(points))


def end_shims(paths: Paths) -> int:
    """Shims outlive a containerd that was killed. Ours are known by the socket they report to."""
    ended = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in words[0] and str(paths.containerd_socket).encode() in words:
            pid = int(folder.name)
            if started := start_time(pid):
                end_process(pid, started, patience=2)
                ended += 1
    return ended


def drop_state(paths: Paths, *, purge: bool) -> str:
    """Renamed first, so that a `down` that is cut off leaves no half of a cluster behind."""
    folders = [paths.cluster, paths.run, paths.records]
    if purge:
        folders += [paths.containerd, paths.credentials, paths.configuration, paths.logs]
    for number, folder in enumerate(folders):
        if left := mounts.mounts_below(folder):
            raise DevError("still mounted: " + ", ".join(left))
        if folder.exists():
            folder.rename(paths.state / f"trash-{os.getpid()}-{number}")
    for trash in paths.state.glob("trash-*"):
        shutil.rmtree(trash)
    if not purge:
        return "dropped; images and credentials are kept"
    paths.marker.unlink()
    return "purged"
