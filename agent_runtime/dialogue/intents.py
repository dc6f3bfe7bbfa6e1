"""What a message is after: small talk by its words, intents of the agent's own by examples."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agent_runtime.config import IntentConfig
from agent_runtime.domain import Intent
from agent_runtime.ports import Vectors
from agent_runtime.text.language import language_of
from agent_runtime.text.terms import Analyzer

LIKENESS = 0.75
"""Lowest likeness of a message to an example."""
_SMALL_TALK = {
    "greeting": r"(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings)(?: there| all)?"
    r"|(?:你|您)好|嗨|哈喽|早上好|下午好|晚上好|在吗",
    "thanks": r"(?:many )?(?:thanks|thank you|thx|ty|cheers)(?: (?:so|very) much| a lot)?"
    r"|(?:非常|十分|多)?(?:谢谢|感谢|多谢)(?:你|您|了|啦)*",
    "farewell": r"(?:good)?bye(?: bye)?|see you(?: later)?|good night|再见|拜拜|晚安",
}
_PATTERNS = {
    name: re.compile(rf"\W*(?:{words})\W*", re.IGNORECASE) for name, words in _SMALL_TALK.items()
}
_REPLIES = {
    "en": {
        "greeting": "Hello! What would you like to know?",
        "thanks": "You're welcome!",
        "farewell": "Goodbye!",
    },
    "zh": {"greeting": "您好！请问有什么可以帮您？", "thanks": "不客气！", "farewell": "再见！"},
}


class Intents:
    """Recognizes intents. Those of the agent's own come before small talk."""

    def __init__(self, own: Sequence[IntentConfig], vectors: Vectors) -> None:
        self._own = own
        self._vectors = vectors
        self._analyzer = Analyzer()
        self._examples = [(intent, text) for intent in own for text in intent.examples]
        self._terms = [frozenset(self._analyzer.terms(text)) for _, text in self._examples]
        self._rows: np.ndarray | None = None

    async def recognize(self, message: str) -> Intent | None:
        """Return the intent of a message, or None."""
        return await self._by_example(message) or small_talk(message)

    async def _by_example(self, message: str) -> Intent | None:
        if not self._examples:
            return None
        if self._rows is None:
            texts = [text for _, text in self._examples]
            self._rows = await self._vectors.embed(texts, "query")
        scores = np.array([self._alike(message, terms) for terms in self._terms])
        if self._vectors.reads(language_of(message)):
            cosine = self._rows @ (await self._vectors.embed([message], "query"))[0]
            scores = np.maximum(scores, cosine)
        best = int(scores.argmax())
        if scores[best] < LIKENESS:
            return None
        intent = self._examples[best][0]
        return Intent(intent.name, float(scores[best]), intent.retrieval, intent.reply)

    def _alike(self, message: str, terms: frozenset[str]) -> float:
        """Return the share of terms that both texts have (Dice)."""
        found = frozenset(self._analyzer.terms(message))
        return 2 * len(found & terms) / max(1, len(found) + len(terms))


def small_talk(message: str) -> Intent | None:
    """Return greeting, thanks or farewell where the message is nothing else."""
    for name, pattern in _PATTERNS.items():
        if pattern.fullmatch(message):
            return Intent(name, 1.0, retrieval=False, reply=_REPLIES[language_of(message)][name])
    return None
