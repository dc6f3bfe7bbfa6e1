"""Properties of the state machine, whatever people, pods and numbers do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatagent_operator.api.rollout import Affinity, Analysis, AnalysisStep, Pause, Rollout, Step
from chatagent_operator.api.status import (
    AnalysisStatus,
    ChatAgentStatus,
    EvaluationStatus,
    MetricStatus,
    RolloutStatus,
    Verdict,
    WindowStatus,
)
from chatagent_operator.core.judging.analysis import Measurement
from chatagent_operator.core.observed.trouble import Interruption
from chatagent_operator.core.rollout.advance import advance
from chatagent_operator.core.rollout.capacity import compute_replicas
from chatagent_operator.core.rollout.commands import Action, Command, Unreadable, parse_command
from chatagent_operator.core.rollout.context import Seen
from chatagent_operator.core.rollout.state import update_rollout
from chatagent_operator.core.rollout.steps import list_steps

REVISIONS = ("a", "b", "c")
ROLLOUTS = (
    Rollout(),
    Rollout(steps=()),
    Rollout(steps=(Step(set_weight=20), Step(pause=Pause()), Step(set_weight=60))),
    Rollout(steps=(Step(set_weight=5), Step(pause=Pause(duration="1m")))),
    Rollout(strategy="blueGreen"),
    Rollout(strategy="rolling"),
    Rollout(strategy="recreate"),
    Rollout(
        steps=(Step(set_weight=30), Step(analysis=AnalysisStep(count=1)), Step(set_weight=70)),
        analysis=Analysis(inconclusive_limit=1, failure_limit=1),
        affinity=Affinity(on_promote="drain", drain="10m"),
        progress_deadline_seconds=120,
    ),
)


def at(minute: int) -> str:
    return f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00Z"


def rolling_out(
    canary: str | None = "b", stable: str | None = "a", **rollout: Any
) -> ChatAgentStatus:
    """A status in the middle of a rollout."""
    status = ChatAgentStatus(stable_revision=stable, canary_revision=canary)
    return update_rollout(status, **rollout)


def measured(verdict: Verdict, minute: int, window: str | None) -> Measurement:
    metric = MetricStatus(name="errors", verdict=verdict, message="said so")
    return Measurement(at(minute), window or "", verdict, 100, (metric,))


looks = st.lists(
    st.fixed_dictionaries(
        {
            "desired": st.sampled_from(REVISIONS),
            "ready": st.frozensets(st.sampled_from(REVISIONS)),
            "capacity": st.sampled_from([0, 33, 66, 100]),
            "is_gateway_current": st.booleans(),
            "is_reachable": st.booleans(),
            "is_indexed": st.booleans(),
            "is_stable_available": st.booleans(),
            "is_unschedulable": st.booleans(),
            "lacks_room": st.booleans(),
            "capacity_before": st.sampled_from([0, 100]),
            "crashes": st.sampled_from([0, 0, 0, 1]),
            "verdict": st.sampled_from([None, *get_args(Verdict)]),
            "evaluation": st.sampled_from([None, "Running", "Succeeded", "Failed"]),
            "action": st.sampled_from([None, None, None, *get_args(Action), "full"]),
        }
    ),
    max_size=40,
)


def seen(look: dict[str, Any], number: int, status: ChatAgentStatus) -> Seen:
    action = look["action"]
    full = action == "full"
    return Seen(
        desired=look["desired"],
        now=at(number),
        ready=look["ready"],
        capacity=look["capacity"],
        is_gateway_current=look["is_gateway_current"],
        is_reachable=look["is_reachable"],
        is_indexed=look["is_indexed"],
        is_stable_available=look["is_stable_available"],
        is_unschedulable=look["is_unschedulable"],
        lacks_room=look["lacks_room"],
        capacity_before=look["capacity_before"],
        interruptions=(Interruption(at(number), "it crashed"),) * look["crashes"],
        measurement=measured(look["verdict"], number, status.rollout.weighted_at)
        if look["verdict"]
        else None,
        evaluation=EvaluationStatus(verdict=look["evaluation"]) if look["evaluation"] else None,
        command=Command(str(number), "promote" if full else action, full=full) if action else None,
    )


def find_most(rollout: Rollout, steps: tuple[Step, ...], status: ChatAgentStatus) -> int:
    """The weight that the steps have approved. Under `recreate` the canary may be alone."""
    if rollout.strategy == "recreate":
        return 100
    begun = steps[: (status.rollout.step or 0) + 1]
    return max((step.set_weight or 0 for step in begun), default=0)


@settings(max_examples=400)
@given(looks=looks, rollout=st.sampled_from(ROLLOUTS), pods=st.integers(1, 4))
def test_what_holds_whatever_happens(
    looks: list[dict[str, Any]], rollout: Rollout, pods: int
) -> None:
    status, steps = ChatAgentStatus(), list_steps(rollout, pods)
    for number, look in enumerate(looks):
        before, now = status, seen(look, number, status)
        decision = advance(before, now, rollout, pods)
        status = decision.status
        approved = find_most(rollout, steps, status)
        assert decision.weight <= status.rollout.approved_weight <= approved, "as approved"
        if rollout.strategy == "recreate" and status.rollout.weighted_at == now.now:
            assert not now.is_stable_available, "it is alone"
        if status.rollout.approved_weight > before.rollout.approved_weight:
            assert now.is_reachable
            assert before.rollout.approved_weight or (
                now.is_gateway_current or rollout.strategy == "recreate"
            )
        if decision.weight:
            assert status.stable_revision
            assert status.canary_revision in now.ready
        assert status.canary_revision is None or status.canary_revision not in (
            status.stable_revision,
            status.failed_revision,
        )
        assert status.failed_revision is None or status.failed_revision == now.desired
        assert (status.failed_revision is None) == (status.failed_reason is None)
        assert len(set(decision.live)) == len(decision.live) <= 4
        if (
            look["action"] == "abort"
            and before.canary_revision == now.desired
            and before.stable_revision
        ):
            assert decision.weight == 0
            assert status.canary_revision is None
        if before.stable_revision and status.stable_revision != before.stable_revision:
            assert status.stable_revision == now.desired
            assert status.stable_revision in now.ready
            assert now.capacity == 100 or status.history[0].reason == "StableUnavailable"
            assert now.is_reachable
        assert sum(compute_replicas(status, rollout, pods, {}, pods).values()) >= 1
        again = advance(status, replace(now, is_gateway_current=False), rollout, pods)
        assert again.status == status, "a second look decides nothing new"
        assert not again.events


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """One value nine times out of ten, so that rollouts come far."""
    return st.sampled_from([usual] * 9 * len(others) + list(others))


everyone = frozenset(REVISIONS)
calm_looks = st.lists(
    st.fixed_dictionaries(
        {
            "desired": mostly("b", "a", "c"),
            "ready": mostly(everyone, everyone - {"a"}, everyone - {"b"}, frozenset[str]()),
            "capacity": mostly(100, 33, 66),
            "is_gateway_current": mostly(True, False),
            "is_reachable": mostly(True, False),
            "is_indexed": mostly(True, False),
            "is_stable_available": mostly(True, False),
            "is_unschedulable": mostly(False, True),
            "lacks_room": mostly(False, True),
            "capacity_before": st.just(100),
            "crashes": mostly(0, 1),
            "verdict": st.sampled_from(["Succeeded", "Succeeded", "Inconclusive", None, "Failed"]),
            "evaluation": mostly("Succeeded", None, "Running", "Failed"),
            "action": mostly(None, *get_args(Action), "full"),
        }
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=100)
@given(looks=calm_looks, rollout=st.sampled_from(ROLLOUTS), pods=st.integers(1, 4))
def test_no_weight_without_approval_and_none_after_an_abort(
    looks: list[dict[str, Any]], rollout: Rollout, pods: int
) -> None:
    status, steps = ChatAgentStatus(stable_revision="a"), list_steps(rollout, pods)
    for number, look in enumerate(looks):
        before, now = status, seen(look, number, status)
        decision = advance(before, now, rollout, pods)
        status = decision.status
        approved = find_most(rollout, steps, status)
        assert status.rollout.weight <= status.rollout.approved_weight <= approved
        if status.rollout.weight:
            assert status.canary_revision in now.ready
        reasons = {event.reason for event in decision.events}
        if status.canary_revision is None:
            assert (status.rollout.weight, status.rollout.approved_weight) == (0, 0)
        if "Aborted" in reasons:
            assert status.canary_revision is None
            assert status.failed_revision == now.desired
            assert not status.rollout.full
        again = advance(status, replace(now, is_gateway_current=False), rollout, pods)
        assert again.status == status, "to repeat it changes nothing"
        assert not again.events


@given(rollout=st.sampled_from(ROLLOUTS), pods=st.integers(1, 4), looks=looks)
def test_every_rollout_ends(rollout: Rollout, pods: int, looks: list[dict[str, Any]]) -> None:
    """After whatever has happened: once all is well and a person says yes, it is promoted."""
    status = ChatAgentStatus(stable_revision="a")
    for number, look in enumerate(looks):
        status = advance(status, seen(look, number, status), rollout, pods).status
    minute = len(looks)
    for _ in range(120):
        minute += 1
        action: Action = (
            "retry" if status.failed_revision else "resume" if status.rollout.paused else "promote"
        )
        good = Seen(
            desired="c",
            now=at(minute),
            ready=frozenset(REVISIONS),
            measurement=measured("Succeeded", minute, status.rollout.weighted_at),
            command=Command(f"good-{minute}", action),
        )
        status = advance(status, good, rollout, pods).status
        if status.stable_revision == "c" and status.canary_revision is None:
            return
    raise AssertionError(f"it does not end: {status}")


@given(
    rollout=st.sampled_from([each for each in ROLLOUTS if each.strategy == "canary"]),
    pods=st.integers(1, 4),
    start=looks,
)
def test_a_failed_measurement_sets_every_weight_to_0(
    rollout: Rollout, pods: int, start: list[dict[str, Any]]
) -> None:
    status = ChatAgentStatus()
    for number, look in enumerate(start):
        status = advance(status, seen(look, number, status), rollout, pods).status
    if not status.rollout.approved_weight:
        return
    minute = len(start)
    bad = Seen(
        desired=status.canary_revision or "",
        now=at(minute),
        ready=frozenset(),
        is_gateway_current=False,
        measurement=measured("Failed", minute, status.rollout.weighted_at),
    )
    decision = advance(status, bad, rollout, pods)
    assert decision.weight == 0
    assert decision.status.failed_revision == status.canary_revision
    assert decision.status.failed_reason == "AnalysisFailed"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("promote", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"action": "promote"}', "id must be"),
        ('{"id": "1", "action": "destroy"}', "action must be one of promote, abort"),
        ('{"id": "1", "action": "abort", "revision": 3}', "revision must be"),
        ('{"id": "1", "action": "abort", "full": true}', "full must be"),
        ('{"id": "1", "action": "promote", "full": 1}', "full must be"),
    ],
)
def test_a_wrong_command_is_explained(text: str, wrong: str) -> None:
    found = parse_command(text)
    assert isinstance(found, Unreadable)
    assert wrong in found.reason


def test_no_command_is_none() -> None:
    assert parse_command(None) is None
    assert parse_command('{"id": "1", "action": "abort"}') == Command("1", "abort")


REFUSED = [
    (rolling_out(None), "abort", "there is no canary"),
    (rolling_out(), "promote", "the rollout does not wait for approval"),
    (rolling_out(), "resume", "the rollout is not paused"),
    (rolling_out(), "skip", "the steps have not started yet"),
    (rolling_out(paused="Command"), "pause", "paused already"),
    (rolling_out(), "retry", "no revision has failed"),
    (rolling_out(stable=None), "abort", "there is no revision to roll back to"),
]


@pytest.mark.parametrize(("status", "action", "why"), REFUSED)
def test_a_command_that_makes_no_sense_is_refused(
    status: ChatAgentStatus, action: Action, why: str
) -> None:
    target = status.canary_revision or status.stable_revision or "a"
    ready = frozenset({"b"}) if status.stable_revision else frozenset[str]()
    now = Seen(target, at(0), ready, is_gateway_current=False, command=Command("1", action))
    after = advance(status, now, Rollout(), 1).status
    assert after.rollout.last_command_id == "1"
    assert why in (after.rollout.last_command_result or "")
    assert after.canary_revision == status.canary_revision


def test_a_command_is_carried_out_once() -> None:
    paused = rolling_out(paused="Command")
    now = Seen(
        "b", at(0), frozenset({"b"}), is_gateway_current=False, command=Command("1", "resume")
    )
    resumed = advance(paused, now, Rollout(), 1).status
    assert resumed.rollout.paused is None
    again = advance(update_rollout(resumed, paused="Command"), now, Rollout(), 1).status
    assert again.rollout.paused == "Command"


def test_an_inconclusive_rollout_can_be_paused_by_a_command() -> None:
    """Without it the rollout would continue by itself once enough measurements succeed."""
    steps = Rollout(steps=(Step(set_weight=5), Step(analysis=AnalysisStep(count=1))))
    status = rolling_out(
        "b", "a", paused="Inconclusive", approved_weight=5, weight=5, step=1, step_started_at=at(0)
    )
    ready = frozenset({"b"})
    paused = advance(status, Seen("b", at(1), ready, command=Command("1", "pause")), steps, 1)
    assert paused.status.rollout.last_command_result == "paused b at 5 %"
    assert paused.waiting
    assert paused.waiting.reason == "PausedByCommand"
    better = paused.status.model_copy(update={"analysis": AnalysisStatus(succeeded=1)})
    assert advance(better, Seen("b", at(2), ready), steps, 1).status.canary_revision == "b"


def test_a_command_is_refused_while_the_spec_holds_the_rollout() -> None:
    status = rolling_out("two", "one", approved_weight=5, step=1, step_started_at=at(0))
    for action in ("promote", "skip", "resume"):
        command = Command("1", cast(Action, action), full=action == "promote")
        looked = Seen("two", at(1), ready=frozenset({"two"}), command=command)
        decision = advance(status, looked, Rollout(paused=True), 1)
        said = "refused: spec.rollout.paused is true; set it to false"
        assert decision.status.rollout.last_command_result == said
    looked = Seen("two", at(1), ready=frozenset({"two"}), command=Command("2", "abort"))
    assert advance(status, looked, Rollout(paused=True), 1).status.failed_revision == "two"


def test_other_steps_restart_after_inconclusive_measurements() -> None:
    analysis = AnalysisStatus(inconclusive=11)
    status = rolling_out(
        "two", "one", weight=5, approved_weight=5, weighted_at=at(0), step=1,
        step_started_at=at(0), paused="Inconclusive", path="before",
    ).model_copy(update={"analysis": analysis})  # fmt: skip
    steps = (Step(set_weight=20), Step(analysis=AnalysisStep()))
    looked = Seen("two", at(1), ready=frozenset({"two"}))
    decision = advance(status, looked, Rollout(steps=steps), 1)
    assert decision.status.rollout.paused is None
    assert decision.status.rollout.approved_weight == 20
    assert decision.status.analysis.inconclusive == 0


def test_fewer_pods_do_not_pause_a_rolling_rollout() -> None:
    status = rolling_out(
        "two", "one", weight=33, approved_weight=33, weighted_at=at(0), path="before"
    )
    looked = Seen("two", at(1), ready=frozenset({"two"}))
    decision = advance(status, looked, Rollout(strategy="rolling"), 1)
    assert decision.status.rollout.paused is None
    assert decision.status.stable_revision == "two"


def test_nothing_of_a_rollout_outlives_it_but_the_last_command() -> None:
    status = rolling_out(
        weight=5, approved_weight=5, step=2, step_started_at=at(0), weighted_at=at(0), full=True,
        replacing=True, offered=True, waiting_since=at(0), started_at=at(0), path="x",
    )  # fmt: skip
    aborted = advance(status, Seen("b", at(1), command=Command("1", "abort")), Rollout(), 1).status
    assert aborted.failed_revision == "b"
    kept = RolloutStatus(last_command_id="1", last_command_result="aborted b")
    assert aborted.rollout == kept


def test_a_field_that_does_not_exist_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match=r"status\.rollout has no field wieght"):
        update_rollout(ChatAgentStatus(), wieght=5)


def test_where_measuring_began_is_kept_for_its_weight_only() -> None:
    steps = (Step(set_weight=5), Step(pause=Pause()), Step(set_weight=50), Step(pause=Pause()))
    rollout, began = Rollout(steps=steps), WindowStatus(began_at=at(1))
    status = rolling_out(
        "b", "a", weight=5, approved_weight=5, weighted_at=at(0), step=1, step_started_at=at(0)
    )

    def step(command: Command | None = None, window: WindowStatus | None = None) -> None:
        nonlocal status
        now = Seen("b", at(2), frozenset("ab"), command=command, window=window)
        status = advance(status, now, rollout, 1).status

    step(window=began)
    assert status.rollout.window == began
    step()
    assert status.rollout.window == began, "another replica has not begun yet"
    step(Command("1", "promote"))
    assert (status.rollout.approved_weight, status.rollout.window) == (50, None)
    step(window=began)
    assert status.rollout.window == began
    step(Command("2", "abort"), window=began)
    assert status.canary_revision is None
    assert status.rollout.window is None
