"""Plans the commands that bring HAProxy from its current state to the intent, in order. Pure.

The order matters. Slots are closed first, except that a remaining revision must take over before
the last one that takes new conversations is closed; and no revision inherits pins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chatagent_operator.core.routing.haproxy import BACKEND, CHECKS, NO_REVISION
from chatagent_operator.core.routing.routes import SLOTS, Backend, Routes, Slot
from chatagent_operator.gateway.in_force import InForce, SlotInForce


def build_synced_command(slots_map: str) -> str:
    """Build the command that marks the pins of the other gateways as received."""
    return f"set map {slots_map} synced 1"


def plan_commands(intent: Routes, now: InForce, slots_map: str) -> list[str]:
    """Plan the commands that bring `now` to `intent`; none if they are equal.

    A slot in maint may contain pins again: a request that was in progress when they were cleared
    pins its conversation when the response arrives. So pins are also cleared when a slot opens,
    which keeps every open slot free of pins of previous revisions.

    The exception is a process that has not had an intent yet: it only has pins that the other
    gateways replicated to it, and those are valid. A revision is assigned to a slot only after
    every ready gateway has removed the previous one.
    """
    stopping: list[Slot] = [
        slot for slot in SLOTS if not _is_open(intent, slot) and _takes_requests(now, slot)
    ]
    staying = [b for b in _backends(intent) if not _is_opening(b, now.slots[b.slot])]
    opening = [b for b in _backends(intent) if _is_opening(b, now.slots[b.slot])]
    moving = [b for b in opening if _takes_requests(now, b.slot)]

    stops = [f"set server {BACKEND}/{slot} state maint" for slot in stopping]
    rises = [c for b in staying for c in _raise_weight(b, now.slots[b.slot])]
    # HAProxy serves requests between two commands. If all slots that take new conversations are
    # closed, the remaining ones must take over before, or requests fail in between.
    is_bridged = any(_takes_new_conversations(now, slot) for slot in SLOTS if slot not in stopping)
    commands = stops + rises if is_bridged else rises + stops
    if now.stable != intent.stable:
        # Before a revision is closed whose conversations it takes over.
        commands.insert(0, f"set map {slots_map} stable {intent.stable or NO_REVISION}")
    commands += [f"set server {BACKEND}/{b.slot} state maint" for b in moving]
    commands += [c for b in opening for c in _open_slot(b, now, slots_map)]
    commands += [_clear_pins(slot) for slot in stopping]
    commands += [c for b in staying for c in _lower_weight(b, now.slots[b.slot])]
    if commands or now.generation != intent.generation:
        # Last, so that a generation that is reported as applied is applied completely.
        commands.append(f"set map {slots_map} generation {intent.generation}")
    return list(_add_checks(commands))


def _add_checks(commands: Iterable[str]) -> Iterator[str]:
    """Add the same changes of the servers that are checked, each before the one it belongs to: a
    sidecar that is killed in between repeats both."""
    for command in commands:
        match command.split():
            case ["set", "server", name, "state", state]:
                checked = "maint" if state == "maint" else "ready"
                yield f"set server {_checked(name)} state {checked}"
            case ["set", "server", name, "addr", *address]:
                yield f"set server {_checked(name)} addr {' '.join(address)}"
            case _:
                pass
        yield command


def _checked(name: str) -> str:
    return name.replace(BACKEND, CHECKS, 1)


def _backends(intent: Routes) -> list[Backend]:
    return [backend for backend in intent.backends if backend.state != "maint"]


def _is_open(intent: Routes, slot: Slot) -> bool:
    backend = intent.in_slot(slot)
    return backend is not None and backend.state != "maint"


def _takes_requests(now: InForce, slot: Slot) -> bool:
    return now.slots[slot].state != "maint"


def _takes_new_conversations(now: InForce, slot: Slot) -> bool:
    return now.slots[slot].state == "ready" and now.slots[slot].weight > 0


def _is_opening(backend: Backend, slot: SlotInForce) -> bool:
    """Return whether the slot starts to serve this revision at this address."""
    return slot.state == "maint" or not _serves_revision(backend, slot)


def _serves_revision(backend: Backend, slot: SlotInForce) -> bool:
    there = (slot.revision, slot.address, slot.port)
    return there == (backend.revision, backend.address, backend.port)


def _raise_weight(backend: Backend, slot: SlotInForce) -> Iterator[str]:
    if backend.state == "ready" and backend.weight > slot.weight:
        yield _set_weight(backend)
    if backend.state == "ready" and slot.state == "drain":
        # Its weight is from before the drain; it must not be too high even for a moment.
        if backend.weight < slot.weight:
            yield _set_weight(backend)
        yield f"set server {BACKEND}/{backend.slot} state ready"


def _lower_weight(backend: Backend, slot: SlotInForce) -> Iterator[str]:
    if backend.state == "ready" and slot.state == "ready" and backend.weight < slot.weight:
        yield _set_weight(backend)
    if backend.state == "drain" and slot.weight > 0:
        yield _set_weight(backend)
    if backend.state == "drain" and slot.state == "ready":
        yield f"set server {BACKEND}/{backend.slot} state drain"


def _open_slot(backend: Backend, now: InForce, slots_map: str) -> Iterator[str]:
    name = f"{BACKEND}/{backend.slot}"
    if not _serves_revision(backend, now.slots[backend.slot]):
        # Responses in progress continue: they neither pin nor are named after the new revision.
        yield f"set server {name} addr {backend.address} port {backend.port}"
        yield f"set map {slots_map} {backend.slot} {backend.revision}"
    if now.generation is not None:
        yield _clear_pins(backend.slot)
    yield _set_weight(backend)
    yield f"set server {name} state {backend.state}"


def _clear_pins(slot: Slot) -> str:
    return f"clear table {BACKEND} data.server_id eq {SLOTS.index(slot) + 1}"


def _set_weight(backend: Backend) -> str:
    # HAProxy balances by the weights of all open slots, draining ones included.
    weight = backend.weight if backend.state == "ready" else 0
    return f"set server {BACKEND}/{backend.slot} weight {weight}"
