"""The embedded generator: it answers in the documents' own sentences, or says that it cannot.

Every sentence of a reply is a verbatim quote with its citation. It writes nothing of its own but
the reply for "nothing found".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agent_runtime.config import LLMConfig
from agent_runtime.domain import Chunk, Citation, Evidence, Passage, Piece
from agent_runtime.llm.amounts import asks_amount, has_amount
from agent_runtime.llm.scoring import Words, combine, cosines, coverage
from agent_runtime.text.language import Language, language_of
from agent_runtime.text.terms import Analyzer

NO_ANSWER: dict[Language, str] = {
    "en": "I could not find an answer to that in the documents I have.",
    "zh": "在现有的资料里没有找到答案。",
}
NEAR_BEST = 0.8
"""A sentence joins the best one if it scores at least this share of it."""
CACHED_TEXTS = 20_000
"""Sentences and headings whose terms are kept, about 2 KB each."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a passage. `rank` is the passage's place in the retrieval."""

    chunk: Chunk
    start: int
    end: int
    score: float
    rank: int

    @property
    def text(self) -> str:
        return self.chunk.text[self.start : self.end]


class ExtractiveGenerator:
    """Chooses sentences by `scoring`, at most `max_sentences` that reach `min_score`."""

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self._analyzer = Analyzer()
        # The same passages come up again and again, and taking them apart costs the most here.
        self._words = lru_cache(maxsize=CACHED_TEXTS)(self._take_apart)

    async def generate(self, evidence: Evidence) -> AsyncGenerator[Piece]:
        chosen = choose(self._candidates(evidence), self._config)
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

    def _candidates(self, evidence: Evidence) -> list[Candidate]:
        amount = asks_amount(evidence.question)
        return [
            candidate
            for rank, passage in enumerate(evidence.passages)
            for candidate in self._scored(evidence, passage, rank, amount)
        ]

    def _scored(
        self, evidence: Evidence, passage: Passage, rank: int, amount: bool
    ) -> Iterable[Candidate]:
        chunk = passage.indexed.chunk
        texts = [chunk.text[start:end] for start, end in chunk.sentences]
        sentences = [self._words(text) for text in texts]
        above = self._words("\n".join((chunk.title, *chunk.headings)))
        around = Words(above.text + chunk.text, above.terms.union(*(s.terms for s in sentences)))
        covered = [coverage(evidence.weights, each, above, around) for each in sentences]
        cosine = cosines(evidence.vector, passage.indexed.sentence_vectors)
        amounts = [(1 if has_amount(text) else -1) if amount else 0 for text in texts]
        scores = combine(covered, cosine, amounts, evidence.semantic)
        for (start, end), score in zip(chunk.sentences, scores, strict=True):
            yield Candidate(chunk, start, end, score, rank)

    def _take_apart(self, text: str) -> Words:
        return Words(text, frozenset(self._analyzer.terms(text)))


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
