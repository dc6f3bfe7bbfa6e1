"""`python -m bench.operator_scale`: contestants in turns, and their results as Markdown."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from bench.operator_scale import isolation, report
from bench.operator_scale.argo_rollouts import ArgoRollouts
from bench.operator_scale.chat_agents import ChatAgents
from bench.operator_scale.client import Client, ClientError
from bench.operator_scale.cluster import Cluster
from bench.operator_scale.contestants import Contestant
from bench.operator_scale.scenarios import Limits, Outcome, Run, pods_answering
from dev import binaries, golang
from dev.commands import CommandRunner, require_root, tail
from dev.settings import KUBERNETES_VERSION, REPOSITORY, Paths

MODULE = "bench.operator_scale"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Run."""
    options = _parser().parse_args()
    if not isolation.is_inside():
        _build()
        sys.exit(isolation.run_isolated(MODULE, sys.argv[1:]))
    isolation.enter()
    limits = Limits(burst=options.patience)
    contestants = [*map(_source, options.source or [str(REPOSITORY)]), *map(_peer, options.peer)]
    if len({each.label for each in contestants}) < len(contestants):
        sys.exit("each --source needs a label of its own: LABEL=DIRECTORY")
    lines = _conditions(contestants, limits, options.rounds)
    suffix = f"-{options.name}" if options.name else ""
    file = RESULTS / f"operator-{date.today()}{suffix}.md"
    for count in options.agents:
        found: dict[str, list[Outcome]] = {each.label: [] for each in contestants}
        for _ in range(options.rounds):
            for each in contestants:
                found[each.label].append(measure(each, count, limits))
        lines += report.table(count, found, contestants)
        # What there is by now is kept if the next number of agents is too much.
        file.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(file.read_text())


def measure(contestant: Contestant, count: int, limits: Limits) -> Outcome:
    """One run on a cluster of its own."""
    print(f"{contestant.label}, {count} agents", file=sys.stderr, flush=True)
    cache = Paths.from_environment().cache
    with (
        tempfile.TemporaryDirectory(prefix="operator-scale-") as folder,
        Cluster(cache, Path(folder)) as cluster,
    ):
        try:
            return asyncio.run(_measure(contestant, count, cluster, limits))
        except BaseException:
            log = cluster.paths.logs / "contestant.log"
            print(f"{contestant.label} wrote:\n{tail(log)}", file=sys.stderr)
            raise


async def _measure(contestant: Contestant, count: int, cluster: Cluster, limits: Limits) -> Outcome:
    async with Client(cluster.paths.credentials) as client:
        for definition in contestant.definitions():
            await client.request("POST", CRDS, definition)
        await _served(client, contestant.path)
        if not contestant.needs_pods:
            return await Run(contestant, cluster, client, limits).all(count)
        with pods_answering(cluster):
            return await Run(contestant, cluster, client, limits).all(count)


async def _served(client: Client, path: str) -> None:
    """A new kind is served a moment after its definition is stored."""
    for _ in range(60):
        try:
            await client.request("GET", path)
            return
        except ClientError:
            await asyncio.sleep(0.5)
    raise TimeoutError(f"the API server does not serve {path}")


def _conditions(contestants: Sequence[Contestant], limits: Limits, rounds: int) -> list[str]:
    who = "; ".join(f"{each.label}: {each.version}" for each in contestants)
    runs = "one run each" if rounds == 1 else f"medians of {rounds} runs each, in turns"
    stood_in = (
        "Nodes and pods are kwok's and run nothing. What the operator asks pods over HTTP is stood "
        "in by one server on loopback: a gateway follows the newest routes as soon as a watch has "
        "brought them and reaches every revision at once, an agent's pod is ready and has answered "
        "no turn. An agent has one pod, two of its gateway and a ConfigMap with a document; its "
        "vector store and Redis are external ones, so no volumes are bound. "
    )
    peers = (
        "The peer's objects are Rollouts with two Services and no traffic router, by the same "
        "steps, with `--qps 2000 --burst 2000`: they have fewer children, and pods are not asked. "
    )
    return [
        "# The operator with many agents",
        "",
        f"{date.today()}, `python -m {MODULE}`, {runs}: {who}. {platform.machine()}, "
        f"{os.cpu_count()} cores that everything shares with the control plane and with whatever "
        f"else runs on the machine, Python {platform.python_version()}, Kubernetes "
        f"{KUBERNETES_VERSION} (API server, etcd without fsync, controllers and scheduler without "
        "limits of their clients) and kwok on one network namespace, each contestant alone on a "
        "new cluster. Steps 5 → 50 → 100 % without pauses and without analysis.",
        "",
        (stood_in + (peers if any(each.is_peer for each in contestants) else "")).rstrip(),
        "",
        "Times of writes and numbers of calls are the API server's audit log's: from when a create "
        "or a change was answered until the first write to a child was received. Calls and CPU "
        "count until 5 seconds passed without a call. " + report.limits_told(limits),
        "",
    ]


def _source(named: str) -> Contestant:
    label, equals, folder = named.rpartition("=")
    source = Path(folder).resolve()
    if not (source / "operator" / "chatagent_operator").is_dir():
        sys.exit(f"--source {named}: {folder} is no checkout of this project")
    return ChatAgents(label if equals else "this operator", source)


def _peer(named: str) -> Contestant:
    name, _, path = named.partition("=")
    if name != "argo-rollouts" or not Path(path).is_file():
        sys.exit(f"--peer {named}: give argo-rollouts=PATH, the path of its controller")
    return ArgoRollouts(Path(path).resolve())


def _build() -> None:
    """While there is a network. `dev` keeps what it builds."""
    require_root()
    for binary in (binaries.KUBERNETES, binaries.KWOK):
        golang.ensure_binary(
            binary,
            Paths.from_environment(),
            CommandRunner(),
            lambda text, name=binary.name: print(f"{name}: {text}", file=sys.stderr),
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--agents", type=int, nargs="+", default=[100], metavar="N")
    parser.add_argument(
        "--source", action="append", metavar="[LABEL=]DIRECTORY",
        help="a checkout whose operator is measured, such as before=../main; default: this one",
    )  # fmt: skip
    parser.add_argument(
        "--peer", action="append", default=[], metavar="argo-rollouts=PATH",
        help="a controller that is measured in the same run; its CRDs lie in `crds` beside it",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=1, help="runs of each, in turns")
    parser.add_argument("--patience", type=float, default=Limits.burst, help="of a burst, seconds")
    parser.add_argument("--name", default="", help="of the results, behind the date")
    return parser


if __name__ == "__main__":
    main()
