"""The small commands: what runs, where things are, and fake hardware."""

from __future__ import annotations

import argparse
import sys
import urllib.error

from dev import binaries, components, golang, network
from dev.api import Api, resolves
from dev.cluster import KUBERNETES_DEFAULT, program_environment
from dev.commands import CommandRunner, output
from dev.errors import DevError
from dev.processes import Processes, Program
from dev.settings import API_URL, DNS_SERVICE_ADDRESS, NODE_NAME, Paths

GPU = "nvidia.com/gpu"
FAKE_NODE = {"type": "kwok"}


def status(_: argparse.Namespace, paths: Paths) -> int:
    """Exit code 0 only if the cluster can be used."""
    processes = Processes(paths)
    records = {name: processes.running(name) for name in processes.names()}
    for name, record in records.items():
        print(f"{name:<40}{f'pid {record.pid}' if record else 'ended'}")
    if not paths.kubeconfig.exists():
        print("no cluster; `python3 -m dev up` makes one")
        return 1
    api = Api(paths)
    checks = {
        f"API server {API_URL}": api.is_ready(),
        f"node {NODE_NAME}": api.node_is_ready(NODE_NAME),
        f"DNS {DNS_SERVICE_ADDRESS}": resolves(KUBERNETES_DEFAULT, DNS_SERVICE_ADDRESS),
    }
    for name, works in checks.items():
        print(f"{name:<40}{'ready' if works else 'not ready'}")
    return 0 if all(checks.values()) and all(records.values()) else 1


def print_kubeconfig(_: argparse.Namespace, paths: Paths) -> int:
    print(paths.kubeconfig)
    return 0


def print_program(options: argparse.Namespace, paths: Paths) -> int:
    """Built first if need be, with the news of it going to standard error."""
    binary = binaries.providing(options.program)
    if binary is None:
        raise DevError(f"no program {options.program}")

    def note(text: str) -> None:
        print(f"{options.program}: {text}", file=sys.stderr)

    golang.ensure_binary(binary, paths, CommandRunner(), note)
    print(binaries.location(paths.binaries, binary, options.program))
    return 0


def gpus(options: argparse.Namespace, paths: Paths) -> int:
    """The scheduler counts them as it would real ones; pods that get one just run."""
    count = str(options.count) if options.count else None
    resources = {"capacity": {GPU: count}, "allocatable": {GPU: count}}
    Api(paths).merge(f"/api/v1/nodes/{NODE_NAME}/status", {"status": resources})
    return 0


def kwok(options: argparse.Namespace, paths: Paths) -> int:
    processes = Processes(paths)
    runner = CommandRunner()
    api = Api(paths)
    if options.count:
        golang.ensure_binary(
            binaries.KWOK, paths, runner, lambda text: print(f"kwok: {text}", file=sys.stderr)
        )
        binary = binaries.location(paths.binaries, binaries.KWOK)
        stages = output([binary, "stages"])
        (paths.configuration / "kwok-stages.yaml").write_text(stages)
        argv = network.inside(paths, components.kwok(binary, paths))
        program = Program("kwok", argv, program_environment(), stages)
        print(f"kwok: {processes.ensure(program)}", file=sys.stderr)
    names = {f"kwok-{number}" for number in range(options.count)}
    listed = api.request("GET", "/api/v1/nodes?labelSelector=type%3Dkwok")["items"]
    existing = {str(item["metadata"]["name"]) for item in listed}
    for name in sorted(names - existing):
        api.apply(fake_node(name))
    for name in sorted(existing - names):
        try:
            api.request("DELETE", f"/api/v1/nodes/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
    if not options.count:
        processes.stop("kwok")
    return 0


def fake_node(name: str) -> dict[str, object]:
    """Tainted, so that only pods that ask for it end up on a node that runs nothing."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {**FAKE_NODE, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {
            "taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]
        },
    }
