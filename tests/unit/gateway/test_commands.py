"""The order of a pass, checked against a small model of what HAProxy does with each command."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chatagent_operator.core.routing.haproxy import BACKEND, CHECKS, NOWHERE
from chatagent_operator.core.routing.routes import SLOTS, Backend, BackendState, Routes, Slot
from chatagent_operator.gateway.commands import plan_commands
from chatagent_operator.gateway.in_force import InForce, SlotInForce

MAP = "/etc/haproxy/slots.map"
STATES: list[BackendState] = ["ready", "drain", "maint"]


def fresh() -> InForce:
    empty = SlotInForce(None, NOWHERE, 8080, 1, "maint")
    return InForce(7, 0, None, dict.fromkeys(SLOTS, empty), 0)


@dataclass
class Model:
    """HAProxy as far as the plan relies on it, at its busiest: after each command every open slot
    has pinned a conversation, and one more is under way whose answer will pin it, some time: if
    its slot is open then and serves the same revision."""

    now: InForce
    pins: dict[Slot, set[str]] = field(default_factory=lambda: {slot: set() for slot in SLOTS})
    under_way: dict[Slot, set[str]] = field(default_factory=lambda: {slot: set() for slot in SLOTS})
    checks: dict[Slot, SlotInForce] = field(default_factory=dict[Slot, SlotInForce])

    def run(self, command: str) -> None:
        match command.split():
            case ["set", "server", name, "state", ("ready" | "maint") as state] if _checks(name):
                self._check(name, state=state)
            case ["set", "server", name, "addr", address, "port", port] if _checks(name):
                self._check(name, address=address, port=int(port))
            case ["set", "server", name, "state", ("ready" | "drain" | "maint") as state]:
                self._change(name, state=state)
            case ["set", "server", name, "weight", weight]:
                self._change(name, weight=int(weight))
            case ["set", "server", name, "addr", address, "port", port]:
                self._change(name, address=address, port=int(port))
            case ["set", "map", _, "generation", generation]:
                self.now = replace(self.now, generation=int(generation))
            case ["set", "map", _, "stable", revision]:
                self.now = replace(self.now, stable=None if revision == "-" else revision)
            case ["set", "map", _, slot, revision]:
                self._change(f"agent/{slot}", revision=revision)
            case ["clear", "table", "agent", "data.server_id", "eq", number]:
                self.pins[SLOTS[int(number) - 1]].clear()
            case _:
                raise AssertionError(command)
        for slot, server in self.now.slots.items():
            if server.state != "maint" and server.revision:
                self.pins[slot] |= self.under_way[slot] & {server.revision}
                self.pins[slot].add(server.revision)
                self.under_way[slot].add(server.revision)

    def takers(self) -> set[Slot]:
        """Slots that take new conversations."""
        slots = self.now.slots.items()
        return {name for name, slot in slots if slot.state == "ready" and slot.weight > 0}

    def inheriting(self) -> set[Slot]:
        """Open slots with pins that are not for what they serve."""
        slots = self.now.slots.items()
        return {
            name
            for name, slot in slots
            if slot.state != "maint" and self.pins[name] - {slot.revision}
        }

    def _check(self, name: str, **changes: Any) -> None:
        slot = _slot(name.replace(CHECKS, BACKEND))
        self.checks[slot] = replace(self.checks.get(slot, self.now.slots[slot]), **changes)

    def _change(self, name: str, **changes: Any) -> None:
        server = replace(self.now.slots[_slot(name)], **changes)
        self.now = replace(self.now, slots={**self.now.slots, _slot(name): server})


def _checks(name: str) -> bool:
    return name.startswith(f"{CHECKS}/")


def _slot(name: str) -> Slot:
    return next(slot for slot in SLOTS if name == f"agent/{slot}")


@st.composite
def intents(draw: st.DrawFn) -> Routes:
    slots = draw(st.lists(st.sampled_from(SLOTS), unique=True))
    names = [f"{slot}-{draw(st.sampled_from('aab'))}" for slot in slots]
    states: list[BackendState] = [draw(st.sampled_from(STATES)) for _ in slots]
    ready = states.count("ready")
    middle = max(ready - 1, 0)
    cuts = [0, *sorted(draw(st.lists(st.integers(0, 100), min_size=middle, max_size=middle))), 100]
    shares = (high - low for low, high in itertools.pairwise(cuts))
    return Routes(
        generation=draw(st.integers(0, 9)),
        stable=draw(st.sampled_from([None, *names])),
        backends=tuple(
            Backend(
                slot=slot,
                revision=name,
                address=draw(st.sampled_from(["10.96.0.1"] * 5 + ["10.96.0.2"])),
                port=8080,
                weight=next(shares) if state == "ready" else 0,
                state=state,
            )
            for slot, name, state in zip(slots, names, states, strict=True)
        ),
    )


STORIES = st.lists(intents(), min_size=1, max_size=5)


@given(STORIES)
def test_every_pass_arrives_and_the_next_has_nothing_to_do(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        for command in plan_commands(intent, model.now, MAP):
            model.run(command)
        assert plan_commands(intent, model.now, MAP) == []
        assert (model.now.generation, model.now.stable) == (intent.generation, intent.stable)
        for slot, server in model.now.slots.items():
            backend = intent.in_slot(slot)
            assert server.state == (backend.state if backend else "maint")
            if backend and backend.state != "maint":
                assert (server.revision, server.address) == (backend.revision, backend.address)
            if backend and backend.state == "ready":
                assert server.weight == backend.weight
            if backend and backend.state == "drain":
                assert server.weight == 0, "else names would be drawn for it"
            checked = model.checks.get(slot, server)
            assert (checked.state == "maint") == (server.state == "maint")
            if backend and backend.state != "maint":
                assert (checked.address, checked.port) == (server.address, server.port)


@given(STORIES)
def test_what_takes_requests_is_checked_throughout(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        for command in plan_commands(intent, model.now, MAP):
            model.run(command)
            stopping = command.startswith(f"set server {CHECKS}/") and command.endswith("maint")
            for slot in () if stopping else model.takers():
                assert model.checks[slot].state == "ready", command


@given(STORIES)
def test_no_revision_inherits_a_conversation(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        for command in plan_commands(intent, model.now, MAP):
            model.run(command)
            assert not model.inheriting(), command


@given(STORIES)
def test_what_must_stop_stops_first_and_is_let_go(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        stops = {
            f"set server agent/{slot} state maint"
            for slot, server in model.now.slots.items()
            if server.state != "maint" and slot not in {b.slot for b in open_backends(intent)}
        }
        planned = plan_commands(intent, model.now, MAP)
        commands = [command for command in planned if f" {CHECKS}/" not in command]
        others_take = model.takers() - {_slot(command.split()[2]) for command in stops}
        first = next((n for n, command in enumerate(commands) if command in stops), 0)
        assert set(commands[first : first + len(stops)]) == stops
        # Only what takes over from them may come before.
        named = [c for c in commands[:first] if c.startswith(f"set map {MAP} stable ")]
        assert commands[:first] == named or not others_take
        rises = [c for c in commands[:first] if c not in named]
        assert all("weight" in c or "state ready" in c for c in rises)
        for command in stops:
            number = SLOTS.index(_slot(command.split()[2])) + 1
            assert f"clear table agent data.server_id eq {number}" in commands
        for command in planned:
            model.run(command)


@given(STORIES)
def test_some_revision_takes_new_conversations_throughout(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        # Who is open, and does not change its revision in place, can bridge the pass.
        stay = {
            backend.slot: backend
            for backend in open_backends(intent)
            if (old := model.now.slots[backend.slot]).revision == backend.revision
            and old.address == backend.address
            and old.state != "maint"
        }
        bridged = bool(model.takers()) and any(
            slot in model.takers() or (backend.state == "ready" and backend.weight > 0)
            for slot, backend in stay.items()
        )
        gaps: list[str] = []
        for command in plan_commands(intent, model.now, MAP):
            model.run(command)
            if not model.takers():
                gaps.append(command)
        assert not (bridged and model.takers() and gaps), gaps


@given(STORIES)
def test_weights_alone_touch_no_pin(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        same = all(
            (old := model.now.slots[b.slot]).state != "maint"
            and (old.revision, old.address) == (b.revision, b.address)
            for b in open_backends(intent)
        ) and len(open_backends(intent)) == sum(
            server.state != "maint" for server in model.now.slots.values()
        )
        commands = plan_commands(intent, model.now, MAP)
        if same:
            assert not [c for c in commands if c.startswith("clear")]
        for command in commands:
            model.run(command)


def open_backends(intent: Routes) -> list[Backend]:
    return [backend for backend in intent.backends if backend.state != "maint"]


@given(intents())
def test_a_new_process_keeps_what_the_other_gateways_told_it(intent: Routes) -> None:
    assert not [c for c in plan_commands(intent, fresh(), MAP) if c.startswith("clear")]


@given(STORIES)
def test_no_answer_under_way_is_cut(story: list[Routes]) -> None:
    model = Model(fresh())
    for intent in story:
        for command in plan_commands(intent, model.now, MAP):
            assert "shutdown" not in command
            model.run(command)


def test_an_abort_reads_like_this() -> None:
    model = Model(fresh())
    stable = Backend(
        slot="s1", revision="a", address="10.96.0.1", port=8080, weight=95, state="ready"
    )
    canary = Backend(
        slot="s2", revision="b", address="10.96.0.2", port=8080, weight=5, state="ready"
    )
    for command in plan_commands(Routes(generation=1, backends=(stable, canary)), model.now, MAP):
        model.run(command)
    abort = Routes(
        generation=2,
        backends=(
            stable.model_copy(update={"weight": 100}),
            canary.model_copy(update={"weight": 0, "state": "maint"}),
        ),
    )
    assert plan_commands(abort, model.now, MAP) == [
        "set server reachable/s2 state maint",
        "set server agent/s2 state maint",
        "set server agent/s1 weight 100",
        "clear table agent data.server_id eq 2",
        f"set map {MAP} generation 2",
    ]


def test_who_takes_over_is_named_before_the_former_one_stops() -> None:
    model = Model(fresh())
    former = Backend(
        slot="s1", revision="a", address="10.96.0.1", port=8080, weight=50, state="ready"
    )
    next_one = Backend(
        slot="s2", revision="b", address="10.96.0.2", port=8080, weight=50, state="ready"
    )
    both = Routes(generation=1, backends=(former, next_one), stable="a")
    for command in plan_commands(both, model.now, MAP):
        model.run(command)
    assert model.now.stable == "a"
    promoted = next_one.model_copy(update={"weight": 100})
    promotion = Routes(generation=2, backends=(promoted,), stable="b")
    first = plan_commands(promotion, model.now, MAP)[:3]
    stop = ["set server reachable/s1 state maint", "set server agent/s1 state maint"]
    assert first == [f"set map {MAP} stable b", *stop]
