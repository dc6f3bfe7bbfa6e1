"""One ChatAgent from apply to delete on the real node; then the same with an operator that dies.

The story is one test, because each step starts where the one before it ended.
"""

from __future__ import annotations

import json
import math
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.cluster.installation import await_operator, kill_operator, metric, writes
from tests.cluster.kubectl import (
    FIRST_TAG,
    ROOT,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    Reply,
    ask_at,
    until,
)

CONVERSATIONS = 1000
KNOWLEDGE = ROOT / "examples" / "quickstart" / "knowledge"
Disturb = Callable[[], None]

EVERYTHING = (
    "deployments,statefulsets,jobs,pods,services,configmaps,controllerrevisions,"
    "serviceaccounts,roles,rolebindings,persistentvolumeclaims,secrets"
)


def knowledge(kubectl: Kubectl, name: str) -> None:
    source = f"--from-file={KNOWLEDGE}"
    words = ("create", "configmap", name, source, "--dry-run=client", "-o", "yaml")
    kubectl.run("apply", "--server-side", "-f", "-", stdin=kubectl.run(*words))


def binomial_interval(trials: int, share: float) -> tuple[float, float]:
    """The 99 % interval of the count, by the normal approximation with continuity correction."""
    spread = 2.576 * math.sqrt(trials * share * (1 - share)) + 0.5
    return trials * share - spread, trials * share + spread


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "killed",
    [
        pytest.param(False, id="operator-stays"),
        pytest.param(True, id="operator-killed", marks=pytest.mark.campaign),
    ],
)
def test_from_apply_to_delete(operator: Kubectl, namespace: Kubectl, killed: bool) -> None:
    def disturb() -> None:
        if killed:
            kill_operator(operator)

    agent = AgentUnderTest(namespace, "killed" if killed else "calm")
    knowledge(namespace, agent.name)
    first = create(agent, disturb)
    ask(agent, first)
    second = bump(agent, first, disturb)
    converse(agent, {first: 0.95, second: 0.05})
    promote(agent, second, disturb)
    third = bump(agent, second, disturb, FIRST_TAG, {"retrieval": {"topK": 6}})
    abort(agent, second, third, disturb)
    await_operator(operator)
    rest(agent, operator)
    delete(agent, disturb)


def create(agent: AgentUnderTest, disturb: Disturb) -> str:
    agent.apply()
    disturb()
    agent.await_condition("Ready", seconds=180)
    status = agent.status
    for kind in ("Accepted", "ResolvedRefs", "WorkloadsReady", "VectorStoreReady", "IndexReady"):
        agent.await_condition(kind, seconds=30)
    assert status["phase"] == "Ready"
    documents = len(list(KNOWLEDGE.glob("*.md")))
    until(lambda: agent.status["knowledge"].get("documents") == documents, "the count", 30)
    return status["stableRevision"]


def ask(agent: AgentUnderTest, revision: str) -> None:
    english = agent.ask("Who pays the customs charges when you send a parcel to Canada?")
    assert "paid by the recipient" in english.text
    assert "en-international-shipping.md" in " ".join(english.filenames)
    chinese = agent.ask("新柜子少了几颗螺丝，补寄收钱吗？", english.conversation)
    assert any(name.rsplit("/", 1)[-1].startswith("zh-") for name in chinese.filenames)
    assert english.revision == chinese.revision == revision
    assert english.conversation == chinese.conversation


def bump(
    agent: AgentUnderTest,
    stable: str,
    disturb: Disturb,
    tag: str = SECOND_TAG,
    pipeline: dict[str, Any] | None = None,
) -> str:
    before = agent.restarts(stable)
    agent.apply(tag, **({"pipeline": pipeline} if pipeline else {}))
    disturb()
    agent.await_weight(5)
    assert agent.status["stableRevision"] == stable
    assert agent.restarts(stable) == before, "no pod of the stable revision restarts"
    return agent.status["canaryRevision"]


def converse(agent: AgentUnderTest, shares: dict[str, float]) -> None:
    url = agent.url

    def two_turns(_: int) -> tuple[Reply, Reply]:
        opening = ask_at(url, "Can I return a mattress?")
        return opening, ask_at(url, "And a lamp?", opening.conversation)

    with ThreadPoolExecutor(max_workers=8) as pool:
        turns = list(pool.map(two_turns, range(CONVERSATIONS)))
    assert [a.revision for a, _ in turns] == [b.revision for _, b in turns]
    counts = Counter(a.revision for a, _ in turns)
    assert set(counts) <= set(shares)
    for revision, share in shares.items():
        low, high = binomial_interval(CONVERSATIONS, share)
        assert low <= counts[revision] <= high, counts


def promote(agent: AgentUnderTest, canary: str, disturb: Disturb) -> None:
    before = agent.restarts(canary)
    command(agent, disturb, "promote", "--full")
    until(lambda: agent.status.get("stableRevision") == canary, "the promotion")
    agent.await_condition("Progressing", "False", "Completed")
    until(agent.is_applied, "the weights to be applied", 30)
    assert {agent.ask("Can I return a lamp?").revision for _ in range(50)} == {canary}
    assert agent.restarts(canary) == before, "promotion restarts nothing"


def abort(agent: AgentUnderTest, stable: str, canary: str, disturb: Disturb) -> None:
    before = agent.restarts(stable)
    command(agent, disturb, "abort")
    until(lambda: agent.status.get("failedRevision") == canary, "the abort")
    agent.await_condition("Progressing", "False", "Aborted")
    until(agent.is_applied, "the weights to be applied", 30)
    assert {agent.ask("Can I return a lamp?").revision for _ in range(50)} == {stable}
    assert agent.restarts(stable) == before
    until(lambda: not agent.pods(canary), "the canary's pods are gone")


def command(agent: AgentUnderTest, disturb: Disturb, action: str, *flags: str) -> None:
    disturb()  # the command is given while nobody listens, and is carried out all the same
    done = agent.kubectl.plugin(action, agent.name, *flags, "--timeout", "90")
    assert done.returncode == 0, done.stderr


def rest(agent: AgentUnderTest, operator: Kubectl) -> None:
    """A touched agent is reconciled, without a write."""
    agent.await_condition("Ready")
    until(lambda: len(agent.pods(agent.status["stableRevision"])) == 1, "one pod is left")
    # HAProxy spins on a peer that refuses, and the third gateway is never there.
    until(lambda: idle(agent) > 80, "gateways at rest", 30)
    version = agent.body["metadata"]["resourceVersion"]
    before = writes(operator)
    reconciled = count_reconciliations(operator)
    agent.kubectl.run("annotate", "chatagent", agent.name, "touched=yes", "--overwrite")
    until(lambda: count_reconciliations(operator) > reconciled, "a reconciliation")
    reconciled = count_reconciliations(operator)
    agent.kubectl.run("annotate", "chatagent", agent.name, "touched=again", "--overwrite")
    until(lambda: count_reconciliations(operator) > reconciled, "another reconciliation")
    assert writes(operator) == before, "a second reconciliation writes nothing"
    assert version != agent.body["metadata"]["resourceVersion"], "the annotation was written"
    words = ("get", "chatagent", agent.name, "--show-managed-fields", "-o", "json")
    fields = json.loads(agent.kubectl.run(*words))["metadata"]["managedFields"]
    ours = [entry for entry in fields if entry["manager"] == "chatagent-operator"]
    assert [entry.get("subresource") for entry in ours] == ["status"], "the manifest is the user's"


def idle(agent: AgentUnderTest) -> float:
    """Percent of the last second that the busiest gateway had nothing to do."""
    selector = f"chatagent.dev/agent={agent.name},chatagent.dev/role=gateway"
    found: list[float] = []
    for pod in agent.kubectl.list("pods", selector):
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8404/metrics") as answer:
            lines = answer.read().decode().splitlines()
        (line,) = [each for each in lines if each.startswith("haproxy_process_idle_time_percent ")]
        found.append(float(line.split()[1]))
    return min(found)


def count_reconciliations(operator: Kubectl) -> float:
    return metric(operator, "chatagent_operator_reconcile_seconds_count")


def delete(agent: AgentUnderTest, disturb: Disturb) -> None:
    disturb()
    agent.kubectl.run("delete", "chatagent", agent.name)
    selector = f"chatagent.dev/agent={agent.name}"
    until(lambda: not agent.kubectl.list(EVERYTHING, selector), "nothing is left", 180)
    agent.kubectl.get("configmap", agent.name)  # the user's own documents stay
