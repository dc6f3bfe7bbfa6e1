"""Questions that ask for an amount, a time or a number, and sentences that hold one. Pure.

The expected type of an answer is the oldest clue in question answering (Li and Roth, "Learning
question classifiers", COLING 2002); this is its most frequent class only.
"""

from __future__ import annotations

import re

_ASKED = re.compile(
    r"\bhow (?:long|much|many|often|far|old|big|large|heavy|soon|late|early)\b"
    r"|\bwhen\b|\bwhat (?:time|day|date|age|number|percentage|share)\b"
    r"|\b(?:costs?|price|fee|charge|phone|number|days?|percent|per cent)\b"
    r"|多少|几|多久|多长|多大|多重|多高|多远|何时|什么时候|费用|价格|电话",
    re.IGNORECASE,
)
_AMOUNT = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|once|twice|half|free)\b"
    r"|[一二两三四五六七八九十百千万半]|免费",
    re.IGNORECASE,
)


def asks_amount(question: str) -> bool:
    """Tell whether a question wants a number: how long, how much, when."""
    return bool(_ASKED.search(question))


def has_amount(sentence: str) -> bool:
    """Tell whether a sentence holds a number, in digits or words."""
    return bool(_AMOUNT.search(sentence))
