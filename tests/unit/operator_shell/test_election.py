"""Which replica leads, whatever happens to the others, the API server, the clocks and the Lease."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import Any

import pytest

from chatagent_operator.kube.election import Timing
from chatagent_operator.kube.errors import ApiError
from tests.unit.operator_shell.election_world import Object, Process, World, refuse

TIMING = Timing()
MARGIN = TIMING.duration - TIMING.renew_deadline
"""How late a write may arrive that a leader has sent."""


@pytest.fixture
def world() -> World:
    return World()


def compete(world: World, *names: str) -> list[Process]:
    """Start replicas, the first of which becomes the leader."""
    processes: list[Process] = []
    for name in names:
        processes.append(Process(world, name).begin())
        world.pass_time(0.2)
    assert processes[0].leads
    return processes


def check_writes(world: World) -> None:
    """Check that whoever wrote was the holder of the Lease when the write arrived."""
    late = [write for write in world.writes if write.identity != write.holder]
    assert not late, late[:3]


def lease(**spec: Any) -> Object:
    return {"metadata": {"name": "operator", "resourceVersion": "1", "labels": {"a": "b"}}} | {
        "spec": spec
    }


def test_of_two_candidates_one_leads(world: World) -> None:
    first, second = compete(world, "a", "b")
    world.pass_time(300)
    assert (first.leads, second.leads) == (True, False)
    assert (first.led_at, second.led_at) == ([first.led_at[0]], [])
    assert world.server.spec["leaseTransitions"] == 0
    assert {write.identity for write in world.writes} == {"a"}


def test_an_idle_operator_sends_little(world: World) -> None:
    compete(world, "a", "b")
    world.server.calls.clear()
    world.pass_time(100)
    methods = [method for method, _ in world.server.calls]
    assert 45 <= methods.count("PUT") <= 50, "the leader renews every 2 s, without reading first"
    assert 95 <= methods.count("GET") <= 100, "the standby reads every second"
    assert len(methods) == methods.count("PUT") + methods.count("GET")


def test_what_is_written(world: World) -> None:
    world.server.store(lease(holderIdentity="", leaseTransitions=7, strategy="kept"))
    first, second = compete(world, "a", "b")
    taken = world.server.spec
    assert taken | {"renewTime": ""} == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 12,
        "leaseTransitions": 8,
        "acquireTime": "2026-01-01T00:16:40.010000Z",
        "renewTime": "",
        "strategy": "kept",
    }
    world.pass_time(10)
    renewed = world.server.spec
    assert renewed["renewTime"] > taken["renewTime"]
    assert renewed | {"renewTime": ""} == taken | {"renewTime": ""}
    assert world.server.lease
    assert world.server.lease["metadata"]["labels"] == {"a": "b"}
    first.kill()
    world.until(lambda: second.leads, 20)
    assert world.server.spec["leaseTransitions"] == 9
    assert world.server.spec["acquireTime"] > taken["acquireTime"]


@pytest.mark.parametrize("seed", range(50))
def test_a_killed_leader_is_replaced_within_15_s(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    world.latency = lambda: chance.uniform(0.001, 0.3)
    first, second = Process(world, "a").begin(), Process(world, "b")
    world.pass_time(1 + chance.uniform(0, 3))
    second.begin()
    world.pass_time(20 + chance.uniform(0, 3))
    first.kill()
    took = world.until(lambda: second.leads, 15)
    assert took > 8, "a leader that lives is not to be robbed"
    assert world.server.spec["leaseTransitions"] == 1
    world.pass_time(10)
    check_writes(world)


@pytest.mark.parametrize("seed", range(50))
def test_a_leader_that_stops_cleanly_is_replaced_within_2_s(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    world.latency = lambda: chance.uniform(0.001, 0.1)
    first, second = compete(world, "a", "b")
    world.pass_time(10 + chance.uniform(0, 3))
    world.spawn(first.resign())
    assert not first.fence.left, "it writes nothing from the moment on at which it releases"
    world.until(lambda: world.server.holder == "", 0.5)
    assert world.server.spec["leaseDurationSeconds"] == 1
    assert world.server.spec["leaseTransitions"] == 0
    world.until(lambda: second.leads, 1.4)
    assert world.server.spec["leaseTransitions"] == 1


def test_a_standby_that_stops_leaves_the_lease_alone(world: World) -> None:
    first, second = compete(world, "a", "b")
    world.spawn(second.resign())
    world.pass_time(5)
    assert first.leads
    assert world.server.holder == "a"


@pytest.mark.parametrize("there", [0.05, 0.15, 0.25])
def test_a_renewal_that_is_cut_off_does_not_keep_the_lease(world: World, there: float) -> None:
    """It arrives, but its answer is not waited for: the version of the Lease is not known."""
    first, second = compete(world, "a", "b")
    world.latency = lambda: there
    world.server.calls.clear()
    world.until(lambda: "PUT" in dict(world.server.calls), 5)
    world.latency = lambda: 0.1
    world.spawn(first.resign())
    world.until(lambda: second.leads, 2.5)


@pytest.mark.parametrize("seed", range(1000))
def test_a_leader_that_was_paused_writes_nothing_when_it_wakes(seed: int) -> None:
    """Replicas are paused, killed and started at random, and the network is slow and unfair.

    A write may be on its way for as long as the Lease outlives the leader's deadline. What is
    carried out later than that, no client can prevent; see docs/adr/0009-leader-election.md.
    """
    chance = random.Random(seed)  # noqa: S311
    world = World()
    world.latency = lambda: chance.choice((0.002, 0.05, chance.uniform(0, MARGIN)))
    processes = [Process(world, f"{seed}-{number}").begin() for number in range(3)]
    names = iter(range(3, 1000))
    while world.time < 1120:
        world.pass_time(chance.uniform(0, 10))
        victim = chance.choice([each for each in processes if not each.is_dead])
        match chance.random():
            case luck if luck < 0.6:
                victim.pause(chance.choice((1, 7.9, 8.1, 12.1, chance.uniform(0, 40))))
            case luck if luck < 0.8:
                victim.kill()
                processes.append(Process(world, f"{seed}-{next(names)}").begin())
            case _:
                world.fault = chance.choice(
                    (lambda process, method: None, lambda process, method: refuse(500))
                )
    check_writes(world)
    world.fault = lambda process, method: None
    world.latency = lambda: 0.01
    world.pass_time(60)
    assert sum(each.leads for each in processes) == 1, "and in the end one leads"
    assert world.writes[-1].identity == world.server.holder


def test_work_of_an_earlier_term_ends_before_the_next_begins(world: World) -> None:
    """Another replica led and released the Lease while the answer to a renewal was waited for."""
    world.latency = lambda: 0.1
    first, second = compete(world, "a", "b")
    world.server.store(world.server.lease or {})  # so that the next renewal meets a conflict
    world.server.calls.clear()
    world.until(lambda: "PUT" in dict(world.server.calls), 5)
    first.pause(60)
    world.pass_time(40)
    assert second.leads
    world.spawn(second.resign())
    world.pass_time(30)
    assert first.leads
    assert len(first.led_at) == 2, "what ran was stopped and started again"
    check_writes(world)


def test_a_paused_leader_tries_to_write_when_it_wakes(world: World) -> None:
    """The test above proves nothing where nobody tries."""
    first, second = compete(world, "a", "b")
    world.pass_time(5)
    first.pause(60)
    world.pass_time(61)
    assert second.leads
    assert first.refused >= 1
    check_writes(world)


@pytest.mark.parametrize("after", [5, 5.4, 5.8, 6.2, 6.6])
def test_an_api_server_that_is_unavailable_for_five_minutes(world: World, after: float) -> None:
    first, second = compete(world, "a", "b")
    world.pass_time(after)
    world.is_away = True
    took = world.until(lambda: not first.leads, TIMING.renew_deadline)
    assert took <= TIMING.renew_deadline
    assert first.clock() < first.lease.expires_at(TIMING.duration) + TIMING.retry
    world.until(lambda: not first.is_working, 0.1)
    world.pass_time(300)
    assert not first.leads
    assert not second.leads
    world.is_away = False
    world.until(lambda: first.leads or second.leads, 6)
    world.pass_time(60)
    assert first.leads != second.leads
    check_writes(world)


def test_a_leader_stops_in_time_although_a_request_hangs(world: World) -> None:
    first, _ = compete(world, "a", "b")
    world.server.calls.clear()
    world.fault = lambda process, method: refuse(500) if method == "PUT" else None
    world.until(lambda: [each for each, _ in world.server.calls].count("PUT") == 2, 10)
    world.pass_time(0.1)
    world.is_away = True
    world.until(lambda: not first.leads, TIMING.renew_deadline)
    world.until(lambda: not first.is_working, 0.1)


@pytest.mark.parametrize("status", [401, 403, 409, 422, 429, 500, 503, 0])
def test_a_lease_that_cannot_be_renewed(world: World, status: int) -> None:
    first, second = compete(world, "a", "b")
    world.pass_time(5)
    error = refuse(status) if status else ApiError(0, "ServerDisconnectedError")
    world.fault = lambda process, method: error if method != "GET" else None
    world.until(lambda: not first.is_working, TIMING.renew_deadline + 0.1)
    world.pass_time(60)
    assert not first.leads
    assert not second.leads
    world.fault = lambda process, method: None
    world.until(lambda: first.leads or second.leads, 2)
    check_writes(world)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "garbage",
        {},
        {"metadata": None},
        {"metadata": {}, "spec": {"holderIdentity": "a"}},
        {"metadata": {"resourceVersion": "1"}, "spec": "garbage"},
        {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "somebody"}},
    ],
)
def test_an_answer_that_is_garbage(world: World, answer: Any) -> None:
    first, second = compete(world, "a", "b")
    world.fault = lambda process, method: answer if process is first else None
    world.pass_time(60)
    assert not first.leads
    assert second.leads
    world.fault = lambda process, method: None
    world.pass_time(10)
    assert first.leads != second.leads
    check_writes(world)


@pytest.mark.parametrize(
    "spec",
    [
        {"holderIdentity": "other", "leaseDurationSeconds": 12},
        {"holderIdentity": "other", "renewTime": None, "leaseDurationSeconds": None},
        {"holderIdentity": "other", "renewTime": "2099-01-01T00:00:00.000000Z"},
        {"holderIdentity": "other", "renewTime": "1970-01-01T00:00:00.000000Z"},
        {"holderIdentity": "other", "renewTime": "garbage", "leaseDurationSeconds": "garbage"},
        {"holderIdentity": "other", "leaseTransitions": -1, "acquireTime": 5},
        {"holderIdentity": "other", "leaseDurationSeconds": True},
    ],
)
def test_a_lease_that_another_client_wrote_is_left_to_it_for_its_duration(
    world: World, spec: Object
) -> None:
    world.server.store(lease(**spec))
    process = Process(world, "a").begin()
    took = world.until(lambda: process.leads, 15)
    assert 12 <= took < 13
    assert world.server.spec["leaseTransitions"] == 1


def test_the_duration_that_its_holder_wrote_counts(world: World) -> None:
    world.server.store(lease(holderIdentity="other", leaseDurationSeconds=40))
    process = Process(world, "a").begin()
    assert world.until(lambda: process.leads, 60) >= 40


@pytest.mark.parametrize(
    "spec", [{}, {"holderIdentity": ""}, {"holderIdentity": None, "renewTime": None}]
)
def test_a_lease_without_a_holder_is_acquired_at_once(world: World, spec: Object) -> None:
    world.server.store(lease(**spec))
    process = Process(world, "a").begin()
    world.until(lambda: process.leads, 0.1)


def test_a_lease_without_a_spec_is_acquired_at_once(world: World) -> None:
    world.server.store({"metadata": {"name": "operator"}})
    process = Process(world, "a").begin()
    world.until(lambda: process.leads, 0.1)


def test_a_deleted_lease_is_recreated_by_its_holder(world: World) -> None:
    first, second = compete(world, "a", "b")
    version = world.server.version
    world.until(lambda: world.server.version > version, TIMING.retry + 0.1)
    world.server.lease = None  # the standby sees it first
    world.until(lambda: world.server.holder, TIMING.retry + 0.1)
    assert world.server.holder == "a"
    world.pass_time(30)
    assert first.leads
    assert not second.led_at, "a standby waits: the holder may not know yet"


def test_a_lease_that_is_deleted_with_its_holder_is_recreated_by_the_standby(world: World) -> None:
    first, second = compete(world, "a", "b")
    world.pass_time(5)
    first.kill()
    world.server.lease = None
    world.until(lambda: second.leads, 15)


def test_a_lease_that_another_client_annotates_is_kept(world: World) -> None:
    first, _ = compete(world, "a", "b")
    for _ in range(20):
        assert world.server.lease
        world.server.store(world.server.lease)
        world.pass_time(3)
    assert first.led_at == [first.led_at[0]]


def test_a_lease_that_another_client_takes_is_lost_at_the_next_renewal(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = compete(world, "a", "b")
    caplog.set_level(logging.INFO)
    world.server.spec["holderIdentity"] = "thief"
    world.server.store(world.server.lease or {})
    world.until(lambda: not first.is_working, TIMING.retry + 0.1)
    assert "lost the Lease system/operator to thief" in caplog.text


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_on_the_wall_that_jumps_changes_nothing(world: World, hours: int) -> None:
    first, second = compete(world, "a", "b")
    world.pass_time(5)
    first.wall_offset = timedelta(hours=hours)
    world.pass_time(30)
    second.wall_offset = timedelta(hours=-hours)
    world.pass_time(30)
    assert first.leads
    assert first.led_at == [first.led_at[0]]
    first.kill()
    assert world.until(lambda: second.leads, 15) > 8
    check_writes(world)


def test_a_cause_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    compete(world, "a")
    world.fault = lambda process, method: refuse(403)
    world.pass_time(60)
    said = [each.message for each in caplog.records]
    assert said == [
        "cannot renew the Lease system/operator: 403: said 403",
        "lost the Lease system/operator: not renewed for 8 s",
    ]
