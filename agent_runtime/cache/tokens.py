"""Cuts text at white space and takes off what only marks a sentence. Signs of numbers stay."""

from __future__ import annotations

import re

_BEFORE = re.compile(r"^[\"'“‘(\[{«¿¡《（「【]+")
_AFTER = "\"'”’)]}»》）」】.,;:!?…。，；：！？、~"
_AFTER_DIGIT = re.compile(r"(?<=\d)[.,;:!?…。，；：！？、)\]}”»》）」】]+$")
"""Without quotes, which are feet and inches behind a number."""


def tokens(text: str) -> list[str]:
    """Return the words as they are written, in order."""
    cut = (_bare(word) for word in text.split())
    return [word for word in cut if word]


def _bare(word: str) -> str:
    word = _BEFORE.sub("", word)
    ends_in_number = re.search(r"\d[\"'”’]*[.,;:!?…。，；：！？、)]*$", word)
    return _AFTER_DIGIT.sub("", word) if ends_in_number else word.rstrip(_AFTER)
