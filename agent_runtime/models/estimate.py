"""How many tokens a text is, where the model's tokenizer is not at hand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from agent_runtime.text.language import HAN

_HAN = re.compile(f"[{HAN}]")
_WORD = re.compile(rf"[^\s{HAN}]+")
PER_WORD = 1.3
LETTERS = 4
"""Letters of a token, which counts for words that are longer than words: addresses, hashes."""


def tokens(text: str) -> int:
    """Estimate the tokens of a text: a Chinese character is one, a word 1.3."""
    words = sum(max(PER_WORD, len(word) / LETTERS) for word in _WORD.findall(text))
    return len(_HAN.findall(text)) + math.ceil(words)


def estimates(texts: Sequence[str]) -> list[int]:
    """Estimate the tokens of each text: the port TokenCounter."""
    return [tokens(text) for text in texts]
