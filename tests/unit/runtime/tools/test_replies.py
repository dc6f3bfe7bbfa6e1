"""A plain yes or no, and nothing that merely begins with one."""

from __future__ import annotations

import pytest

from agent_runtime.tools.replies import verdict


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("yes", "yes"),
        ("Yes, please!", "yes"),
        ("OK, go ahead", "yes"),
        ("sure thanks", "yes"),
        ("no problem", "yes"),
        ("好的", "yes"),
        ("好的，确认。", "yes"),
        ("可以，谢谢", "yes"),
        ("no", "no"),
        ("No, thanks", "no"),
        ("don’t do it", "no"),
        ("ok no", "no"),
        ("never mind", "no"),
        ("不用了", "no"),
        ("算了，谢谢", "no"),
        ("不好", "no"),
        ("yes but make it urgent", None),
        ("yes, and what about my refund?", None),
        ("yesterday", None),
        ("note", None),
        ("thanks", None),
        ("谢谢", None),
        ("好的工具是什么", None),
        ("", None),
        ("…", None),
    ],
)
def test_verdicts(message: str, said: str | None) -> None:
    assert verdict(message) == said


@pytest.mark.timeout(60)
def test_no_message_takes_long() -> None:
    """With time that grows faster than the message it would be hours."""
    for message in ("嗯" * 59 + "x", "yes " * 14 + "x", "a" * 1_000_000):
        assert verdict(message) is None
