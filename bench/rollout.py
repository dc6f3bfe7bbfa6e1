"""Whole rollouts on a real cluster, under traffic: what users and gateways see of them.

`python -m bench.rollout` needs `make cluster`. It installs the operator, makes one agent, and then
lets a good revision go out by itself, aborts canaries by command, and lets one that answers a fifth
of the turns with errors come back by itself, while people talk all the while.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
import uuid
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.cluster.installation import install_operator
from tests.cluster.kubectl import FIRST_TAG, SECOND_TAG, AgentUnderTest, Kubectl, documents, until
from tests.e2e.test_rollout import QUESTIONS, RETURNS, await_end, model_server, url_of
from tests.e2e.traffic import Traffic

RESULTS = Path(__file__).with_name("results")
QUICK: dict[str, Any] = {"analysis": {"interval": "5s", "count": 3, "minSamples": 30}}
WAITS: dict[str, Any] = {"steps": [{"setWeight": 5}, {"pause": {}}], "analysis": QUICK["analysis"]}
STAMP = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="during the good rollout")
    parser.add_argument("--aborts", type=int, default=20)
    arguments = parser.parse_args()
    system = install_operator()
    kubectl = Kubectl(f"bench-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    load = os.getloadavg()[0]
    try:
        rows = [
            *good(kubectl, arguments.requests),
            *aborts(kubectl, arguments.aborts),
            *a_fifth(kubectl, system),
        ]
    finally:
        kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")
    report = "\n".join(
        [
            "# Rollouts under traffic",
            "",
            f"{date.today()}, `python -m bench.rollout --requests {arguments.requests} --aborts "
            f"{arguments.aborts}`: a single node with {os.cpu_count()} cores that clients, agents, "
            f"gateways and the control plane share, load average {load:.1f} before. "
            "Extractive answers; two gateway pods; four clients without a pause, a connection for "
            "each turn, three turns a conversation.",
            "",
            "| What | Wanted | Measured |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )
    (RESULTS / f"rollout-{date.today()}.md").write_text(report, encoding="utf-8")
    print(report)


def serving(kubectl: Kubectl, name: str, **spec: Any) -> AgentUnderTest:
    kubectl.apply(documents(name, returns_md=RETURNS))
    agent = AgentUnderTest(kubectl, name)
    agent.apply(FIRST_TAG, **spec)
    agent.await_condition("Ready", seconds=300)
    until(lambda: agent.ask(QUESTIONS[0]).revision, "an answer", 60)
    return agent


def good(kubectl: Kubectl, requests: int) -> list[str]:
    """A revision that is as good as the stable one."""
    agent = serving(kubectl, "good", rollout=QUICK)
    first = agent.status["stableRevision"]
    before = agent.restarts(first)
    with Traffic(agent.url, QUESTIONS) as traffic:
        agent.apply(SECOND_TAG, rollout=QUICK)
        began = time.time()
        until(lambda: agent.status.get("canaryRevision"), "the canary", 60)
        unmoved = agent.restarts(first) == before
        past = await_end(agent, seconds=600)
        took = time.time() - began
        until(lambda: len(traffic.turns) >= requests, f"{requests} requests", 600)
    moved = datetime.fromisoformat(past["endedAt"]).timestamp()
    conversations = len(traffic.openings())
    seconds = [turn.seconds for turn in traffic.turns]
    return [
        f"| Good rollout, {len(traffic.turns)} requests: outcome | Promoted | {past['outcome']} "
        f"after {took:.0f} s |",
        f"| requests that failed | 0 | {len(traffic.failed)} |",
        f"| conversations that changed their revision before it was stable, of {conversations} "
        f"| 0 | {traffic.flips(within=moved)} |",
        f"| stable pods restarted | 0 | {0 if unmoved else 'some'} |",
        f"| latency of a turn, p50 and p95 | – | {1000 * median(seconds):.0f} ms, "
        f"{1000 * np.percentile(seconds, 95):.0f} ms |",
    ]


def aborts(kubectl: Kubectl, count: int) -> list[str]:
    """A person aborts; the clock runs from before the command is written until no gateway sends."""
    agent = serving(kubectl, "aborted", rollout=WAITS)
    seconds: list[float] = []
    failed = requests = 0
    for number in range(count):
        agent.apply(FIRST_TAG, rollout=WAITS, pipeline={"retrieval": {"topK": 6 + number % 2}})
        agent.await_weight(5)
        traffic, began, canary = abort(agent)
        begun = [turn.at for turn in traffic.turns if turn.revision == canary]
        seconds.append(max(0.0, max(begun) - began))
        failed += len(traffic.failed)
        requests += len(traffic.turns)
    return [
        f"| {count} aborts by command: last turn that a canary got, after the command was given, "
        f"p50 and max | 1 s | {1000 * median(seconds):.0f} ms, {1000 * max(seconds):.0f} ms |",
        f"| requests that failed, of {requests} | 0 | {failed} |",
    ]


def abort(agent: AgentUnderTest) -> tuple[Traffic, float, str]:
    """Abort a canary that serves. Returns the traffic, when the command was given, the canary."""
    canary = agent.status["canaryRevision"]
    with Traffic(agent.url, QUESTIONS, clients=2) as traffic:
        until(lambda: any(turn.revision == canary for turn in traffic.turns), "its turns", 60)
        command = {"id": uuid.uuid4().hex, "action": "abort", "revision": canary}
        patch = {"metadata": {"annotations": {"chatagent.dev/command": json.dumps(command)}}}
        words = ("patch", "chatagent", agent.name, "--type=merge", "-p", json.dumps(patch))
        began = time.time()
        agent.kubectl.run(*words)
        until(lambda: agent.status.get("failedRevision") == canary, "the abort", 30)
        until(agent.is_applied, "it to be applied", 30)
        time.sleep(1)  # what would come late is seen
    return traffic, began, canary


def a_fifth(kubectl: Kubectl, system: Kubectl) -> list[str]:
    """A canary whose model refuses every fifth prompt."""
    kubectl.apply(*model_server("works", bad=False), *model_server("breaks", bad=True))
    pipelines = [
        {
            "llm": {"model": "openai/m", "baseURL": url_of(kubectl, name)},
            "cache": {"mode": "off"},
        }
        for name in ("works", "breaks")
    ]
    agent = serving(kubectl, "fifth", rollout=QUICK, pipeline=pipelines[0])
    questions = [f"How long do I have to return lamp {number}?" for number in range(50)]
    with Traffic(agent.url, questions) as traffic:
        agent.apply(FIRST_TAG, rollout=QUICK, pipeline=pipelines[1])
        past = await_end(agent, seconds=300)
        time.sleep(2)
    bad = past["revision"]
    served = list(traffic.openings().values())
    during = [
        turn for turn in served if min(t.at for t in traffic.turns if t.revision == bad) <= turn.at
    ]
    saw = sum(turn.revision == bad for turn in served)
    measured = stamps(system, "app.kubernetes.io/name=chatagent-operator", f"measured {bad}")
    selector = f"chatagent.dev/agent={agent.name},chatagent.dev/role=gateway"
    in_force = stamps(agent.kubectl, selector, "state maint")
    after = [max(in_force) - measured[-1]] if measured and in_force else []
    return [
        f"| A fifth of errors: outcome | Failed by the first measurement | {past['outcome']}, "
        f"{past['reason']}, {agent.status['analysis']['measurements']} measurements |",
        f"| conversations that began on it, of {len(during)} until the end | 5 % | {saw}, "
        f"{saw / max(1, len(during)):.1%} |",
        f"| bad sample seen → weight 0 in the last gateway pod | 1 s | "
        f"{', '.join(f'{1000 * seconds:.0f} ms' for seconds in after)} |",
        f"| requests that failed at the stable revision | 0 | "
        f"{sum(turn.revision != bad for turn in traffic.failed)} of {len(traffic.turns)} |",
    ]


def stamps(kubectl: Kubectl, selector: str, text: str) -> list[float]:
    """When pods logged lines with this text, in order."""
    log = kubectl.run("logs", "-l", selector, "--all-containers", "--tail=5000")
    lines = (re.match(STAMP, line) for line in log.splitlines() if text in line)
    return sorted(
        datetime.strptime(found.group(1), "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()
        for found in lines
        if found
    )


if __name__ == "__main__":
    main()
