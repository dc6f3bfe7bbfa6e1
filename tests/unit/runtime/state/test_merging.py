"""Turns of one conversation at the same time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.domain import Pending, Session, ToolCall, Turn
from agent_runtime.state.merging import DELETED
from agent_runtime.state.merging import merged as stored_of

EMPTY = Session("c", "alice", "shop")
WAITS = Pending("p", ToolCall("1", "create_ticket", {}))


def said(*texts: str) -> tuple[Turn, ...]:
    return tuple(
        turn for text in texts for turn in (Turn("user", text), Turn("assistant", text.upper()))
    )


def loaded(session: Session) -> Session:
    return replace(session, loaded=session)


def merged(session: Session, stored: Session | None, keep: int) -> Session:
    to_store = stored_of(session, stored, keep)
    assert to_store is not None
    return to_store


def added(session: Session, *texts: str, keep: int = 1000) -> Session:
    """What a pipeline makes of a session in a turn: it may drop the oldest."""
    return replace(session, turns=(session.turns + said(*texts))[-keep:])


def test_alone_it_is_stored_as_it_is() -> None:
    first = merged(added(EMPTY, "a"), None, 100)
    assert first.turns == said("a")
    assert merged(added(loaded(first), "b"), first, 100).turns == said("a", "b")


def test_two_first_turns_both_stay() -> None:
    first = merged(added(EMPTY, "a"), None, 100)
    assert merged(added(EMPTY, "b"), first, 100).turns == said("a", "b")


@given(st.integers(0, 6), st.integers(1, 3), st.integers(1, 3), st.integers(2, 20))
def test_neither_of_two_turns_undoes_the_other(
    before: int, theirs: int, ours: int, keep: int
) -> None:
    base = replace(EMPTY, turns=said(*(f"old {n}" for n in range(before)))[-keep:])
    names = [f"theirs {n}" for n in range(theirs)], [f"ours {n}" for n in range(ours)]
    first = merged(added(loaded(base), *names[0], keep=keep), base, keep)
    both = merged(added(loaded(base), *names[1], keep=keep), first, keep)
    assert both.turns == (base.turns + said(*names[0], *names[1]))[-keep:]


def test_a_client_that_sends_another_conversation_is_right() -> None:
    base = loaded(replace(EMPTY, turns=said("a", "b")))
    stored = replace(EMPTY, turns=said("a", "b", "c"))
    assert merged(replace(base, turns=said("x", "y")), stored, 100).turns == said("x", "y")


def test_a_turn_that_had_nothing_to_do_with_a_pending_call_leaves_it() -> None:
    base = loaded(replace(EMPTY, turns=said("a")))
    stored = replace(EMPTY, turns=said("a", "b"), pending=WAITS)
    assert merged(added(base, "c"), stored, 100).pending == WAITS
    settled = loaded(stored)
    assert merged(replace(settled, pending=None), stored, 100).pending is None


def test_only_the_newest_are_kept() -> None:
    assert merged(added(EMPTY, "a", "b", "c"), None, 2).turns == said("c")


def test_documents_that_another_turn_showed_stay_in_view() -> None:
    first = replace(merged(added(EMPTY, "a"), None, 100), grounded=True)
    assert merged(added(EMPTY, "b"), first, 100).grounded
    assert not merged(added(EMPTY, "b"), None, 100).grounded


def test_a_deleted_conversation_stays_away_and_its_name_is_free() -> None:
    base = replace(EMPTY, turns=said("a"), pending=WAITS)
    assert stored_of(added(loaded(base), "b"), DELETED, 100) is None
    assert stored_of(added(EMPTY, "b"), DELETED, 100) == added(EMPTY, "b")
    # One that was lost without being deleted is whole again.
    assert stored_of(added(loaded(base), "b"), None, 100) == added(base, "b")


def test_a_question_stays_while_functions_are_called_for_it() -> None:
    calls = tuple(Turn("assistant", "", (ToolCall(str(n), "f", {}),)) for n in range(9))
    base = replace(EMPTY, turns=(*said("a"), Turn("user", "b"), *calls))
    kept = merged(base, None, 4).turns
    assert kept == (Turn("user", "b"), *calls[-3:])
    assert merged(replace(EMPTY, turns=calls), None, 4).turns == calls[-4:]
