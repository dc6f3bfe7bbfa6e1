"""Stored statuses that another version of the operator wrote: read, and never trusted too much."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatagent_operator.api.rollout import AnalysisStep, Pause, Rollout, Step
from chatagent_operator.api.status import AnalysisStatus, ChatAgentStatus
from chatagent_operator.core.rollout.advance import advance
from chatagent_operator.core.rollout.commands import Command
from chatagent_operator.core.rollout.context import Seen
from chatagent_operator.core.rollout.stored import read_status
from tests.unit.core.simulation import Cluster, counted, spec

NOW = "2026-01-01T01:00:00Z"
THEN = "2026-01-01T00:00:00Z"
STORED: dict[str, Any] = {
    "observedGeneration": 3,
    "phase": "Canary",
    "url": "http://shop.demo.svc",
    "stableRevision": "one",
    "canaryRevision": "two",
    "draining": [{"revision": "zero", "since": THEN}],
    "rollout": {
        "weight": 25,
        "approvedWeight": 25,
        "step": 3,
        "steps": 6,
        "stepStartedAt": THEN,
        "weightedAt": THEN,
        "startedAt": THEN,
        "path": "0123abcd",
        "lastCommandId": "7",
        "lastCommandResult": "resumed two",
    },
    "analysis": {
        "verdict": "Succeeded",
        "measuredAt": THEN,
        "succeeded": 1,
        "measurements": 1,
        "metrics": [{"name": "errors", "verdict": "Succeeded"}],
    },
    "evaluation": {"verdict": "Succeeded", "report": "shop-eval-1"},
    "history": [{"revision": "one", "outcome": "Promoted", "endedAt": THEN}],
    "replicas": 2,
    "selector": "chatagent.dev/agent=shop,chatagent.dev/role=agent,chatagent.dev/revision=one",
    "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": THEN, "reason": "Serving"}
    ],
}


def stored(path: str, value: object) -> dict[str, Any]:
    """The stored status with another value at a path such as `rollout.paused`."""
    fields = deepcopy(STORED)
    *outer, last = (int(part) if part.isdigit() else part for part in path.split("."))
    inside: Any = fields
    for part in outer:
        inside = inside[part]
    inside[last] = value
    return fields


def dump(status: ChatAgentStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True)


def test_what_can_be_read_is_read_as_it_is() -> None:
    assert read_status(STORED) == ChatAgentStatus.model_validate(STORED)
    status = read_status(STORED)
    assert read_status(dump(status)) == status


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("phase", "Migrating"),
        ("url", 7),
        ("observedGeneration", "new"),
        ("analysis.verdict", "Skipped"),
        ("analysis.samples", -1),
        ("evaluation.verdict", "Skipped"),
        ("evaluation.canary", "good"),
        ("knowledge", []),
        ("replicas", {"ready": 2}),
        ("rollout.message", ["waits"]),
        ("rollout.weight", 250),
        ("rollout.full", "perhaps"),
        ("rollout.waitingSince", "yesterday"),
        ("rollout.startedAt", "2026-01-01T00:00:00"),
    ],
)
def test_just_the_field_that_cannot_be_read_is_dropped(path: str, value: object) -> None:
    without = deepcopy(STORED)
    *outer, last = path.split(".")
    (without[outer[0]] if outer else without).pop(last, None)
    assert read_status(stored(path, value)) == ChatAgentStatus.model_validate(without)


@pytest.mark.parametrize(
    ("path", "value", "emptied"),
    [
        ("conditions.0.status", "Maybe", "conditions"),
        ("conditions.0.lastTransitionTime", "long ago", "conditions"),
        ("history.0.outcome", "Superseded", "history"),
        ("analysis.metrics.0.verdict", "Skipped", "analysis.metrics"),
        ("draining.0.since", 1234, "draining"),
    ],
)
def test_an_entry_without_what_it_needs_is_dropped(path: str, value: object, emptied: str) -> None:
    assert read_status(stored(path, value)) == ChatAgentStatus.model_validate(stored(emptied, []))


def test_the_other_entries_stay() -> None:
    fields = deepcopy(STORED)
    fields["history"] = [
        {"revision": "four", "outcome": "Superseded"},
        {"revision": "three", "outcome": "Aborted"},
        {"revision": "two", "outcome": 2},
        {"revision": "one", "outcome": "Promoted"},
    ]
    assert [past.revision for past in read_status(fields).history] == ["three", "one"]


@pytest.mark.parametrize("raw", [None, [], "status", 3, {"rollout": None}, {"history": {"a": 1}}])
def test_what_is_no_status_at_all_is_an_empty_one(raw: object) -> None:
    assert read_status(raw) == ChatAgentStatus()


def test_old_names_are_read() -> None:
    fields = stored("analysis", {"verdict": "Passed", "passed": 2})
    fields["analysis"]["metrics"] = [{"name": "errors", "verdict": "Passed"}]
    fields["evaluation"]["verdict"] = "Passed"
    status = read_status(fields)
    assert (status.analysis.verdict, status.analysis.succeeded) == ("Succeeded", 2)
    assert [each.verdict for each in status.analysis.metrics] == ["Succeeded"]
    assert status.evaluation.verdict == "Succeeded"
    written = dump(status)
    assert "passed" not in written["analysis"]
    assert written["analysis"]["succeeded"] == 2


@pytest.mark.parametrize("field", ["approvedWeight", "step", "weightedAt", "path", "lastCommandId"])
def test_steps_start_again_where_one_could_be_skipped(field: str) -> None:
    status = read_status(stored(f"rollout.{field}", {"later": True}))
    assert (status.stable_revision, status.canary_revision) == ("one", "two")
    rollout = status.rollout
    assert (rollout.weight, rollout.approved_weight, rollout.step) == (0, 0, None)
    assert rollout.started_at == THEN, "its evaluation is not repeated"
    assert rollout.last_command_id == (None if field == "lastCommandId" else "7")
    seen = Seen("two", NOW, ready=frozenset({"one", "two"}))
    after = advance(status, seen, Rollout(), 1).status.rollout
    assert (after.step, after.weight) == (0, 0), "as at the beginning"


def test_a_pause_for_an_unknown_reason_waits_for_approval() -> None:
    status = read_status(stored("rollout.paused", "Maintenance"))
    assert status.rollout.paused == "Command"
    assert (status.rollout.approved_weight, status.rollout.step) == (25, 3)


def test_an_unknown_canary_gets_no_weight() -> None:
    status = read_status(stored("canaryRevision", {"name": "two"}))
    assert status.canary_revision is None
    assert status.rollout.approved_weight == 0


def test_a_stable_revision_is_found_again() -> None:
    fields = stored("stableRevision", {"name": "one"})
    assert read_status(fields).stable_revision == "one"
    fields["selector"] = None
    assert read_status(fields).stable_revision == "one", "by the history"
    fields["history"] = []
    assert read_status(fields).stable_revision is None
    del fields["stableRevision"]
    fields["selector"] = STORED["selector"]
    assert read_status(fields).stable_revision is None, "there is none before the first serves"


def test_a_failed_revision_stays_failed() -> None:
    fields = stored("failedRevision", {"name": "two"})
    del fields["canaryRevision"]
    fields["history"] = [{"revision": "two", "outcome": "Failed", "reason": "AnalysisFailed"}]
    status = read_status(fields)
    assert (status.failed_revision, status.failed_reason) == ("two", "AnalysisFailed")
    after = advance(status, Seen("two", NOW, ready=frozenset({"one", "two"})), Rollout(), 1)
    assert after.status.canary_revision is None


def test_no_measurement_is_counted_twice() -> None:
    status = read_status(stored("analysis.measuredAt", 5))
    assert status.analysis == AnalysisStatus()


def leaves(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Where the values of a status are, the outer ones too."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inside, *path, key)


STEPS = (
    Step(set_weight=5),
    Step(analysis=AnalysisStep(count=1)),
    Step(set_weight=50),
    Step(pause=Pause()),
    Step(set_weight=80),
)


def in_mid_rollout(looks: int) -> Cluster:
    rollout = {"steps": [step.model_dump(by_alias=True, exclude_none=True) for step in STEPS]}
    cluster = Cluster(spec=spec(rollout=rollout))
    cluster.settle()
    cluster.tallies = {image: counted(400, 1) for image in ("runtime:1", "runtime:2")}
    cluster.spec = spec("runtime:2", rollout=rollout)
    for look in range(looks):
        if look == 20 and cluster.status.canary_revision:
            cluster.command = Command("1", "pause", cluster.status.canary_revision)
        if look == 24 and cluster.status.canary_revision:
            cluster.command = Command("2", "resume", cluster.status.canary_revision)
        cluster.look()
        cluster.controllers()
        cluster.clock += 15
    return cluster


CLUSTERS = [in_mid_rollout(looks) for looks in range(0, 30, 2)]


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_cannot_be_read_takes_a_rollout_no_further(data: st.DataObject) -> None:
    cluster = CLUSTERS[data.draw(st.integers(0, len(CLUSTERS) - 1))]
    whole = cluster.status
    raw = dump(whole)
    path = data.draw(st.sampled_from(list(leaves(raw))))
    junk = data.draw(st.sampled_from([{"later": 1}, [1], 3.7, -7, "in a later version"]))
    inside: Any = raw
    for part in path[:-1]:
        inside = inside[part]
    if isinstance(inside[path[-1]], str | None) and isinstance(junk, str):
        junk = {"text": junk}  # another text may be read
    inside[path[-1]] = junk
    status = read_status(raw)
    assert status.stable_revision == whole.stable_revision
    assert status.failed_revision == whole.failed_revision
    desired = whole.canary_revision or whole.stable_revision or ""
    for ready in (frozenset({desired, whole.stable_revision or ""}), frozenset[str]()):
        seen = Seen(desired, cluster.now(), ready, command=cluster.command)
        settled = Rollout(steps=STEPS)
        expected = advance(whole, seen, settled, 1).status
        found = advance(status, replace(seen), settled, 1).status
        limit = max(expected.rollout.approved_weight, STEPS[0].set_weight or 0)
        assert found.rollout.approved_weight <= limit
        assert found.stable_revision in (whole.stable_revision, expected.stable_revision)
