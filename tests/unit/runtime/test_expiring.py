"""A mapping that forgets."""

from __future__ import annotations

from agent_runtime.expiring import Expiring


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_forgets_what_is_too_old() -> None:
    clock = Clock()
    kept: Expiring[str, int] = Expiring(10, clock=clock)
    kept.put("a", 1, 5)
    clock.now = 4.9
    assert kept.get("a") == 1
    clock.now = 5
    assert kept.get("a") is None
    assert len(kept) == 0


def test_it_forgets_what_was_used_least_recently() -> None:
    kept: Expiring[str, int] = Expiring(2)
    kept.put("a", 1, 5)
    kept.put("b", 2, 5)
    kept.get("a")
    kept.put("c", 3, 5)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)


def test_it_weighs() -> None:
    kept: Expiring[str, bytes] = Expiring(10, weight=10)
    kept.put("a", b"1", 5, 6)
    kept.put("a", b"2", 5, 6)
    kept.put("b", b"3", 5, 4)
    assert (kept.get("a"), kept.get("b")) == (b"2", b"3")
    kept.put("c", b"4", 5, 1)
    assert kept.get("a") is None
    kept.put("d", b"5", 5, 11)
    assert len(kept) == 0
