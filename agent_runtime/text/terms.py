"""Search terms of a text, for both languages: what lexical search and the scorer compare.

Chinese is segmented with jieba's dictionary (rjieba), since a tokenizer for spaces finds nothing
there, and also cut into characters and pairs of them: people say the same in other words that
share characters (Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for Chinese information
retrieval", IRAL 2000). English words lose their inflection (Snowball). Stop words are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import rjieba
import Stemmer

from agent_runtime.text.language import HAN
from agent_runtime.text.stopwords import CHINESE, ENGLISH

_TOKEN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+(?:[.'’_/-][^\W_{HAN}]+)*")
_PART = re.compile(r"[.'’_/-]")
_HAN = re.compile(f"[{HAN}]")


def is_han(word: str) -> bool:
    """Tell whether a term is Chinese."""
    return bool(_HAN.match(word))


class Analyzer:
    """Turns text into terms. One for each thread that uses it: the stemmer keeps a cache."""

    def __init__(self) -> None:
        self._stem = Stemmer.Stemmer("english")

    def terms(self, text: str) -> list[str]:
        """Return the terms in reading order, repeated as often as they occur."""
        found: list[str] = []
        for token in _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()):
            found += self._han(token) if _HAN.match(token) else self._word(token)
        return found

    def words(self, text: str) -> list[str]:
        """Return the words that a question is weighed by: its terms without cuts of words."""
        found: list[str] = []
        for token in _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()):
            if _HAN.match(token):
                found += [word for word in rjieba.cut(token) if word not in CHINESE]
            else:
                found += self._word(token)
        return list(dict.fromkeys(found))

    def _han(self, run: str) -> list[str]:
        words = [word for word in rjieba.cut_for_search(run) if word not in CHINESE]
        characters = [each for word in words if len(word) > 1 for each in word]
        pairs = [first + second for first, second in pairwise(run)]
        cuts = [cut for cut in (*characters, *pairs) if not CHINESE.intersection(cut)]
        return words + [cut for cut in cuts if cut not in words]

    def _word(self, token: str) -> list[str]:
        parts = [part for part in _PART.split(token) if part not in ENGLISH]
        stems = [str(self._stem.stemWord(part)) for part in parts]
        # A compound such as `spec.pipeline` is found by its name and by its parts.
        compound = len(parts) > 1 and not re.search("['’]", token)
        return [token, *stems] if compound else stems
