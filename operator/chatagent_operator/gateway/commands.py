"""From what HAProxy does to what it shall do: the commands of one pass, in their order. Pure.

The order is the point. What must stop, stops first, but for a revision that stays taking over from
the last one that takes new conversations; and no revision inherits pins.
"""

from __future__ import annotations

from collections.abc import Iterator

from chatagent_operator.core.routing.haproxy import BACKEND, NO_REVISION
from chatagent_operator.core.routing.routes import SLOTS, Backend, Routes, Slot
from chatagent_operator.gateway.in_force import InForce, SlotInForce


def synced_command(slots_map: str) -> str:
    """That the other gateways' pins are here: from now on the gateway may be ready."""
    return f"set map {slots_map} synced 1"


def plan_commands(intent: Routes, now: InForce, slots_map: str) -> list[str]:
    """The commands that bring `now` to `intent`; none where it is there already.

    A slot that is in maint may hold pins again: a request that was on its way when they were
    cleared pins its conversation when the answer comes. So they are cleared when a slot opens
    too, which makes every open slot free of older pins, whatever happened before.

    But for a process that has had no intent: all that it holds are pins that the other gateways
    told it, and those are right. A revision moves into a slot only when every gateway that is ready
    has let the one before go.
    """
    stopping: list[Slot] = [slot for slot in SLOTS if not _open(intent, slot) and _takes(now, slot)]
    staying = [b for b in _backends(intent) if not _opens(b, now.slots[b.slot])]
    opening = [b for b in _backends(intent) if _opens(b, now.slots[b.slot])]
    moving = [b for b in opening if _takes(now, b.slot)]

    stops = [f"set server {BACKEND}/{slot} state maint" for slot in stopping]
    rises = [c for b in staying for c in _more(b, now.slots[b.slot])]
    # HAProxy serves requests between two commands. Where all that take new conversations stop,
    # those that stay must take over a moment before, or requests fail in between.
    bridged = any(_takes_new(now, slot) for slot in SLOTS if slot not in stopping)
    commands = stops + rises if bridged else rises + stops
    if now.stable != intent.stable:
        # Before a revision stops, whose conversations it is to take over.
        commands.insert(0, f"set map {slots_map} stable {intent.stable or NO_REVISION}")
    commands += [f"set server {BACKEND}/{b.slot} state maint" for b in moving]
    commands += [c for b in opening for c in _reopen(b, now, slots_map)]
    commands += [_clear(slot) for slot in stopping]
    commands += [c for b in staying for c in _less(b, now.slots[b.slot])]
    if commands or now.generation != intent.generation:
        # Last, so that a generation in force is in force as a whole.
        commands.append(f"set map {slots_map} generation {intent.generation}")
    return commands


def _backends(intent: Routes) -> list[Backend]:
    return [backend for backend in intent.backends if backend.state != "maint"]


def _open(intent: Routes, slot: Slot) -> bool:
    backend = intent.in_slot(slot)
    return backend is not None and backend.state != "maint"


def _takes(now: InForce, slot: Slot) -> bool:
    return now.slots[slot].state != "maint"


def _takes_new(now: InForce, slot: Slot) -> bool:
    return now.slots[slot].state == "ready" and now.slots[slot].weight > 0


def _opens(backend: Backend, slot: SlotInForce) -> bool:
    """Whether the slot starts to serve this revision, at this address."""
    return slot.state == "maint" or not _serves(backend, slot)


def _serves(backend: Backend, slot: SlotInForce) -> bool:
    there = (slot.revision, slot.address, slot.port)
    return there == (backend.revision, backend.address, backend.port)


def _more(backend: Backend, slot: SlotInForce) -> Iterator[str]:
    if backend.state == "ready" and backend.weight > slot.weight:
        yield _weight(backend)
    if backend.state == "ready" and slot.state == "drain":
        # Its weight is from before the drain; one that is too high must not show for a moment.
        if backend.weight < slot.weight:
            yield _weight(backend)
        yield f"set server {BACKEND}/{backend.slot} state ready"


def _less(backend: Backend, slot: SlotInForce) -> Iterator[str]:
    if backend.state == "ready" and slot.state == "ready" and backend.weight < slot.weight:
        yield _weight(backend)
    if backend.state == "drain" and slot.weight > 0:
        yield _weight(backend)
    if backend.state == "drain" and slot.state == "ready":
        yield f"set server {BACKEND}/{backend.slot} state drain"


def _reopen(backend: Backend, now: InForce, slots_map: str) -> Iterator[str]:
    name = f"{BACKEND}/{backend.slot}"
    if not _serves(backend, now.slots[backend.slot]):
        # Answers under way go on: they neither pin nor are named as what comes now.
        yield f"set server {name} addr {backend.address} port {backend.port}"
        yield f"set map {slots_map} {backend.slot} {backend.revision}"
    if now.generation is not None:
        yield _clear(backend.slot)
    yield _weight(backend)
    yield f"set server {name} state {backend.state}"


def _clear(slot: Slot) -> str:
    return f"clear table {BACKEND} data.server_id eq {SLOTS.index(slot) + 1}"


def _weight(backend: Backend) -> str:
    # HAProxy draws by the weights of all that are open, a slot that drains among them.
    weight = backend.weight if backend.state == "ready" else 0
    return f"set server {BACKEND}/{backend.slot} weight {weight}"
