"""The words of an English question that count. Pure. Other languages keep all of their words."""

from __future__ import annotations

import re
from itertools import pairwise

from agent_runtime.cache.tokens import tokens

_OPENING = re.compile(
    r"^\s*(?:hi|hello|hey|good (?:morning|afternoon|evening)|excuse me|sorry|quick question)"
    r"(?: there)?\s*[,.!:-]\s*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"[,.!?]\s*(?:thanks|thank you|thx|cheers)(?: (?:a lot|so much|very much|in advance))?[\s.!]*$",
    re.IGNORECASE,
)
_QUESTION = r"(?:who|whom|whose|what|which|when|where|why|how)\b"
_INDIRECT = re.compile(
    r"^(?:(?:could|can|would|will) you (?:please )?(?:tell|inform|show|advise) me"
    r"|(?:could|can|would|will) you (?:please )?let me know|(?:please )?(?:tell me|let me know)"
    r"|do you (?:happen to )?know|(?:do you have )?any idea"
    r"|i (?:would like|'d like|would love|'d love|want|need|wish) to (?:know|ask|find out)"
    r"|i (?:was|am) (?:just )?wondering|i wonder|(?:may|can|could|might) i (?:ask|know)"
    rf")(?: please)? (?:(?={_QUESTION})|(?:if|whether) )"
)
"""What stands before an indirect question."""
_REQUEST = re.compile(
    r"^(?:could|can|would|will) you (?=(?:please )?(?:tell|explain|show|give|list|describe) )"
)
_PLEASE = re.compile(r"^(?:please|kindly) |(?<! i)(?<! to)(?<! we)(?<! you) please$")
_INVERTED = re.compile(
    r"\b(can|could|may|might|must|shall|should|will|would)( not)? (i|you|he|she|it|we|they)\b"
)


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_MARKS = _set("""
    what how when where who whose why which the does is are can could my your you i tell please
""")
"""A text with one of these is English."""
_BE = _set("am are be is")
_DROPPED = _set("a an do does the")
_FUNCTION = _BE | _DROPPED | _set("can he i it may me she they us we who will you")
_SHORTENED = _set("he here how it she that there what when where which who why")
"""Words behind which `'s` is `is`; elsewhere it tells whose something is."""
_SINGULAR = _set("""
    across afterwards always arms besides contents credits customs goods headquarters https means
    news perhaps premises sales savings series species terms towards windows works
""")
"""Words that mean another thing, or nothing, without their s."""
_FEW = (("a", "few"), ("a", "little"))
_NAME = "\u0001"
"""Stands before a name, of which nothing is dropped."""


def words(text: str) -> tuple[tuple[str, ...], int]:
    """Return the words that count, in order, and how often a form of `be` stood among them."""
    written = tokens(_THANKS.sub("", _OPENING.sub("", text)))
    shouted = not any(each.islower() for each in text)
    cut = [part for at, word in enumerate(written) for part in _parts(written, at, word, shouted)]
    if not _MARKS.intersection(cut):
        return tuple(cut), 0
    line = " ".join(cut)
    for polite in (_PLEASE, _INDIRECT, _REQUEST, _PLEASE):
        line = polite.sub("", line)
    line = _INVERTED.sub(r"\3 \1\2", line)
    kept = line.split(" ") if line else []
    being = sum(word in _BE for word in kept)
    few = {at for at, pair in enumerate(pairwise(kept)) if pair in _FEW}
    left = [
        _stem(word)
        for at, word in enumerate(kept)
        if at in few or (word not in _DROPPED and word not in _BE)
    ]
    return tuple(left), being


def _parts(written: list[str], at: int, word: str, shouted: bool) -> list[str]:
    """Return a word without its contraction. Names are marked, so that none of it is dropped."""
    small = word.casefold()
    begins = at == 0 or shouted
    if small in ("i", "i'm", "i'd", "i'll", "i've") or begins or not word[0].isupper():
        return _expanded(small)
    base, apostrophe, rest = word.partition("'")
    name = base if base.isupper() and base.casefold() in _FUNCTION else base.casefold()
    return [
        _NAME + name,
        *(["'s"] if apostrophe else []),
        *([rest] if rest not in ("s", "") else []),
    ]


def _expanded(word: str) -> list[str]:
    if word in ("can't", "cannot"):
        return ["can", "not"]
    if word == "won't":
        return ["will", "not"]
    if word.endswith("n't"):
        return [word[:-3], "not"]
    base, _, rest = word.partition("'")
    match rest:
        case "m":
            return [base, "am"]
        case "re":
            return [base, "are"]
        case "ll":
            return [base, "will"]
        case "ve":
            return [base, "have"]
        case "d":
            return [base, "'d"]
        case "s" if base in _SHORTENED:
            return [base, "is"]
        case "s":
            return [base, "'s"]
        case _:
            return [word]


def _stem(word: str) -> str:
    """Return a word without the s of the plural or of the third person."""
    if word.startswith(_NAME):
        return word[1:]
    if len(word) <= 3 or not word.isalpha() or word in _SINGULAR or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    return word if word.endswith(("us", "ss", "is")) else word[:-1]
