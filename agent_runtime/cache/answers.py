"""The answer cache: exact by the words of a question, semantic by its meaning and then its words.

It never fails: a store that is away, or bytes that are no answer, are a miss. Everything that an
answer hangs on besides the question is in the scope, which the caller names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

from agent_runtime.cache.codec import cacheable, decode, encode
from agent_runtime.cache.normal import normal
from agent_runtime.cache.recent import KEEP, Entry, Recent
from agent_runtime.cache.recent import encode as encode_entry
from agent_runtime.cache.same import same
from agent_runtime.config import CacheConfig
from agent_runtime.domain import Answer, Vector
from agent_runtime.errors import StateUnavailableError
from agent_runtime.expiring import Expiring
from agent_runtime.ports import AnswerCache, Blobs

Outcome = Literal["hit", "similar", "miss", "error"]
"""`similar` is a hit by meaning; `error`: the store did not answer."""
CANDIDATES = 8
SCOPES = 32
"""How many scopes' questions are held in this process: one has up to 256 vectors."""


class Answers:
    """Answers in a store of blobs."""

    def __init__(self, blobs: Blobs, config: CacheConfig, count: Callable[[Outcome], None]) -> None:
        self._blobs = blobs
        self._config = config
        self._count = count
        self._recent: Expiring[str, Recent] = Expiring(SCOPES)

    @property
    def semantic(self) -> bool:
        return self._config.mode == "semantic"

    async def get(self, scope: str, question: str, vector: Vector | None) -> Answer | None:
        try:
            key = key_of(scope, question)
            found = await self._answer(key, lambda stored: normal(stored) == normal(question))
            outcome: Outcome = "hit" if found else "miss"
            if found is None and self.semantic and vector is not None:
                found = await self._alike(scope, question, vector)
                outcome = "similar" if found else "miss"
        except StateUnavailableError:
            found, outcome = None, "error"
        self._count(outcome)
        return found

    async def put(self, scope: str, question: str, vector: Vector | None, answer: Answer) -> None:
        data = encode(question, answer) if cacheable(answer) else None
        if data is None:
            return
        key = key_of(scope, question)
        try:
            await self._blobs.put(key, data, self._config.ttl_seconds)
            if self.semantic and vector is not None:
                entry = encode_entry(Entry(key, question, vector))
                await self._blobs.push(_log(scope), entry, KEEP, self._config.ttl_seconds)
        except StateUnavailableError:
            self._count("error")

    async def _answer(self, key: str, fits: Callable[[str], bool]) -> Answer | None:
        data = await self._blobs.get(key)
        stored = decode(data) if data else None
        return stored[1] if stored and fits(stored[0]) else None

    async def _alike(self, scope: str, question: str, vector: Vector) -> Answer | None:
        log = _log(scope)
        recent = self._recent.get(log) or Recent()
        after = recent.total
        recent.read(after, *await self._blobs.pushed(log, after))
        self._recent.put(log, recent, self._config.ttl_seconds)
        for entry in recent.near(vector, self._config.min_similarity, CANDIDATES):
            if same(entry.question, question):
                found = await self._answer(entry.key, lambda stored: same(stored, question))
                if found is not None:
                    return found
        return None


class NoAnswers:
    """A cache that is switched off."""

    semantic = False

    async def get(self, scope: str, question: str, vector: Vector | None) -> Answer | None:
        return None

    async def put(self, scope: str, question: str, vector: Vector | None, answer: Answer) -> None:
        return None


def build(config: CacheConfig, blobs: Blobs, count: Callable[[Outcome], None]) -> AnswerCache:
    """Return the cache that the configuration asks for; `count` is told of each look-up."""
    return NoAnswers() if config.mode == "off" else Answers(blobs, config, count)


def key_of(scope: str, question: str) -> str:
    """Return the name of the answer to a question in a scope."""
    return "answer/" + _digest(f"{len(scope)}:{scope}{normal(question)}")


def _log(scope: str) -> str:
    return "questions/" + _digest(scope)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
