"""Questions that lean on the ones before them, and what they say on their own.

By rule, since a model may not be at hand: what is left open is filled from the question before.
Three kinds are told apart: one that names another thing ("And for furniture?"), which takes that
thing's place in the question before; one that points back ("How long does it take?"), which keeps
the words before in view; and one that stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from agent_runtime.domain import Turn
from agent_runtime.text.language import HAN, language_of
from agent_runtime.text.terms import Analyzer

_LEAD = re.compile(
    r"^\s*(?:ok(?:ay)?\b|and\b|but\b|so\b|or\b|then\b|also\b|well\b|what if\b|what about\b"
    r"|how about\b|same (?:question )?for\b"
    r"|那么|那|还有|另外|以及|要是|如果是|如果|换成|至于|好的?)"
    r"[\s,，]*",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"^(?:(?:for|with|about|in|on|to|from|at|by|of|if it(?:'s| is)?)\s+)?(?:(?:an?|the)\s+)?", re.I
)
_TAIL = re.compile(r" ?(?:then|too|as well|instead|please|呢|吗|的话){0,4}$", re.I)
"""Bounded: it is tried at every place of a message, which may be long and made to be slow."""
_MARKS = " ?？!！.。"
_POINTS_BACK = re.compile(
    r"\b(?:it|its|that|this|those|these|they|them|their|there|one|ones|same|he|she|him|her)\b"
    r"|它|他们|她们|这个|那个|这些|那些|这样|那样|这种|那种|这里|那里|同样|上面|刚才|前面",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:how|what|when|where|which|who|why|is|are|do|does|did|can|could|will|would|should|may)\b"
    r"|怎么|什么|多少|多久|几|哪|谁|为什么|如何|能|可以|是否|吗|要",
    re.IGNORECASE,
)
LONGEST = 16
"""Words (or half as many Chinese characters) of the longest question that leans on others."""


def leans_back(question: str, history: Sequence[Turn]) -> bool:
    """Tell whether a question needs the turns before it."""
    if not any(turn.role == "user" for turn in history):
        return False
    if _length(question) > LONGEST:
        return False
    led = _LEAD.match(question)
    return bool(
        (led and led.group().strip())
        or _POINTS_BACK.search(question)
        or re.search(r"呢[?？]?\s*$", question)
        or _length(question) <= 2
    )


def focus(question: str) -> str | None:
    """Return the other thing that a question names, or None where it asks something of its own."""
    rest = " ".join(_LEAD.sub("", _LEAD.sub("", question)).split())
    rest = _TAIL.sub("", rest.rstrip(_MARKS)).rstrip()
    rest = _BEFORE.sub("", rest)
    if not rest or _ASKS.search(rest) or _POINTS_BACK.search(rest):
        return None
    return rest if _length(rest) <= LONGEST / 2 else None


def substitutes(question: str, analyzer: Analyzer) -> list[str]:
    """Return the parts of a question that another thing could take the place of: its content words
    and pairs of neighbouring ones, as they stand there."""
    if language_of(question) == "zh":
        words = [word for unit in analyzer.units(question) for word in unit.words]
        return [word for word in words if word in question and len(word) > 1]
    words = list(re.finditer(r"[^\W\d_][\w'’+-]*", question))
    content = [word for word in words if analyzer.terms(word.group())]
    pairs = [
        question[first.start() : second.end()]
        for first, second in pairwise(content)
        if question[first.end() : second.start()] == " "
    ]
    return [*pairs, *(word.group() for word in content)]


def joined(before: str, question: str) -> str:
    """Return a question with the one before it, which says what it is about."""
    rest = _LEAD.sub("", question).strip() or question
    return f"{before.rstrip()} {rest}"


def _length(text: str) -> float:
    han = len(re.findall(f"[{HAN}]", text))
    return len(re.findall(r"[A-Za-z0-9]+", text)) + han / 2
