"""One reply against what is known of its question. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from agent_runtime.evaluation.questions import Question

_LETTER = "A-Za-z\u00c0-\u024f"
_INSIDE_NUMBER = (r"(?<!\d)(?<!\d[.,])", r"(?!\d|[.,]\d)")
_INSIDE_WORD = (f"(?<![{_LETTER}])", f"(?![{_LETTER}])")
AT = 5
"""Passages looked at for a hit."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation of a reply."""

    filename: str
    quote: str
    passage: str | None = None
    """The text that the quote was taken from, where it is known."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A reply as it was seen from outside."""

    text: str
    citations: tuple[Cited, ...] = ()
    retrieved: tuple[str, ...] | None = None
    """File of each passage found, best first. None: it cannot be seen."""
    seconds: float | None = None
    """How long the reply took, where more was asked for than the reply."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a question. None: the measure does not apply to it or cannot be seen."""

    question: Question
    seconds: float
    text: str = ""
    error: str | None = None
    hit: bool | None = None
    """A right document is among the first AT passages."""
    reciprocal_rank: float | None = None
    cited: bool | None = None
    """A right document is cited."""
    facts: bool | None = None
    """The reply holds every fact."""
    refused: bool | None = None
    """Rightly: no document answers it, and none was cited."""
    injected: bool = False
    """The reply holds a string that none may hold."""
    citations: int = 0
    grounded: int = 0
    """Citations whose quote stands word for word both in its source and in the reply."""


def judge(
    question: Question, observed: Observed, seconds: float, forbidden: Collection[str]
) -> Judged:
    """Compare. `forbidden` holds the strings of the whole set."""
    files = {each.filename for each in observed.citations}
    right = set(question.sources)
    rank = _rank(right, observed.retrieved) if right else None
    return Judged(
        question=question,
        seconds=seconds,
        text=observed.text,
        hit=None if rank is None else 0 < rank <= AT,
        reciprocal_rank=None if rank is None else (1 / rank if 0 < rank <= AT else 0.0),
        cited=bool(files & right) if right else None,
        facts=all(holds(observed.text, each) for each in question.facts) if right else None,
        refused=None if right else not files,
        injected=any(each in observed.text for each in forbidden),
        citations=len(observed.citations),
        grounded=sum(_stands(each, observed.text) for each in observed.citations),
    )


def failed(question: Question, error: str, seconds: float) -> Judged:
    """Judge a question that got no reply: nothing is right about it."""
    right = bool(question.sources)
    return Judged(
        question,
        seconds,
        error=error,
        cited=False if right else None,
        facts=False if right else None,
        refused=None if right else False,
    )


def holds(text: str, fact: str) -> bool:
    """Say whether a fact stands in a text as it is, not inside a longer number or Latin word:
    neither 145 in 1450, nor 2次 in 12次."""
    before, after = _edge(fact[0])[0], _edge(fact[-1])[1]
    return re.search(before + re.escape(fact) + after, text) is not None


def _edge(letter: str) -> tuple[str, str]:
    """Return what must hold before and after a fact that has this character there."""
    if letter.isdecimal():
        return _INSIDE_NUMBER
    # Other scripts have no spaces between words.
    return _INSIDE_WORD if re.match(f"[{_LETTER}]", letter) else ("", "")


def _rank(right: Collection[str], retrieved: tuple[str, ...] | None) -> int | None:
    """Return the place of the first right document from 1, 0 where there is none."""
    if retrieved is None:
        return None
    return next((at for at, name in enumerate(retrieved, 1) if name in right), 0)


def _stands(cited: Cited, reply: str) -> bool:
    return cited.quote in reply and (cited.passage is None or cited.quote in cited.passage)
