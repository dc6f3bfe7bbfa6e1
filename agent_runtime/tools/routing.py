"""Chooses a tool by the meaning of a message, for generators without function calling.

A message is compared with a tool's examples and name, by embedding where the model reads the
language and by words in any case; its form decides whether a tool is wanted at all. A question that
documents answer must not call one because its words occur.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise

import numpy as np

from agent_runtime.domain import Matrix, ToolSpec
from agent_runtime.errors import AgentError
from agent_runtime.ports import Vectors
from agent_runtime.text.language import HAN, language_of
from agent_runtime.text.terms import Analyzer
from agent_runtime.tools import forms
from agent_runtime.tools.schema import properties
from agent_runtime.tools.slots import Slots
from agent_runtime.tools.wording import CHINESE, words_of

SEMANTIC_SHARE = 0.7
"""Share of the cosine in the likeness, the rest being words, where the model reads the language."""
LEXICAL_SCALE = 1.25
"""Brings likeness by words alone into the range of the mixed one."""
IDENTIFIED, WANTED, NAMED, FAMILY = 0.4, 0.1, 0.1, 0.15
"""What is added where a message names the case, wants it done, names what the tool is named after,
and does so with a verb such as the tool's own; it is taken away where a tool that changes something
is neither named nor spoken of by such a verb."""
MARGIN = 0.03
"""How much the best tool has to be ahead of the next one."""
KEPT = 500
"""Tools whose vectors are kept: callers may bring tools of their own."""
_CODE = re.compile(r"[A-Za-z]*[-#]?\d+")
_HAN = re.compile(f"[{HAN}]+")


@dataclass(frozen=True, slots=True)
class Route:
    """A tool and how likely it is what is wanted, 0 to 1."""

    spec: ToolSpec
    score: float


class Router:
    """Keeps the vectors of what tools are compared by."""

    def __init__(self, vectors: Vectors | None, slots: Slots, min_score: float) -> None:
        """Without `vectors` tools are chosen by words alone."""
        self._vectors = vectors
        self._slots = slots
        self._min_score = min_score
        self._analyzer = Analyzer()
        # Examples come up with every message.
        self._terms = lru_cache(maxsize=10 * KEPT)(self._terms_of)
        self._known: OrderedDict[tuple[str, ...], Matrix] = OrderedDict()

    async def choose(self, message: str, specs: Sequence[ToolSpec], today: date) -> ToolSpec | None:
        """Return the tool that a message asks for, or None."""
        ranked = await self.rank(message, specs, today)
        if not ranked or ranked[0].score < self._min_score:
            return None
        if len(ranked) > 1 and ranked[0].score - ranked[1].score < MARGIN:
            return None
        return ranked[0].spec

    async def nearest(self, message: str, specs: Sequence[ToolSpec]) -> ToolSpec:
        """Return the tool that a message is most like, where one of them has to be used."""
        alike = await self._alike(message, specs)
        return specs[int(np.argmax(alike))]

    async def rank(self, message: str, specs: Sequence[ToolSpec], today: date) -> list[Route]:
        """Return the tools that may be meant with their scores, best first."""
        message = message[: forms.LONGEST]
        # The form comes first: most questions are for the documents, and cost nothing here.
        if forms.general(message, identified=True):
            return []
        bonuses = [(spec, self._bonus(message, spec, today)) for spec in specs]
        meant = [(spec, bonus) for spec, bonus in bonuses if bonus is not None]
        if not meant:
            return []
        alike = await self._alike(message, [spec for spec, _ in meant])
        found = [
            Route(spec, min(likeness + bonus, 1.0))
            for (spec, bonus), likeness in zip(meant, alike, strict=True)
        ]
        return sorted(found, key=lambda each: -each.score)

    def _bonus(self, message: str, spec: ToolSpec, today: date) -> float | None:
        """Return what the form of a message adds to its likeness to a tool, or None where the tool
        cannot be meant."""
        wanted = forms.request(message)
        if spec.effect == "write" and not wanted:
            return None
        identified = self._slots.identifies(spec, message, today)
        asked = forms.own(message) and forms.asks(message)
        if forms.general(message, identified):
            return None
        if spec.effect == "read" and not (identified or wanted or asked):
            return None
        about = " ".join((*self._texts(spec), spec.description, *properties(spec.parameters)))
        if spec.effect == "read" and forms.objects(message) - forms.objects(about):
            return None
        said = forms.families(_request_of(message))
        does = forms.families(words_of(spec.name)[0])
        named, alike = self._named(message, spec), bool(said & does)
        if said and does and not alike:
            return None
        bonus = WANTED + NAMED * named + FAMILY * alike + IDENTIFIED * identified
        return bonus - FAMILY * (spec.effect == "write" and not (alike or named))

    async def _alike(self, message: str, specs: Sequence[ToolSpec]) -> list[float]:
        """Return each tool's likeness to a message."""
        message = message[: forms.LONGEST]
        texts = [self._texts(spec) for spec in specs]
        lexical = [max(self._words_alike(message, each) for each in known) for known in texts]
        if self._vectors is None or not self._vectors.reads(language_of(message)):
            return [LEXICAL_SCALE * each for each in lexical]
        try:
            vector = (await self._vectors.embed([message], "query"))[0]
            matrices = [await self._matrix(self._vectors, known) for known in texts]
        except AgentError:  # words tell them apart too, and a turn does not fail for it
            return [LEXICAL_SCALE * each for each in lexical]
        return [
            SEMANTIC_SHARE * float((matrix @ vector).max()) + (1 - SEMANTIC_SHARE) * words
            for matrix, words in zip(matrices, lexical, strict=True)
        ]

    async def _matrix(self, vectors: Vectors, texts: tuple[str, ...]) -> Matrix:
        if (known := self._known.get(texts)) is None:
            known = self._known[texts] = await vectors.embed(texts, "query")
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(texts)
        return known

    def _texts(self, spec: ToolSpec) -> tuple[str, ...]:
        name = " ".join(words_of(spec.name))
        return (name, *spec.examples) if spec.examples else (name, spec.description or name)

    def _words_alike(self, one: str, other: str) -> float:
        """Return the share of words, or of pairs of Chinese characters, that two texts share."""
        first, second = self._terms(one), self._terms(other)
        return max(_shared(first, second), _shared(_pairs(one), _pairs(other)))

    def _terms_of(self, text: str) -> frozenset[str]:
        return frozenset(self._analyzer.terms(_CODE.sub(" ", text)))

    def _named(self, message: str, spec: ToolSpec) -> bool:
        """Tell whether a message names what the tool is named after."""
        nouns = words_of(spec.name)[1:]
        chinese = [each for noun in nouns for each in CHINESE.get(noun, ())]
        shared = self._terms(" ".join(nouns)) & self._terms(message)
        return bool(shared) or any(each in message for each in chinese)


def _request_of(message: str) -> str:
    """Return the part of a message that asks for something, or all of it."""
    parts = re.split(r"[,;:，；：。.!?！？]\s*", message)
    return next((part for part in parts if forms.request(part)), message)


def _pairs(text: str) -> set[str]:
    return {a + b for run in _HAN.findall(text) for a, b in pairwise(run)}


def _shared(one: Set[str], other: Set[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0
