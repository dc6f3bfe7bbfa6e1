"""The demo asks the questions that the quickstart marks, and waits as long as there is progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from dev import demo
from dev.demo import QUESTIONS, QUICKSTART, Demo
from dev.errors import DevError
from dev.patience import Patience, describe_problems, find_signs


def test_the_demo_asks_what_the_quickstart_marks() -> None:
    listed = yaml.safe_load((QUICKSTART / "questions.yaml").read_text(encoding="utf-8"))
    marked = [each["question"] for each in listed["questions"] if each.get("demo")]
    assert list(QUESTIONS) == marked


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def test_only_what_is_not_fine_is_waited_for() -> None:
    conditions = [
        condition("Accepted", "True", "Accepted"),
        condition("IndexReady", "False", "Indexing"),
        condition("CacheReady", "Unknown", "External"),
        condition("Progressing", "False", "Completed"),
        condition("Paused", "False", "NotPaused"),
        condition("Degraded", "True", "Unschedulable"),
        condition("Ready", "False", "Indexing"),
    ]
    waiting = "IndexReady Indexing, CacheReady External, Degraded Unschedulable"
    assert describe_problems({"conditions": conditions}) == waiting
    fine = [condition("Degraded", "False", "AsExpected"), condition("Paused", "True", "ByStep")]
    assert describe_problems({"conditions": fine}) == describe_problems({}) == ""


def agent(**status: Any) -> dict[str, Any]:
    return {"kind": "ChatAgent", "metadata": {"name": "a"}, "status": status}


def event(reason: str, count: int) -> dict[str, Any]:
    body = {"kind": "Event", "metadata": {"name": f"a.{count}"}, "involvedObject": {"name": "a-0"}}
    return body | {"reason": reason, "count": count}


def pod(phase: str, ready: str, restarts: int = 0) -> dict[str, Any]:
    containers = [{"restartCount": restarts}]
    status = {"phase": phase, "containerStatuses": containers}
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "kind": "Pod",
        "metadata": {"name": "a-0"},
        "status": status | {"conditions": conditions},
    }


STEPS = [
    agent(),
    agent(conditions=[condition("IndexReady", "False", "Indexing")]),
    agent(conditions=[condition("IndexReady", "True", "Indexed")]),
    agent(rollout={"weight": 5}),
    agent(rollout={"weight": 5, "step": 1}),
    agent(rollout={"weight": 5, "step": 1}, analysis={"succeeded": 1}),
    pod("Pending", "False"),
    pod("Running", "False"),
    pod("Running", "True"),
    event("Pulling", 1),
    event("Pulled", 1),
]
"""States that are all different."""
ALIKE = [
    (event("BackOff", 7), event("BackOff", 8)),
    (pod("Running", "False", 1), pod("Running", "False", 2)),
    (agent(analysis={"measurements": 1}), agent(analysis={"measurements": 2})),
    (
        agent(conditions=[condition("IndexReady", "False", "Indexing", "41 turns")]),
        agent(conditions=[condition("IndexReady", "False", "Indexing", "42 turns")]),
    ),
]
"""States that differ without progress."""


def test_signs_of_progress() -> None:
    signs = {sign for body in STEPS for sign in find_signs([body])}
    assert len(signs) == len(STEPS)
    for one, other in ALIKE:
        assert list(find_signs([one])) == list(find_signs([other])) != []


def test_patience_ends_once_nothing_is_new() -> None:
    now = 0.0
    patience = Patience(600, lambda: now)
    for now in range(0, 5000, 500):
        patience.see([f"state {now}"])
        assert not patience.is_over
    for now in range(5000, 5600, 100):  # a container that crashes is up again and again
        patience.see(["state 0" if now % 200 else "state 500"])
    assert patience.is_over


class _SlowDemo(Demo):
    """A demo whose condition holds after many looks, and whose clock runs with them."""

    def __init__(self, looks: int, signs: list[str]) -> None:
        self.looks = looks
        self.clock = 0.0
        self._new = iter(signs)

    def wait(self) -> None:
        self._until(self._holds, "the agent", lambda: "IndexReady Indexing")

    def _holds(self) -> str:
        self.looks -= 1
        self.clock += 400.0
        if self.looks % 3 == 0:
            raise DevError("kubectl failed: the server was unable to return a response")
        return "" if self.looks > 0 else "yes"

    def _signs(self) -> Iterator[str]:
        yield next(self._new, "nothing new")


def use_clock(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    """Have the demo's patience run with another clock."""

    def make(seconds: float) -> Patience:
        return Patience(seconds, clock)

    monkeypatch.setattr(demo, "Patience", make)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(demo, "LOOKS_WITHOUT_SIGNS", 1)


@pytest.mark.usefixtures("at_once")
def test_a_slow_machine_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = _SlowDemo(19, [str(number) for number in range(20)])
    use_clock(monkeypatch, lambda: slow.clock)
    slow.wait()
    assert slow.clock > 10 * demo.PATIENCE_SECONDS
    said = capsys.readouterr().out
    assert "  waiting for the agent: IndexReady Indexing\n" in said
    assert "waiting for the agent: kubectl failed" in said


@pytest.mark.usefixtures("at_once")
def test_a_standstill_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = _SlowDemo(100, ["first"])
    use_clock(monkeypatch, lambda: stuck.clock)
    with pytest.raises(DevError, match=r"no progress for 10 min 0 s; "):
        stuck.wait()
    assert stuck.looks > 90
