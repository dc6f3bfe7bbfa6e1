"""What the benchmark of many agents reads from an audit log."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench.operator_scale.audit import (
    AuditLog,
    Call,
    first_child_writes,
    parse,
    percentile,
    strays,
)


def line(verb: str = "patch", resource: str = "deployments", **changes: Any) -> str:
    """A line of the log."""
    event: dict[str, Any] = {
        "stage": "ResponseComplete",
        "requestURI": "/apis/apps/v1/namespaces/bench/deployments/agent-00001-abc?force=true",
        "verb": verb,
        "user": {"username": "operator"},
        "objectRef": {"resource": resource, "namespace": "bench", "name": "agent-00001-abc"},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-11-30T10:00:00.250000Z",
        "stageTimestamp": "2026-11-30T10:00:00.500000Z",
    }
    return json.dumps(event | changes)


def call(began: float, name: str = "agent-00001", verb: str = "patch", **fields: Any) -> Call:
    """A call that took no time."""
    resource, code = fields.get("resource", "services"), fields.get("code", 200)
    return Call(began, began, "operator", verb, resource, name, code)


def test_a_request_is_read() -> None:
    read = parse(line())
    assert read
    assert (read.verb, read.resource, read.owner) == ("patch", "deployments", "agent-00001")
    assert (read.user, read.code) == ("operator", 200)
    assert read.ended - read.began == pytest.approx(0.25)


def test_a_subresource_is_part_of_the_resource() -> None:
    about = {"resource": "chatagents", "subresource": "status", "name": "agent-00001"}
    read = parse(line(objectRef=about))
    assert read
    assert read.resource == "chatagents/status"
    assert not read.is_child_write("chatagents")


def test_what_is_no_resource_goes_by_its_path() -> None:
    read = parse(line("get", objectRef=None, requestURI="/version?timeout=32s"))
    assert read
    assert (read.resource, read.owner, read.sort) == ("/version", None, "read")


def test_a_watch_counts_once_when_it_begins() -> None:
    stages = ("ResponseStarted", "ResponseComplete")
    read = [parse(line("watch", stage=stage)) for stage in stages]
    assert [each is not None for each in read] == [True, False]
    assert [parse(line("get", stage=stage)) is not None for stage in stages] == [False, True]


@pytest.mark.parametrize(
    ("verb", "resource", "sort"),
    [
        ("create", "events", "Event"),
        ("create", "services", "write"),
        ("delete", "jobs", "write"),
        ("get", "httproutes", "read"),
        ("list", "pods", "list"),
        ("watch", "pods", "watch"),
    ],
)
def test_calls_are_sorted(verb: str, resource: str, sort: str) -> None:
    assert call(0, verb=verb, resource=resource).sort == sort


def test_the_first_write_to_a_child_is_found() -> None:
    calls = [
        call(10.5, resource="chatagents/status"),
        call(10.6, resource="events", verb="create"),
        call(10.7, code=409),
        call(10.8, verb="get"),
        call(11.5, name="agent-00001-gateway"),
        call(11.0, name="agent-00001-routes"),
        call(11.0, name="agent-000010"),
        call(19.5, name="agent-00002.17ab", resource="services"),
        call(12.0, name="agent-00003"),
    ]
    found = first_child_writes(calls, "chatagents", {"agent-00001": 10, "agent-00002": 20})
    assert found == {"agent-00001": 1, "agent-00002": 0}


def test_strays_are_writes_about_agents_that_nobody_changed() -> None:
    calls = [
        call(1, name="agent-00001"),
        call(1, name="agent-00002", resource="chatagents/status"),
        call(1, name="agent-00003", verb="get"),
        call(1, name="election", resource="leases"),
    ]
    assert [each.name for each in strays(calls, {"agent-00001"})] == ["agent-00002"]


def test_the_log_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path)
    assert log.read() == []
    path.write_text(line() + "\n" + line()[:20])
    assert len(log.read()) == 1
    path.write_text(line() + "\n" + line() + "\n")
    assert len(log.read()) == 2


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (
        50,
        99,
        100,
    )
    assert percentile([3.0], 99) == 3
    assert math.isnan(percentile([], 50))
