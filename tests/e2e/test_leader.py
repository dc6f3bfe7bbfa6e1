"""The leader of the operator dies, stops or is paused in the middle of a rollout under load."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.installation import holder, leader, name_of, replicas, sample
from tests.cluster.kubectl import (
    FIRST_TAG,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    documents,
    until,
)
from tests.e2e.traffic import Traffic

KILLED_SECONDS = 15.0
STOPPED_SECONDS = 2.0
RETURNS = "# Returns\n\nYou can return a lamp within 30 days of delivery. Postage is 5 EUR.\n"
QUESTIONS = ("How long do I have to return a lamp?", "What is the postage?")
INTERVAL_SECONDS = 5
ROLLOUT: dict[str, Any] = {
    "steps": [
        {"setWeight": 20},
        {"analysis": {}},
        {"setWeight": 50},
        {"pause": {"duration": "5s"}},
        {"setWeight": 100},
    ],
    "analysis": {"interval": f"{INTERVAL_SECONDS}s", "count": 2, "minSamples": 10},
}

Status = dict[str, Any]


def weight(status: Status) -> int:
    return (status.get("rollout") or {}).get("weight") or 0


def measurements(status: Status) -> int:
    return (status.get("analysis") or {}).get("measurements") or 0


MOMENTS: dict[str, Callable[[Status, str], object]] = {
    "the canary is made": lambda status, first: status.get("canaryRevision"),
    "a weight is set": lambda status, first: weight(status) == 20,
    "it is being measured": lambda status, first: (
        status.get("canaryRevision") and measurements(status)
    ),
    "the next weight is set": lambda status, first: weight(status) == 50,
    "it pauses": lambda status, first: weight(status) == 50 and status["rollout"].get("step") == 3,
    # Having all conversations without being the stable one is a moment that may be missed.
    "it becomes the stable one": lambda status, first: (
        weight(status) == 100 or status["stableRevision"] != first
    ),
}
"""By name, whether a status shows it; `first` is the revision that was stable before."""


class Watch:
    """Remembers every status that an agent had, from entering to leaving."""

    def __init__(self, agent: AgentUnderTest) -> None:
        self._agent = agent
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.statuses: list[Status] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def check_measurements(self) -> None:
        """Check that no measurement was counted twice, and none sooner than it was due."""
        seen: list[tuple[int, str]] = []
        for status in self.statuses:
            count = measurements(status)
            at = (status.get("analysis") or {}).get("measuredAt") or ""
            if seen and (count, at) == seen[-1]:
                continue
            if seen and count > seen[-1][0]:
                assert count == seen[-1][0] + 1, f"from {seen[-1]} to {(count, at)}"
                assert at > seen[-1][1], f"{(count, at)} was counted from the reading of {seen[-1]}"
            seen.append((count, at))
        times = [at for count, at in seen if count]
        assert len(times) == len(set(times)), f"a reading was counted twice: {seen}"

    def _run(self) -> None:
        while not self._over.is_set():
            self.statuses.append(self._agent.status)
            time.sleep(0.1)


@pytest.fixture(autouse=True)
def _two_replicas(operator: Kubectl) -> None:
    """Replace replicas that were killed: the kubelet restarts these later and later."""
    for pod in replicas(operator):
        if any(status["restartCount"] for status in pod["status"]["containerStatuses"]):
            operator.run("delete", "pod", name_of(pod))
    ready(operator)


@pytest.fixture(scope="module")
def agent(operator: Kubectl, namespace: Kubectl) -> AgentUnderTest:
    """One agent, which every test rolls out from one tag to the other."""
    namespace.apply(documents("led", returns_md=RETURNS))
    agent = AgentUnderTest(namespace, "led")
    agent.apply(FIRST_TAG, rollout=ROLLOUT)
    agent.await_condition("Ready", seconds=240)
    agent.ask(QUESTIONS[0])
    return agent


def start_rollout(agent: AgentUnderTest) -> str:
    """Ask for the tag that does not serve. Returns the revision that does."""
    is_first = agent.body["spec"]["image"].endswith(f":{FIRST_TAG}")
    first = agent.status["stableRevision"]
    agent.apply(SECOND_TAG if is_first else FIRST_TAG, rollout=ROLLOUT)
    return first


def ready(operator: Kubectl) -> None:
    operator.run("rollout", "status", "deployment/chatagent-operator", "--timeout=180s")
    until(lambda: len(replicas(operator)) == 2 and leading(operator), "two replicas, one leads", 60)


def leading(operator: Kubectl) -> list[str]:
    """The replicas that say that they lead."""
    pods = replicas(operator)
    return [name_of(pod) for pod in pods if sample(pod, "chatagent_operator_leader") == 1]


def kill(operator: Kubectl, pod: str) -> None:
    """Kill the leader's process, as a node that is lost does: it releases nothing."""
    os.kill(pid_of(operator, pod), signal.SIGKILL)


def delete(operator: Kubectl, pod: str) -> None:
    operator.run("delete", "pod", pod, "--wait=false")


def pid_of(operator: Kubectl, pod: str) -> int:
    """The process of a pod on this machine, which is the node."""
    uid = operator.get("pod", pod)["metadata"]["uid"]
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            groups = (folder / "cgroup").read_text(encoding="utf-8")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if uid in groups.replace("_", "-") and b"chatagent" in command:
            found.append(int(folder.name))
    assert found, f"no process of pod {pod} ({uid}) is on this machine"
    return min(found)


def await_other(operator: Kubectl, before: str, seconds: float) -> float:
    """Wait until another process leads; return the seconds that it took."""
    begun = time.monotonic()
    # A call of kubectl takes a moment of its own, on a busy machine a long one.
    until(lambda: holder(operator) not in ("", before), "another leader", seconds + 5)
    return time.monotonic() - begun


IN_EVERY_RUN = ("it is being measured", "it becomes the stable one")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(each, marks=() if each in IN_EVERY_RUN else pytest.mark.campaign)
        for each in MOMENTS
    ],
)
def test_a_leader_that_is_killed_in_a_rollout(
    operator: Kubectl, agent: AgentUnderTest, moment: str
) -> None:
    with Traffic(agent.url, QUESTIONS, clients=3, pause=0.02) as traffic, Watch(agent) as watch:
        first = start_rollout(agent)
        until(lambda: MOMENTS[moment](agent.status, first), moment, 180)
        before = holder(operator)
        kill(operator, leader(operator))
        took = await_other(operator, before, KILLED_SECONDS)
        past = await_end(agent, first)
        until(agent.is_applied, "the weights to be applied", 30)
        time.sleep(3)  # the traffic goes on for a moment: what comes too late is seen
    assert took <= KILLED_SECONDS, f"{took:.1f} s"
    assert past["outcome"] == "Promoted", past
    assert traffic.failed == []
    watch.check_measurements()
    ready(operator)
    assert leading(operator) == [leader(operator)]


@pytest.mark.timeout(900)
def test_a_leader_that_is_deleted_in_a_rollout(operator: Kubectl, agent: AgentUnderTest) -> None:
    with Traffic(agent.url, QUESTIONS, clients=3, pause=0.02) as traffic, Watch(agent) as watch:
        first = start_rollout(agent)
        until(lambda: weight(agent.status) == 20, "a weight", 180)
        before, version = holder(operator), transitions(operator)
        delete(operator, leader(operator))
        took = await_other(operator, before, STOPPED_SECONDS)
        past = await_end(agent, first)
        time.sleep(3)
    assert took <= STOPPED_SECONDS, f"{took:.1f} s"
    assert transitions(operator) == version + 1
    assert past["outcome"] == "Promoted", past
    assert traffic.failed == []
    watch.check_measurements()


@pytest.mark.timeout(900)
def test_a_leader_that_was_paused_writes_nothing_when_it_wakes(
    operator: Kubectl, agent: AgentUnderTest
) -> None:
    paused = leader(operator)
    (pod,) = [each for each in replicas(operator) if name_of(each) == paused]
    written = sample(pod, "chatagent_operator_writes_total")
    pid, before = pid_of(operator, paused), holder(operator)
    with Traffic(agent.url, QUESTIONS, clients=3, pause=0.02) as traffic, Watch(agent) as watch:
        os.kill(pid, signal.SIGSTOP)
        try:
            first = start_rollout(agent)
            took = await_other(operator, before, KILLED_SECONDS)
            until(lambda: weight(agent.status) == 20, "a weight", 180)
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: sample(pod, "chatagent_operator_leader") == 0, "it is a standby", 10)
        past = await_end(agent, first)
    assert took <= KILLED_SECONDS, f"{took:.1f} s"
    assert past["outcome"] == "Promoted", past
    assert traffic.failed == []
    watch.check_measurements()
    assert sample(pod, "chatagent_operator_writes_total") == written
    assert holder(operator) != before


@pytest.mark.timeout(300)
def test_a_new_leader_writes_nothing_that_is_as_it_should_be(
    operator: Kubectl, agent: AgentUnderTest
) -> None:
    agent.await_condition("Progressing", "False")
    (standby,) = [each for each in replicas(operator) if name_of(each) != leader(operator)]
    looks, written = "chatagent_operator_reconcile_seconds_count", "chatagent_operator_writes_total"
    looked, wrote = sample(standby, looks), sample(standby, written)
    version = agent.body["metadata"]["resourceVersion"]
    before = holder(operator)
    delete(operator, leader(operator))
    await_other(operator, before, STOPPED_SECONDS)
    until(lambda: sample(standby, looks) > looked, "a new leader reconciles every agent", 10)
    ready(operator)
    assert sample(standby, written) == wrote
    assert agent.body["metadata"]["resourceVersion"] == version


def await_end(agent: AgentUnderTest, first: str) -> dict[str, Any]:
    """Wait for the end of the rollout; return what the history says of it."""

    def over() -> dict[str, Any] | None:
        status = agent.status
        is_over = status["stableRevision"] != first and not status.get("canaryRevision")
        return status["history"][0] if is_over else None

    try:
        return until(over, "the end of the rollout", 240)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{json.dumps(agent.status, indent=1)}") from None


def transitions(operator: Kubectl) -> int:
    return operator.get("lease", "chatagent-operator")["spec"]["leaseTransitions"]
