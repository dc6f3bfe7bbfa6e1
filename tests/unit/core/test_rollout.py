"""Properties of the state machine, whatever people and pods do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatagent_operator.core.rollout import (
    Command,
    InvalidCommandError,
    State,
    advance,
    parse_command,
)

REVISIONS = ("a", "b", "c")
NOW = "2026-01-01T00:00:00Z"

steps = st.lists(
    st.tuples(
        st.sampled_from(REVISIONS),
        st.frozensets(st.sampled_from(REVISIONS)),
        st.sampled_from([None, "promote", "abort"]),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(steps=steps, weight=st.integers(1, 50))
def test_a_canary_has_weight_only_beside_a_stable_one_and_when_ready(
    steps: list[tuple[str, frozenset[str], str | None]], weight: int
) -> None:
    state = State()
    for number, (target, ready, action) in enumerate(steps):
        command = Command(str(number), action) if action else None  # pyright: ignore[reportArgumentType]
        before = state
        decision = advance(state, target, ready, command, weight, NOW)
        state = decision.state
        assert decision.weight in (0, weight)
        if decision.weight:
            assert state.stable
            assert state.canary in ready
        assert state.canary != state.stable or state.canary is None
        assert state.failed is None or state.failed == target
        assert not (state.failed and state.failed in decision.live)
        if before.stable and state.stable != before.stable:
            assert action == "promote", "only a person replaces the stable revision"
        again = advance(state, target, ready, command, weight, NOW)
        assert again.state == state, "a second look decides nothing new"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("promote", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"action": "promote"}', "id must be"),
        ('{"id": "1", "action": "destroy"}', "action must be promote or abort"),
        ('{"id": "1", "action": "abort", "revision": 3}', "revision must be"),
    ],
)
def test_a_wrong_command_is_explained(text: str, wrong: str) -> None:
    with pytest.raises(InvalidCommandError, match=wrong):
        parse_command(text)


def test_no_command_is_none() -> None:
    assert parse_command(None) is None
    assert parse_command('{"id": "1", "action": "abort"}') == Command("1", "abort")
