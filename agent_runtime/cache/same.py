"""Whether two questions ask the same, for the semantic cache. Pure.

Cosines cannot tell "from A to B" from "from B to A", nor "with" from "without". So two questions
are the same only where the same words follow each other in the same order, apart from forms of
politeness, articles, `do` and the plural s (Harman, "How effective is suffixing?", JASIS 1991; a
stronger stemmer takes "import" for "important"). Whatever else differs, a negation, a number, a
name, a question word, a pronoun, a tense, makes another question: a miss costs time, a wrong
answer costs trust.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_runtime.cache import chinese, english
from agent_runtime.cache.normal import folded
from agent_runtime.text.language import language_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks."""

    language: str
    words: tuple[str, ...]
    """What counts, in order."""
    being: int = 0
    """How often a form of `be` stands in it: its place moves in an indirect question."""


def asked(question: str) -> Asked:
    """Return what a question asks, so that equal values ask the same."""
    text = folded(question).replace("’", "'")
    if language_of(text) == "zh":
        return Asked("zh", chinese.words(text))
    words, being = english.words(text)
    return Asked("en", words, being)


def same(one: str, other: str) -> bool:
    """Tell whether two questions ask the same."""
    first = asked(one)
    return bool(first.words) and first == asked(other)
