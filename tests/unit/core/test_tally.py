"""Counters of pods that restart, come and go become what a revision counted in a window."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatagent_operator.api.status import CounterStatus, WindowCounters
from chatagent_operator.core.judging.analysis import Histogram, Tally
from chatagent_operator.core.judging.tally import (
    Sample,
    Window,
    add_tallies,
    subtract_tallies,
)

BEGAN = 1000.0
OLD, YOUNG = 900.0, 1100.0


def counted(turns: float, errors: float = 0, bounds: tuple[float, ...] = (0.1, 1.0)) -> Tally:
    """Turns that all took half a second."""
    slow = [(bound, turns if bound > 0.5 else 0.0) for bound in (*bounds, float("inf"))]
    return Tally(turns=turns, errors=errors, latency=Histogram(tuple(slow)))


def test_turns_of_an_old_pod_before_the_window_are_not_counted() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(100, 3), OLD))
    assert window.tally() == Tally()
    window.add("a", Sample(counted(110, 5), OLD))
    assert (window.tally().turns, window.tally().errors) == (10, 2)
    assert window.tally().latency.count == 10
    assert window.tally().latency.above(0.1) == 10


def test_a_pod_that_began_in_the_window_counts_from_its_first_turn() -> None:
    window = Window(BEGAN)
    window.add("new", Sample(counted(7), YOUNG))
    assert window.tally().turns == 7


def test_a_pod_that_only_answers_late_is_not_taken_for_a_new_one() -> None:
    window = Window(BEGAN)
    window.add("late", Sample(counted(5000), OLD))
    window.add("unknown", Sample(counted(5000)))
    assert window.tally().turns == 0


def test_a_counter_that_fell_began_again() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(100)))
    window.add("a", Sample(counted(4)))
    assert window.tally().turns == 4


def test_a_restart_is_seen_by_its_time_where_the_counters_have_passed_the_old_ones() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(3), OLD))
    window.add("a", Sample(counted(50), YOUNG))
    assert window.tally().turns == 50


def test_one_counter_that_fell_is_enough() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(10, 9)))
    window.add("a", Sample(counted(11, 1)))
    assert (window.tally().turns, window.tally().errors) == (11, 1)


def test_a_deleted_pod_keeps_what_it_had_added() -> None:
    window = Window(BEGAN)
    window.add("gone", Sample(counted(0), OLD))
    window.add("stays", Sample(counted(0), OLD))
    window.add("gone", Sample(counted(30, 30), OLD))
    window.add("stays", Sample(counted(5), OLD))
    window.add("stays", Sample(counted(6), OLD))
    assert (window.tally().turns, window.tally().errors) == (36, 30)


def test_an_address_that_another_pod_got_counts_as_that_pod() -> None:
    window = Window(BEGAN)
    window.add("10.0.0.7", Sample(counted(80), OLD))
    window.add("10.0.0.7", Sample(counted(2), YOUNG))
    assert window.tally().turns == 2


def test_other_bounds_are_another_process_and_sums_keep_the_common_ones() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(10)))
    window.add("a", Sample(counted(12, bounds=(0.2, 1.0))))
    assert window.tally().latency.buckets == ((0.2, 0.0), (1.0, 12.0), (float("inf"), 12.0))
    both = add_tallies(counted(1), counted(2, bounds=(1.0, 2.0)))
    assert both.latency.buckets == ((1.0, 3.0), (float("inf"), 3.0))


tallies = st.builds(
    Tally,
    turns=st.integers(0, 1000),
    errors=st.integers(0, 1000),
    tokens=st.integers(0, 10**9),
    latency=st.tuples(st.integers(0, 50), st.integers(0, 50)).map(
        lambda n: Histogram(((0.1, n[0]), (float("inf"), n[0] + n[1])))
    ),
)


@given(tallies, tallies)
def test_a_difference_is_the_increase(first: Tally, more: Tally) -> None:
    assert subtract_tallies(add_tallies(first, more), first) == more


@dataclass
class Pod:
    """A pod whose turns are known, those that nobody could see too."""

    name: str
    born: float
    count: int = 0
    seen: int | None = None
    visible: int = 0
    """What a window can know of: turns in it, but for those between a look and a restart."""
    unseen: int = field(default=0)

    def work(self, turns: int) -> None:
        self.count += turns
        self.unseen += turns

    def restart(self, at: float) -> None:
        self.born, self.count, self.unseen = at, 0, 0

    def look(self, window: Window) -> None:
        window.add(self.name, Sample(counted(self.count, self.count // 3), self.born))
        if self.seen is not None or self.born >= BEGAN:
            self.visible += self.unseen
        self.seen, self.unseen = self.count, 0


moves = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from(["work", "restart", "look", "gone"]), st.integers(0, 9)
    ),
    max_size=40,
)


@given(moves)
def test_no_turn_is_counted_twice_and_none_is_lost_that_could_be_seen(
    story: list[tuple[int, str, int]],
) -> None:
    window = Window(BEGAN)
    pods = [Pod(f"pod-{n}", OLD, count=3) for n in range(2)]
    every = list(pods)
    pods[0].look(window)  # the other one does not answer when the window begins
    before = 0.0
    for step, (number, move, turns) in enumerate(story):
        pod = pods[number]
        match move:
            case "work":
                pod.work(turns)
            case "restart":
                pod.restart(YOUNG + step)
            case "gone":
                pods[number] = Pod(f"pod-{number}-{step}", YOUNG + step)
                every.append(pods[number])
            case _:
                pod.look(window)
        assert window.tally().turns >= before
        before = window.tally().turns
    assert window.tally().turns == sum(pod.visible for pod in every)
    assert window.tally().latency.count == window.tally().turns


def handed_over(before: Window, pods: dict[str, Sample]) -> Window:
    """Another replica's window, which continues this one."""
    kept = before.keep(pods)
    assert kept is not None
    kept = WindowCounters.model_validate_json(kept.model_dump_json(by_alias=True))
    after = Window(BEGAN + 500)
    for pod, sample in pods.items():
        after.add(pod, sample)
    assert after.resume(kept, BEGAN)
    return after


actions = st.lists(
    st.tuples(st.sampled_from(["turns", "starts", "ends", "hands over"]), st.integers(0, 4)),
    max_size=40,
)


@given(actions)
def test_a_window_that_is_handed_over_has_lost_nothing(actions: list[tuple[str, int]]) -> None:
    whole, passed, pods = Window(BEGAN), Window(BEGAN), dict[str, Sample]()
    for number in range(2):
        pods[f"pod-{number}"] = Sample(counted(100, 3), OLD + number)
    for step, (action, number) in enumerate(actions):
        pod = f"pod-{number}"
        if action == "turns" and pod in pods:
            more = counted(7, 1) if step % 2 else counted(3)
            pods[pod] = Sample(add_tallies(pods[pod].tally, more), pods[pod].born)
        elif action == "starts":
            pods[pod] = Sample(counted(2), YOUNG + step)
        elif action == "ends":
            pods.pop(pod, None)
        for window in (whole, passed):
            for each, sample in pods.items():
                window.add(each, sample)
        if action == "hands over":
            passed = handed_over(passed, pods)
        found, expected = passed.tally(), whole.tally()
        assert (found.turns, found.errors) == (expected.turns, expected.errors)
        assert found.latency.count == expected.latency.count
        assert found.latency.above(0.1) == expected.latency.above(0.1)


def test_a_bound_without_turns_outlives_the_processes_that_have_it() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(2), YOUNG))
    assert handed_over(window, {}).tally().latency == counted(2).latency


def test_turns_while_no_operator_runs_are_counted() -> None:
    pods = {"a": Sample(counted(100, 3), OLD)}
    window = Window(BEGAN)
    window.add("a", pods["a"])
    kept = window.keep(pods)
    assert kept is not None
    after = Window(BEGAN + 500)
    after.add("a", Sample(counted(130, 8), OLD))
    after.add("b", Sample(counted(5, 5), YOUNG))
    after.add("c", Sample(counted(5000), OLD))
    assert after.resume(kept, BEGAN)
    assert (after.tally().turns, after.tally().errors) == (35, 10)


def test_a_window_whose_processes_have_ended_cannot_be_continued() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(100), OLD))
    kept = window.keep(["a"])
    assert kept is not None
    for pod, sample in (
        ("b", Sample(counted(100), OLD)),
        ("a", Sample(counted(100), YOUNG)),
        ("a", Sample(counted(3), OLD)),
    ):
        after = Window(BEGAN + 500)
        after.add(pod, sample)
        assert not after.resume(kept, BEGAN)


@pytest.mark.parametrize("name", ["tasks", "latency x", "latency nothing 1"])
def test_a_window_of_a_later_operator_is_not_continued(name: str) -> None:
    kept = WindowCounters(counters=(CounterStatus(name=name, value=1),))
    assert not Window(BEGAN).resume(kept, BEGAN)


def test_a_process_without_a_start_time_is_not_kept() -> None:
    window = Window(BEGAN)
    window.add("a", Sample(counted(100)))
    assert window.keep(["a"]) is None


def test_the_stored_window_of_a_hundred_pods_is_small() -> None:
    window, pods = Window(BEGAN), [f"10.0.0.{n}" for n in range(100)]
    bounds = tuple(1.5**n for n in range(20))
    for pod in pods:
        window.add(pod, Sample(counted(12345, 17, bounds), OLD))
    kept = window.keep(pods)
    assert kept is not None
    assert len(kept.model_dump_json()) < 4000
