"""The routes that the gateway should have, given what the canary should get."""

from __future__ import annotations

from collections.abc import Callable, Collection

from chatagent_operator.core.agent import PORT
from chatagent_operator.core.routing.routes import Backend, BackendState, Routes, assign_slots


def find_routes(
    present: Routes,
    *,
    stable: str | None,
    canary: str | None,
    weight: int,
    is_offered: bool,
    draining: Collection[str],
    is_in_force: bool,
    address: Callable[[str], str | None],
) -> Routes:
    """Return the routes; `present` itself where nothing changes.

    Args:
        present: as last written.
        weight: percent of the new conversations that the canary gets now.
        is_offered: the canary waits for its first weight, and only the gateway is waited for.
        draining: previous revisions that keep their conversations.
        is_in_force: the gateway follows `present`.
        address: of a revision's Service; None while there is none.
    """
    if stable and not address(stable):
        return present  # its Service was deleted and is being recreated
    live = list(dict.fromkeys(name for name in (stable, canary, *draining) if name))
    known = present.slots()
    if known and not is_in_force:
        # A gateway that lags still reports conversations in the previous slots to the others.
        live = [name for name in live if name in known]
    slots = assign_slots(known, live if stable else ())
    addresses = {name: address(name) for name in slots}
    if not addresses.get(canary or ""):
        weight = 0  # its Service was deleted
    backends: list[Backend] = []
    for name, slot in slots.items():
        if not (found := addresses[name]):
            continue
        share = {stable: 100 - weight, canary: weight}.get(name, 0)
        # A canary drains just before its first weight, so that no gateway which has that weight a
        # moment before another one sees its conversations moved elsewhere by that one.
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
    wanted = Routes(generation=present.generation, stable=stable, backends=tuple(backends))
    if wanted.to_json() == present.to_json():
        return present
    return wanted.model_copy(update={"generation": present.generation + 1})
