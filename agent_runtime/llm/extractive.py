"""The embedded generator: it answers in the documents' own sentences, or says that it cannot.

Every sentence of a reply is a verbatim quote with its citation. It writes nothing of its own but
the reply for "nothing found".
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass

from agent_runtime.config import LLMConfig
from agent_runtime.domain import Chunk, Citation, Evidence, IndexedChunk, Piece
from agent_runtime.llm.quotes import Taken, take_apart
from agent_runtime.llm.scoring import ask, confidence, ranked, sureness, views
from agent_runtime.text.language import Language, language_of
from agent_runtime.text.terms import Analyzer

NO_ANSWER: dict[Language, str] = {
    "en": "I could not find an answer to that in the documents I have.",
    "zh": "在现有的资料里没有找到答案。",
}
NEAR_BEST = 0.1
"""A sentence joins the best one if it scores at least this share of it."""
CACHED_PASSAGES = 2_000
"""Passages that are kept taken apart, about 30 KB each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stretch of a passage. `rank` is the passage's place in the retrieval."""

    chunk: Chunk
    start: int
    end: int
    score: float
    rank: int

    @property
    def text(self) -> str:
        return self.chunk.text[self.start : self.end]


class ExtractiveGenerator:
    """Chooses sentences by `scoring`, at most `max_sentences`; none if it is not sure enough."""

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self._analyzer = Analyzer()
        # The same passages come up again and again, and taking them apart costs the most here.
        self._taken: dict[int, tuple[IndexedChunk, Taken]] = {}

    async def generate(self, evidence: Evidence) -> AsyncGenerator[Piece]:
        chosen = choose(self.candidates(evidence), self._config)
        if not chosen:
            yield Piece(refusal(evidence.question, self._config), refusal=True)
            return
        written = 0
        for before, sentence in zip([None, *chosen], chosen, strict=False):
            gap = "" if before is None else separator(before, sentence)
            start = written + len(gap)
            written = start + len(sentence.text)
            cited = Citation(start, written, sentence.text, sentence.score, sentence.chunk)
            yield Piece(gap + sentence.text, cited)

    def candidates(self, evidence: Evidence) -> list[Candidate]:
        """Return what could be quoted. The best one's score is how sure it is of the answer; the
        others' fall off from there."""
        question = ask(evidence, self._analyzer.units(evidence.question))
        taken = [self._take_apart(passage.indexed) for passage in evidence.passages]
        seen = [views(each, question, rank) for rank, each in enumerate(taken)]
        found = ranked(seen)
        if not found:
            return []
        sure = confidence(sureness(question, taken, seen, found))
        return [
            Candidate(
                taken[rank].chunk,
                *taken[rank].quotes[at].span,
                score=sure * math.exp(score - found[0][0]),
                rank=rank,
            )
            for score, rank, at in found
        ]

    def _take_apart(self, indexed: IndexedChunk) -> Taken:
        # By identity: a snapshot hands out the same object until it is replaced, and the one that
        # is kept here cannot have its id taken by another.
        kept = self._taken.get(id(indexed))
        if kept is None:
            if len(self._taken) >= CACHED_PASSAGES:
                self._taken.pop(next(iter(self._taken)))
            kept = self._taken[id(indexed)] = (indexed, take_apart(indexed, self._analyzer.terms))
        return kept[1]


def refusal(question: str, config: LLMConfig) -> str:
    """Return the reply to a question that there is no answer to."""
    return config.no_answer or NO_ANSWER[language_of(question)]


def choose(candidates: Iterable[Candidate], config: LLMConfig) -> list[Candidate]:
    """Pick the sentences of the answer, in reading order, best document first."""
    picked: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda each: (-each.score, each.rank)):
        enough = NEAR_BEST * picked[0].score if picked else config.min_score
        if candidate.score < enough or len(picked) == config.max_sentences:
            break
        if not any(_same(candidate, other) for other in picked):
            picked.append(candidate)
    return _in_reading_order(picked)


def separator(before: Candidate, after: Candidate) -> str:
    """Return what stands between two quotes: a line break between documents and blocks."""
    if before.chunk.key.fingerprint != after.chunk.key.fingerprint:
        return "\n\n"
    if "\n" in _between(before, after) or before.text.startswith("|"):
        return "\n"
    return "" if language_of(before.text) == "zh" else " "


def _between(before: Candidate, after: Candidate) -> str:
    """Return the document's text between two sentences if one chunk holds both."""
    if before.chunk is not after.chunk:
        return "\n"
    return before.chunk.text[before.end : after.start]


def _same(one: Candidate, other: Candidate) -> bool:
    """Passages overlap, and documents repeat each other."""
    return " ".join(one.text.split()) == " ".join(other.text.split())


def _in_reading_order(picked: Sequence[Candidate]) -> list[Candidate]:
    documents = list(dict.fromkeys(each.chunk.key.fingerprint for each in picked))
    return sorted(
        picked,
        key=lambda each: (
            documents.index(each.chunk.key.fingerprint),
            each.chunk.start + each.start,
        ),
    )
