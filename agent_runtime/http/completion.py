"""Replies as OpenAI's clients read them: one object, or chunks as server-sent events. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_runtime.domain import Citation

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every object of one reply has in common."""

    id: str
    created: int
    model: str
    conversation_id: str

    def completion(self, text: str, citations: Sequence[Citation], usage: Mapping[str, int]) -> Any:
        """Return the whole reply as one object."""
        message = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": [annotation(each) for each in citations],
        }
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return self._object("chat.completion", [choice], usage)

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        """Return one event of a stream."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event(self._object("chat.completion.chunk", [choice], None))

    def usage(self, usage: Mapping[str, int]) -> bytes:
        """Return the event that a client gets who asked for the usage of a stream."""
        return event(self._object("chat.completion.chunk", [], usage))

    def _object(
        self, kind: str, choices: Sequence[Any], usage: Mapping[str, int] | None
    ) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "conversation_id": self.conversation_id,
            "choices": choices,
            "usage": usage,
        }


def annotation(citation: Citation) -> dict[str, Any]:
    """Return a citation as an annotation of OpenAI's type `file_citation`."""
    key = citation.chunk.key
    return {
        "type": "file_citation",
        "file_id": f"{key.source}/{key.path}",
        "filename": key.path.rsplit("/", 1)[-1],
        "title": citation.chunk.title,
        "start_index": citation.start,
        "end_index": citation.end,
        "quote": citation.quote,
        "score": round(citation.score, 4),
        "chunk_id": key.id,
    }


def event(payload: Any) -> bytes:
    """Encode a server-sent event. JSON keeps line breaks escaped, so one data line is enough."""
    return b"data: " + encode(payload) + b"\n\n"


def encode(payload: Any) -> bytes:
    """Encode JSON without escaping Chinese."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
