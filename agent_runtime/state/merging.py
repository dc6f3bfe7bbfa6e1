"""Two turns of one conversation at the same time: neither undoes the other. Pure."""

from __future__ import annotations

from dataclasses import replace

from agent_runtime.domain import Session, Turn, newest

DELETED = Session("")
"""What is stored in the place of a deleted conversation until no turn goes on that began before.
Without it a turn would take the conversation for lost, and bring back what it had loaded."""


def merged(session: Session, stored: Session | None, keep: int) -> Session | None:
    """Return what is to be stored for `session`, where `stored` is there now.

    The newest `keep` turns are kept. Where nothing was stored since `session` was loaded, it is
    `session` itself; otherwise the turns that it added follow those of the other. Nothing is
    stored where it was deleted since then.
    """
    if stored == DELETED:
        if session.loaded is not None:
            return None
        stored = None
    before = session.loaded.turns if session.loaded else ()
    turns = session.turns
    if stored is not None and stored.turns != before:
        known = _overlap(before, turns)
        # A client that sent another conversation than the one that was loaded is right.
        turns = turns if before and not known else stored.turns + turns[known:]
    pending = session.pending
    if stored is not None and pending == (session.loaded.pending if session.loaded else None):
        pending = stored.pending
    return replace(
        session,
        turns=newest(turns, keep),
        pending=pending,
        grounded=session.grounded or (stored is not None and stored.grounded),
        loaded=None,
    )


def settled(stored: Session | None, pending_id: str) -> Session | None:
    """Return what is to be stored once this is settled, or None where nothing waits for it."""
    if stored is None or stored.pending is None or stored.pending.id != pending_id:
        return None
    return replace(stored, pending=None)


def _overlap(before: tuple[Turn, ...], turns: tuple[Turn, ...]) -> int:
    """Return how many turns at the front of `turns` end `before`, whose oldest may be gone."""
    for length in range(min(len(before), len(turns)), 0, -1):
        if before[-length:] == turns[:length]:
            return length
    return 0
