"""Numbers in English and Chinese text, in digits and in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent_runtime.domain import Span
from agent_runtime.text.language import HAN

_WORDS = (
    "zero", "one|an|a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
_ENGLISH = {word: n for n, words in enumerate(_WORDS) for word in words.split("|")}
_DIGITS = {each: n for n, each in enumerate("零一二三四五六七八九")} | {"两": 2, "俩": 2}
_TENS = {"十": 10, "百": 100, "千": 1000}
_NUMBER = re.compile(
    # Not part of a code, of a day or of another number.
    r"(?<![A-Za-z0-9.,#_/-])(?P<digits>-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
    r"(?![A-Za-z]*[-_/]?\d)"
    rf"|\b(?P<word>{'|'.join(_ENGLISH)})\b"
    r"|(?!一[共下起般直定些样点会切旦])"
    rf"(?P<han>[{''.join((*_DIGITS, *_TENS))}]+)(?=[{HAN}]|\W|$)",
    re.IGNORECASE,
)


def numbers(text: str) -> Iterator[tuple[float, Span]]:
    """Yield the numbers of a text with their places."""
    for match in _NUMBER.finditer(text):
        if match["digits"]:
            yield float(match["digits"].replace(",", "")), match.span()
        elif match["word"]:
            yield float(_ENGLISH[match["word"].lower()]), match.span()
        else:
            yield float(_chinese(match["han"])), match.span()


def _chinese(text: str) -> int:
    total, digit = 0, 0
    for each in text:
        if each in _DIGITS:
            digit = _DIGITS[each]
        else:
            total += (digit or 1) * _TENS[each]
            digit = 0
    return total + digit
