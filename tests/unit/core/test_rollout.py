"""Properties of the state machine, whatever people, pods and numbers do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatagent_operator.api.rollout import AnalysisStep, Pause, Rollout, Step
from chatagent_operator.api.status import AnalysisStatus, EvaluationStatus, MetricStatus, Verdict
from chatagent_operator.core.judging.analysis import Measurement
from chatagent_operator.core.rollout.capacity import replicas
from chatagent_operator.core.rollout.commands import Action, Command, Unreadable, parse_command
from chatagent_operator.core.rollout.machine import Seen, State, advance, path

REVISIONS = ("a", "b", "c")
ROLLOUTS = (
    Rollout(),
    Rollout(steps=()),
    Rollout(steps=(Step(set_weight=20), Step(pause=Pause()), Step(set_weight=60))),
    Rollout(steps=(Step(set_weight=5), Step(pause=Pause(duration="1m")))),
    Rollout(strategy="blueGreen"),
    Rollout(strategy="rolling"),
    Rollout(strategy="recreate"),
)


def at(minute: int) -> str:
    return f"2026-01-01T{minute // 60:02}:{minute % 60:02}:00Z"


def measured(verdict: Verdict, minute: int, window: str | None) -> Measurement:
    metric = MetricStatus(name="errors", verdict=verdict, message="said so")
    return Measurement(at(minute), window or "", verdict, 100, (metric,))


looks = st.lists(
    st.fixed_dictionaries(
        {
            "target": st.sampled_from(REVISIONS),
            "ready": st.frozensets(st.sampled_from(REVISIONS)),
            "carries": st.sampled_from([0, 33, 66, 100]),
            "is_settled": st.booleans(),
            "is_reached": st.booleans(),
            "is_indexed": st.booleans(),
            "verdict": st.sampled_from([None, *get_args(Verdict)]),
            "evaluation": st.sampled_from([None, "Running", "Passed", "Failed"]),
            "action": st.sampled_from([None, None, None, *get_args(Action), "full"]),
        }
    ),
    max_size=40,
)


def seen(look: dict[str, Any], number: int, state: State) -> Seen:
    action = look["action"]
    full = action == "full"
    return Seen(
        target=look["target"],
        now=at(number),
        ready=look["ready"],
        carries=look["carries"],
        is_settled=look["is_settled"],
        is_reached=look["is_reached"],
        is_indexed=look["is_indexed"],
        measurement=measured(look["verdict"], number, state.weighted_at)
        if look["verdict"]
        else None,
        evaluation=EvaluationStatus(verdict=look["evaluation"]) if look["evaluation"] else None,
        command=Command(str(number), "promote" if full else action, full=full) if action else None,
    )


@settings(max_examples=400)
@given(looks=looks, rollout=st.sampled_from(ROLLOUTS), pods=st.integers(1, 4))
def test_what_holds_whatever_happens(
    looks: list[dict[str, Any]], rollout: Rollout, pods: int
) -> None:
    state, steps = State(), path(rollout, pods)
    for number, look in enumerate(looks):
        before, now = state, seen(look, number, state)
        decision = advance(before, now, rollout, pods)
        state = decision.state
        approved = [step.set_weight for step in steps[: state.step + 1] if step.set_weight]
        assert decision.weight <= state.weight <= max(approved, default=0), "never above approval"
        if state.weight > before.weight:
            assert now.is_reached
            assert before.weight or now.is_settled
        if decision.weight:
            assert state.stable
            assert state.canary in now.ready
        assert state.canary is None or state.canary not in (state.stable, state.failed)
        assert state.failed is None or state.failed == now.target
        assert (state.failed is None) == (state.failed_reason is None)
        assert len(set(decision.live)) == len(decision.live) <= 4
        if look["action"] == "abort" and before.canary == now.target and before.stable:
            assert decision.weight == 0
            assert state.canary is None
        if before.stable and state.stable != before.stable:
            assert state.stable == now.target
            assert state.stable in now.ready
            assert now.carries == 100
            assert now.is_reached
        assert sum(replicas(state, rollout, pods, {}, pods).values()) >= 1
        again = advance(state, replace(now, measurement=None, is_settled=False), rollout, pods)
        assert again.state == state, "a second look decides nothing new"


@given(rollout=st.sampled_from(ROLLOUTS), pods=st.integers(1, 4), looks=looks)
def test_every_rollout_ends(rollout: Rollout, pods: int, looks: list[dict[str, Any]]) -> None:
    """After whatever has happened: once all is well and a person says yes, it is promoted."""
    state = State(stable="a")
    for number, look in enumerate(looks):
        state = advance(state, seen(look, number, state), rollout, pods).state
    minute = len(looks)
    for _ in range(120):
        minute += 1
        action: Action = "retry" if state.failed else "resume" if state.paused else "promote"
        good = Seen(
            target="c",
            now=at(minute),
            ready=frozenset(REVISIONS),
            measurement=measured("Passed", minute, state.weighted_at),
            command=Command(f"good-{minute}", action),
        )
        state = advance(state, good, rollout, pods).state
        if state.stable == "c" and state.canary is None:
            return
    raise AssertionError(f"it does not end: {state}")


@given(
    rollout=st.sampled_from([each for each in ROLLOUTS if each.strategy == "canary"]),
    pods=st.integers(1, 4),
    start=looks,
)
def test_a_bad_measurement_takes_every_weight_back(
    rollout: Rollout, pods: int, start: list[dict[str, Any]]
) -> None:
    state = State()
    for number, look in enumerate(start):
        state = advance(state, seen(look, number, state), rollout, pods).state
    if not state.weight:
        return
    minute = len(start)
    bad = Seen(
        target=state.canary or "",
        now=at(minute),
        ready=frozenset(),
        is_settled=False,
        measurement=measured("Failed", minute, state.weighted_at),
    )
    decision = advance(state, bad, rollout, pods)
    assert decision.weight == 0
    assert decision.state.failed == state.canary
    assert decision.state.failed_reason == "AnalysisFailed"


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
    assert wrong in found.why


def test_no_command_is_none() -> None:
    assert parse_command(None) is None
    assert parse_command('{"id": "1", "action": "abort"}') == Command("1", "abort")


REFUSED = [
    (State(stable="a"), "abort", "there is no canary"),
    (State(stable="a", canary="b"), "promote", "it waits for nobody"),
    (State(stable="a", canary="b"), "resume", "it is not paused"),
    (State(stable="a", canary="b"), "skip", "its steps have not begun"),
    (State(stable="a", canary="b", paused="Command"), "pause", "paused already"),
    (State(stable="a", canary="b"), "retry", "no revision has failed"),
    (State(canary="b"), "abort", "nothing to go back to"),
]


@pytest.mark.parametrize(("state", "action", "why"), REFUSED)
def test_a_command_that_makes_no_sense_is_refused(state: State, action: Action, why: str) -> None:
    target = state.canary or state.stable or "a"
    ready = frozenset({"b"}) if state.stable else frozenset[str]()
    now = Seen(target, at(0), ready, is_settled=False, command=Command("1", action))
    after = advance(state, now, Rollout(), 1).state
    assert after.last_command_id == "1"
    assert why in (after.last_command_result or "")
    assert after.canary == state.canary


def test_a_command_is_carried_out_once() -> None:
    paused = State(stable="a", canary="b", paused="Command")
    now = Seen("b", at(0), frozenset({"b"}), is_settled=False, command=Command("1", "resume"))
    resumed = advance(paused, now, Rollout(), 1).state
    assert resumed.paused is None
    again = advance(replace(resumed, paused="Command"), now, Rollout(), 1).state
    assert again.paused == "Command"


def test_a_rollout_that_the_spec_holds_says_so_to_whoever_commands_it() -> None:
    state = State(stable="one", canary="two", weight=5, step=1, step_started_at=at(0))
    for action in ("promote", "skip", "resume"):
        command = Command("1", cast(Action, action), full=action == "promote")
        looked = Seen("two", at(1), ready=frozenset({"two"}), command=command)
        decision = advance(state, looked, Rollout(paused=True), 1)
        said = "refused: spec.rollout.paused is true: set it to false"
        assert decision.state.last_command_result == said
    looked = Seen("two", at(1), ready=frozenset({"two"}), command=Command("2", "abort"))
    assert advance(state, looked, Rollout(paused=True), 1).state.failed == "two"


def test_other_steps_begin_anew_after_measurements_that_said_nothing() -> None:
    analysis = AnalysisStatus(inconclusive=11)
    state = State(
        stable="one", canary="two", weight=5, weighted_at=at(0), step=1, step_started_at=at(0),
        paused="Inconclusive", path="before", analysis=analysis,
    )  # fmt: skip
    steps = (Step(set_weight=20), Step(analysis=AnalysisStep()))
    looked = Seen("two", at(1), ready=frozenset({"two"}), in_force=5)
    decision = advance(state, looked, Rollout(steps=steps), 1)
    assert decision.state.paused is None
    assert decision.state.weight == 20
    assert decision.state.analysis.inconclusive == 0


def test_fewer_pods_do_not_pause_a_rolling_rollout() -> None:
    state = State(stable="one", canary="two", weight=33, weighted_at=at(0), path="before")
    looked = Seen("two", at(1), ready=frozenset({"two"}), in_force=33)
    decision = advance(state, looked, Rollout(strategy="rolling"), 1)
    assert decision.state.paused is None
    assert decision.state.stable == "two"
