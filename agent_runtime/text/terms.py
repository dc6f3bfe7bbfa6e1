"""Search terms of a text, for both languages: what lexical search and the scorer compare.

Chinese is segmented with jieba's dictionary (rjieba), since a tokenizer for spaces finds nothing
there, and also cut into characters and pairs of them: people say the same in other words that
share characters (Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for Chinese information
retrieval", IRAL 2000). English words lose their inflection (Snowball). Stop words are dropped.
Words with synonyms also bring the term of their group.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import rjieba
import Stemmer

from agent_runtime.text.irregular import BASE
from agent_runtime.text.language import HAN
from agent_runtime.text.stopwords import CHINESE, CHINESE_LIGHT, ENGLISH, HOW, LIGHT
from agent_runtime.text.synonyms import Phrase, Synonyms, table

_RUN = re.compile(rf"[{HAN}]+|[^{HAN}]+")
_TOKEN = re.compile(r"[^\W_]+(?:[.'’_/-][^\W_]+)*")
_PART = re.compile(r"[.'’_/-]")
_HAN = re.compile(f"[{HAN}]")
KEPT = 16
"""Runs of text whose words are remembered."""
LIGHTLY = 0.25
"""Worth of an adverb, a number and the like."""
COMPLEMENTS = frozenset("在到会来去了着过掉完好上下出起给成")
NEGATIONS = frozenset("没不未别")
_FUNCTION = frozenset("mqdcpuyrfeoxkhgliz")
"""First letters of jieba's tags for numbers, adverbs, conjunctions, idioms and the like."""

Word = tuple[range, str, float]
"""A word of a question with its places and its worth."""


@dataclass(frozen=True, slots=True)
class Token:
    """What stands between spaces: its parts, and the stem of each."""

    text: str
    parts: tuple[str, ...]
    stems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a question asks with: a word, or a phrase with the words in it, and its synonyms."""

    words: tuple[str, ...]
    concepts: tuple[str, ...] = ()
    worth: float = 1.0
    """Less for a word that says little of itself, such as "still" or a number."""


def is_han(word: str) -> bool:
    """Tell whether a term is Chinese."""
    return bool(_HAN.match(word))


class Analyzer:
    """Turns text into terms. One for each thread that uses it: the stemmer keeps a cache."""

    def __init__(self) -> None:
        self._stemmer = Stemmer.Stemmer("english")
        self._synonyms = Synonyms(table(), self._stem)
        # A question is asked for its terms and for its units.
        self._read_han = lru_cache(KEPT)(self._han_run)
        self._read_latin = lru_cache(KEPT)(self._latin_run)

    def terms(self, text: str) -> list[str]:
        """Return the terms in reading order, repeated as often as they occur."""
        found: list[str] = []
        for run in _runs(text):
            if is_han(run):
                found += self._han(run)
                _, phrases = self._read_han(run)
            else:
                tokens, phrases = self._read_latin(run)
                found += [term for token in tokens for term in _terms(token)]
            found += [concept for phrase in phrases for concept in phrase.concepts]
        return found

    def units(self, text: str) -> list[Unit]:
        """Return what a question is weighed by, each once: words, and phrases in their place."""
        found: list[Unit] = []
        for run in _runs(text):
            found += self._han_units(run) if is_han(run) else self._latin_units(run)
        return list(dict.fromkeys(found))

    def _han_units(self, run: str) -> Iterator[Unit]:
        words: list[Word] = []
        tagged, phrases = self._read_han(run)
        at = 0
        for word, tag in tagged:
            if word not in CHINESE:
                light = word in CHINESE_LIGHT or tag[0] in _FUNCTION
                words.append((range(at, at + len(word)), word, LIGHTLY if light else 1.0))
            at += len(word)
        yield from _units(phrases, words)

    def _latin_units(self, run: str) -> Iterator[Unit]:
        tokens, phrases = self._read_latin(run)
        parts = [part for token in tokens for part in token.parts]
        stems = [stem for token in tokens for stem in token.stems]
        words = [
            (range(at, at + 1), stem, LIGHTLY if _is_light(word) else 1.0)
            for at, ((before, word), stem) in enumerate(
                zip(pairwise(["", *parts]), stems, strict=True)
            )
            if word not in ENGLISH and not (before == "how" and word in HOW)
        ]
        yield from _units(phrases, words)

    def _han_run(self, run: str) -> tuple[list[tuple[str, str]], list[Phrase]]:
        tagged = self._cut(run)
        return tagged, self._synonyms.in_han([word for word, _ in tagged])

    def _latin_run(self, run: str) -> tuple[list[Token], list[Phrase]]:
        parts = [(token, tuple(_PART.split(token))) for token in _TOKEN.findall(run)]
        tokens = [Token(token, each, tuple(map(self._stem, each))) for token, each in parts]
        stems = [stem for token in tokens for stem in token.stems]
        return tokens, self._synonyms.in_stems(stems)

    def _cut(self, run: str) -> list[tuple[str, str]]:
        """Cut a run into words with jieba's tags, and verbs from what completes them (摆在, 没留),
        which its dictionary and its guesses often leave together."""
        found: list[tuple[str, str]] = []
        for word, tag in rjieba.tag(run):
            if len(word) == 2 and tag[0] == "v" and not self._synonyms.knows(word):
                if word[1] in COMPLEMENTS:
                    found += [(word[0], tag), (word[1], "u")]
                    continue
                if word[0] in NEGATIONS:
                    found += [(word[0], "d"), (word[1], tag)]
                    continue
            found.append((word, tag))
        return found

    def _han(self, run: str) -> list[str]:
        words = [word for word in rjieba.cut_for_search(run) if word not in CHINESE]
        characters = [each for word in words if len(word) > 1 for each in word]
        pairs = [first + second for first, second in pairwise(run)]
        cuts = [cut for cut in (*characters, *pairs) if not CHINESE.intersection(cut)]
        return words + [cut for cut in cuts if cut not in words]

    def _stem(self, word: str) -> str:
        return str(self._stemmer.stemWord(BASE.get(word, word)))


def _terms(token: Token) -> list[str]:
    stems = [
        stem for part, stem in zip(token.parts, token.stems, strict=True) if part not in ENGLISH
    ]
    # A compound such as `spec.pipeline` is found by its name and by its parts.
    compound = len(stems) > 1 and not re.search("['’]", token.text)
    return [token.text, *stems] if compound else stems


def _runs(text: str) -> list[str]:
    """Fold width, case and accents, and part Chinese from the rest."""
    if text.isascii():  # has neither width nor accents
        return _RUN.findall(text.casefold())
    apart = unicodedata.normalize("NFKD", text)
    plain = "".join(each for each in apart if not unicodedata.combining(each))
    return _RUN.findall(unicodedata.normalize("NFKC", plain).casefold())


def _units(phrases: list[Phrase], words: list[Word]) -> Iterator[Unit]:
    """Let each phrase take in the words that it covers; a word holds the phrases inside it."""
    taken: set[int] = set()
    for phrase in phrases:
        places = set(phrase.places)
        if any(places < set(at) for at, _, _ in words):
            continue
        inside = [n for n, (at, _, _) in enumerate(words) if places.issuperset(at)]
        taken.update(inside)
        yield Unit(tuple(words[n][1] for n in inside), phrase.concepts)
    for n, (at, word, worth) in enumerate(words):
        if n not in taken:
            within = [each for each in phrases if set(at).issuperset(each.places)]
            concepts = tuple(each for phrase in within for each in phrase.concepts)
            yield Unit((word,), concepts, 1.0 if concepts else worth)


def _is_light(word: str) -> bool:
    return word in LIGHT or BASE.get(word) in LIGHT or word.isdecimal()
