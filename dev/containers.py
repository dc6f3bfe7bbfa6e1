"""The cluster's own containerd, driven by `ctr`: which images it has, and an end to containers."""

from __future__ import annotations

from dev.commands import Argument, output, succeeds
from dev.settings import CONTAINERD_NAMESPACE, Paths


def ctr(paths: Paths, *arguments: Argument) -> list[Argument]:
    namespace = ["--namespace", CONTAINERD_NAMESPACE]
    return ["/usr/bin/ctr", "--address", paths.containerd_socket, *namespace, *arguments]


def answers(paths: Paths) -> bool:
    return paths.containerd_socket.exists() and succeeds(ctr(paths, "version"))


def image_names(paths: Paths) -> set[str]:
    return set(output(ctr(paths, "images", "list", "--quiet")).split())


def blobs(paths: Paths) -> set[str]:
    """The digests of all content, layers among it."""
    return set(output(ctr(paths, "content", "list", "--quiet")).split())


def remove_containers(paths: Paths) -> int:
    """Forget all containers of a cluster that is no more; their processes are ended before."""
    tasks = output(ctr(paths, "tasks", "list", "--quiet")).split()
    if tasks:
        succeeds(ctr(paths, "tasks", "delete", "--force", *tasks))
    containers = output(ctr(paths, "containers", "list", "--quiet")).split()
    if containers:
        output(ctr(paths, "containers", "delete", *containers))
    return len(containers)
