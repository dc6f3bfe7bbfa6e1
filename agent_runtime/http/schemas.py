"""Requests as OpenAI's clients send them. Fields that mean nothing here are ignored, as clients
send many; those that are here have the right type or the request is refused."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_runtime.domain import Turn
from agent_runtime.errors import InvalidRequestError

CONVERSATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_QUESTION = 8000
"""Characters of one message that is searched for. A longer one is not a question."""


class TextPart(BaseModel):
    """Text of a message that comes in parts."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message. Tool calls and images are refused where they would change the answer."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    def turn(self) -> Turn | None:
        """Return what was said; a tool's output is nobody's turn."""
        if self.role == "tool":
            return None
        parts = self.content or ""
        text = parts if isinstance(parts, str) else "\n".join(part.text for part in parts)
        return Turn("system" if self.role == "developer" else self.role, text)


class StreamOptions(BaseModel):
    """How a stream ends."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A chat completion request."""

    model_config = ConfigDict(strict=True)

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    model: Annotated[str, Field(max_length=200)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    conversation_id: str | None = None

    def turns(self) -> list[Turn]:
        """Return the conversation. Raises InvalidRequestError for what cannot be answered."""
        if self.n not in (None, 1):
            raise InvalidRequestError("n: this agent gives one answer to a question", "n")
        turns = [turn for message in self.messages if (turn := message.turn())]
        asked = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
        if len(asked) > MAX_QUESTION:
            raise InvalidRequestError(
                f"messages: the last user message is longer than {MAX_QUESTION} characters",
                "messages",
                "context_length_exceeded",
            )
        return turns


def conversation_id(header: str | None, body: str | None) -> str:
    """Return the conversation's name: from the header, as gateways read it, else from the body,
    else a new one. Raises InvalidRequestError where it could not stand in a header."""
    given = header or body
    if given is None:
        return str(uuid.uuid4())
    if not CONVERSATION.fullmatch(given):
        raise InvalidRequestError(
            "conversation_id: 1 to 128 letters, digits and . _ : -", "conversation_id"
        )
    return given
