"""The gateway's intent: what is refused, that JSON keeps it, and who gets which slot."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatagent_operator.core.routing.routes import (
    SLOTS,
    Backend,
    Routes,
    RoutesError,
    Slot,
    assign_slots,
    parse_routes,
)

REVISIONS = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,10}[a-z0-9])?", fullmatch=True)


@st.composite
def weights(draw: st.DrawFn, count: int) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=count - 1, max_size=count - 1)))
    return [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]


@st.composite
def routes(draw: st.DrawFn) -> Routes:
    slots = draw(st.lists(st.sampled_from(SLOTS), unique=True))
    names = draw(st.lists(REVISIONS, min_size=len(slots), max_size=len(slots), unique=True))
    states = [draw(st.sampled_from(["ready", "drain", "maint"])) for _ in slots]
    ready = states.count("ready")
    shares = iter(draw(weights(ready)) if ready else [])
    return Routes(
        generation=draw(st.integers(0, 2**31 - 1)),
        backends=tuple(
            Backend(
                slot=slot,
                revision=name,
                address=str(draw(st.ip_addresses())),
                port=draw(st.integers(1, 65535)),
                weight=next(shares) if state == "ready" else draw(st.integers(0, 100)),
                state=state,  # pyright: ignore[reportArgumentType]
            )
            for slot, name, state in zip(slots, names, states, strict=True)
        ),
        stable=draw(st.none() | REVISIONS),
    )


@given(routes())
def test_json_keeps_an_intent(intent: Routes) -> None:
    again = parse_routes(intent.to_json())
    assert again.generation == intent.generation
    assert set(again.backends) == set(intent.backends)
    assert again.stable == intent.stable
    assert again.to_json() == intent.to_json()


@given(routes(), st.randoms(use_true_random=False))
def test_json_does_not_depend_on_the_order(intent: Routes, random: Any) -> None:
    shuffled = list(intent.backends)
    random.shuffle(shuffled)
    other = intent.model_copy(update={"backends": tuple(shuffled)})
    assert other.to_json() == intent.to_json()


def backend(**changes: Any) -> dict[str, Any]:
    base = {"slot": "s1", "revision": "ab12", "address": "10.96.1.2", "port": 8080}
    return {**base, "weight": 100, "state": "ready", **changes}


def text(*backends: dict[str, Any], generation: Any = 1) -> str:
    return json.dumps({"generation": generation, "backends": backends})


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ("{}", "generation"),
        (text(generation=-1), "generation"),
        (text(generation=2**31), "generation"),
        (text(backend(slot="s5")), "backends.0.slot"),
        (text(backend(weight=101)), "backends.0.weight"),
        (text(backend(weight=99)), "sum to 100, got \\[99\\]"),
        (text(backend(), backend(slot="s2", revision="cd34")), "sum to 100, got \\[100, 100\\]"),
        (text(backend(), backend(slot="s2", weight=0)), "revision of its own"),
        (text(backend(), backend(revision="cd34", weight=0)), "slot of its own"),
        (text(backend(address="model.example")), "address"),
        (text(backend(address="10.96.1.2; shutdown sessions")), "address"),
        (text(backend(address="fe80::1%eth0; x")), "address"),
        (text(backend(revision="ab12; set")), "revision"),
        (text(backend(revision="ab12\n")), "revision"),
        (text(backend(port=0)), "port"),
        (text(backend(state="stopped")), "state"),
        ('{"generation": 1, "stable": "ab12; set"}', "stable"),
    ],
)
def test_refused(refused: str, reason: str) -> None:
    with pytest.raises(RoutesError, match=reason) as caught:
        parse_routes(refused)
    assert "\n" not in str(caught.value)


def test_no_backend_is_ready() -> None:
    intent = parse_routes(
        text(backend(state="drain", weight=7), backend(slot="s2", revision="b", state="maint"))
    )
    assert [one.state for one in intent.backends] == ["drain", "maint"]
    assert parse_routes(text()).backends == ()


def test_fields_of_a_newer_operator_are_ignored() -> None:
    assert parse_routes(text(backend(zone="eu-1"))).backends[0].revision == "ab12"


PREVIOUS = st.lists(st.tuples(REVISIONS, st.sampled_from(SLOTS)), max_size=4).map(
    lambda pairs: {revision: slot for slot, revision in {s: r for r, s in pairs}.items()}
)


@given(PREVIOUS, st.lists(REVISIONS, max_size=6), st.data())
def test_slots(previous: dict[str, Slot], new: list[str], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(sorted(previous)))) if previous else []
    revisions = data.draw(st.permutations(kept + new))
    assigned = assign_slots(previous, revisions)

    assert len(set(assigned.values())) == len(assigned)
    assert set(assigned) <= set(revisions)
    for revision in revisions:
        if revision in previous:
            assert assigned[revision] == previous[revision]
        elif revision in assigned:
            assert assigned[revision] not in previous.values()
    # Nobody waits while a slot is free, and who came first does not wait for who came later.
    new_ones = [r for r in dict.fromkeys(revisions) if r not in previous]
    free = len(SLOTS) - len(set(previous.values()))
    assert [r for r in new_ones if r in assigned] == new_ones[:free]


def test_a_slot_is_given_again_only_after_an_intent_without_it() -> None:
    full: dict[str, Slot] = {"a": "s1", "b": "s2", "c": "s3", "d": "s4"}
    first = assign_slots(full, ["b", "c", "d", "e"])
    assert first == {"b": "s2", "c": "s3", "d": "s4"}
    assert assign_slots(first, ["b", "c", "d", "e"]) == {**first, "e": "s1"}
