"""Computes the desired routes of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Collection

from chatagent_operator.core.agent import PORT
from chatagent_operator.core.routing.routes import Backend, BackendState, Routes, assign_slots


def find_routes(
    current: Routes,
    *,
    stable: str | None,
    canary: str | None,
    weight: int,
    is_offered: bool,
    draining: Collection[str],
    is_applied: bool,
    address: Callable[[str], str | None],
) -> Routes:
    """Return the desired routes; `current` itself if nothing changes.

    Args:
        current: as last written.
        weight: percent of the new conversations that the canary gets now.
        is_offered: the canary waits only for the gateway before its first weight.
        draining: previous revisions that keep their conversations.
        is_applied: the gateway has applied `current`.
        address: returns the ClusterIP of a revision's Service; None while it has none.
    """
    # A Service that was deleted is created again, or cannot be: an abort does not wait for it.
    last = {backend.revision: backend.address for backend in current.backends}
    if stable and not (address(stable) or last.get(stable)):
        return current
    live = list(dict.fromkeys(name for name in (stable, canary, *draining) if name))
    known = current.slots()
    if known and not is_applied:
        # A lagging gateway still sends the pins of the previous slots to the others.
        live = [name for name in live if name in known]
    slots = assign_slots(known, live if stable else ())
    addresses = {name: address(name) for name in slots}
    if stable in addresses:
        addresses[stable] = addresses[stable] or last.get(stable)
    if not addresses.get(canary or ""):
        weight = 0  # its Service was deleted
    backends: list[Backend] = []
    for name, slot in slots.items():
        if not (found := addresses[name]):
            continue
        share = {stable: 100 - weight, canary: weight}.get(name, 0)
        # A canary is in drain just before its first weight. So a gateway pod that lags behind does
        # not move conversations that another one has just routed to the canary.
        is_next = name == canary and is_offered
        keeps = name in draining or name == stable or is_next
        unweighted: BackendState = "drain" if keeps else "maint"
        backends.append(
            Backend(
                slot=slot,
                revision=name,
                address=found,
                port=PORT,
                weight=share,
                state="ready" if share else unweighted,
            )
        )
    desired = Routes(generation=current.generation, stable=stable, backends=tuple(backends))
    if desired.to_json() == current.to_json():
        return current
    return desired.model_copy(update={"generation": current.generation + 1})
