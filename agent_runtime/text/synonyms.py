"""Words that mean much the same, in English, Chinese and across, as a text's concepts.

A concept is a line of synonyms.txt, which is plain data: everyday words of customer service, not
those of any collection. An embedding model that reads the language needs it less; without one it
is what finds "send back" for "return" and 退货 for both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import accumulate

from agent_runtime.text.language import HAN

_LATIN = re.compile(rf"[^\W_{HAN}]+")
_HAN = re.compile(f"[{HAN}]")
_PARTICLES = frozenset({"back", "up", "off", "out", "away", "togeth", "apart", "for"})
GAP = 4
"""How many words may stand between a verb and its particle: "send the two lamps back"."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A member of one or more groups: the places of its words, and the terms of its groups."""

    places: tuple[int, ...]
    concepts: tuple[str, ...]


class Synonyms:
    """Finds phrases of the table, the longest first, in stems or in Chinese characters."""

    def __init__(self, table: str, stem: Callable[[str], str]) -> None:
        latin: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
        han: defaultdict[str, set[str]] = defaultdict(set)
        lines = [line for line in table.splitlines() if line.strip() and line[0] != "#"]
        for number, line in enumerate(lines):
            for member in re.split(r"[,|]", line.casefold()):
                name = member.strip()
                if _HAN.search(name):
                    han[name].add(concept(number))
                elif name:
                    latin[tuple(map(stem, _LATIN.findall(name)))].add(concept(number))
        self._latin = {words: tuple(sorted(found)) for words, found in latin.items()}
        self._han = {word: tuple(sorted(found)) for word, found in han.items()}
        # How long a phrase with this beginning can be: most beginnings have none.
        self._reach: dict[str, int] = {}
        for words in (*latin, *han):
            self._reach[words[0]] = max(self._reach.get(words[0], 0), len(words))

    def in_stems(self, stems: Sequence[str]) -> list[Phrase]:
        """Return the phrases of an English text, given all its words' stems. Spans count words."""
        whole = self._phrases(len(stems), lambda a, b: self._latin.get(tuple(stems[a:b])), stems)
        apart = self._separated(stems)
        inside = {at for phrase in apart for at in phrase.places}
        return [*(each for each in whole if not inside.issuperset(each.places)), *apart]

    def knows(self, word: str) -> bool:
        """Tell whether a Chinese word stands in the table."""
        return word in self._han

    def in_han(self, words: Sequence[str]) -> list[Phrase]:
        """Return the phrases of a run of Chinese, given its words. Spans count characters.

        A single character counts where it is a word, and not in any that it is a part of.
        """
        run = "".join(words)
        ends = list(accumulate(map(len, words)))
        alone = {end - 1 for end, word in zip(ends, words, strict=True) if len(word) == 1}
        return self._phrases(
            len(run),
            lambda a, b: self._han.get(run[a:b]) if b - a > 1 or a in alone else None,
            run,
        )

    def _phrases(
        self, size: int, find: Callable[[int, int], tuple[str, ...] | None], text: Sequence[str]
    ) -> list[Phrase]:
        found: list[Phrase] = []
        start = 0
        while start < size:
            end = min(size, start + self._reach.get(text[start], 0))
            concepts = None
            while end > start and (concepts := find(start, end)) is None:
                end -= 1
            if concepts:
                found.append(Phrase(tuple(range(start, end)), concepts))
            start = max(end, start + 1)
        return found

    def _separated(self, stems: Sequence[str]) -> list[Phrase]:
        particles = [at for at, stem in enumerate(stems) if stem in _PARTICLES]
        return [
            Phrase((verb, at), concepts)
            for at in particles
            for verb in range(max(0, at - GAP - 1), at - 1)
            if (concepts := self._latin.get((stems[verb], stems[at])))
        ]


def concept(number: int) -> str:
    """Name a group as a term. The mark occurs in no word."""
    return f"~{number}"


def is_concept(term: str) -> bool:
    """Tell whether a term stands for a group of synonyms."""
    return term.startswith("~")


@cache
def table() -> str:
    """Return synonyms.txt."""
    return (
        resources.files("agent_runtime.text").joinpath("synonyms.txt").read_text(encoding="utf-8")
    )
