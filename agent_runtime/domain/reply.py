"""What a turn is made of on its way through the pipeline: evidence, tool results, the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent_runtime.domain.conversation import (
    AS_CONFIGURED,
    NOBODY,
    Approval,
    Pending,
    Principal,
    Question,
    Sampling,
    Session,
    ToolCall,
    Turn,
)
from agent_runtime.domain.documents import Chunk, IndexedChunk, Json, Vector

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a generator and a caller see it."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    """JSON Schema of an object."""
    effect: Literal["read", "write"] = "read"
    examples: tuple[str, ...] = ()
    """Requests that it serves."""
    client: bool = False
    """The caller brought it and executes it."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call. A failure is an observation for the generator, not an error."""

    call: ToolCall
    status: Literal["ok", "error", "denied"]
    content: Json
    """The tool's own result, or a text that says what went wrong."""
    seconds: float = 0.0
    effect: Literal["read", "write"] = "read"


@dataclass(frozen=True, slots=True)
class Request:
    """A turn that is to be answered."""

    turns: tuple[Turn, ...]
    """The conversation as the caller sent it, the newest message last."""
    conversation_id: str
    principal: Principal = NOBODY
    tools: tuple[ToolSpec, ...] = ()
    """Tools that the caller executes."""
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or the name of a tool."""
    sampling: Sampling = AS_CONFIGURED
    approval: Approval | None = None
    place: str = "messages"
    """The field that the turns came in, for the words of an error."""


def conversation(request: Request, session: Session | None) -> tuple[Turn, ...]:
    """Return all turns up to and with the newest message. What the agent said is sent only by who
    sends the whole conversation; what came of a call belongs to a turn that is remembered."""
    if session is None or any(turn.role == "assistant" for turn in request.turns):
        return request.turns
    return session.turns + request.turns


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk given to the generator, best first; `score` is its fused rank score."""

    indexed: IndexedChunk
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """A question with what retrieval found out about it."""

    question: str
    vector: Vector
    semantic: bool
    """The embedding model reads the question's language, so that its cosines mean something."""
    weights: Mapping[str, float]
    """The question's words, each with its inverse document frequency."""
    passages: Sequence[Passage]
    index: str = ""
    """Collection and version that it comes from."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generator gets: everything, already within its budget of tokens."""

    instructions: str
    """The system prompt."""
    turns: tuple[Turn, ...]
    """History, then the question in its template, then calls and results of this turn."""
    text: str
    """The whole as one text, for models without roles."""
    question: Question
    evidence: Evidence | None
    results: tuple[ToolResult, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    sampling: Sampling = AS_CONFIGURED


@dataclass(frozen=True, slots=True)
class Citation:
    """Which part of the reply (`start` to `end`) comes from which document.

    `quote` stands word for word in the document.
    """

    start: int
    end: int
    quote: str
    score: float
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply as it is written. `refusal`: it says that there is no answer.

    A citation may come with the text that it belongs to or later, in a piece without text.
    """

    text: str
    citation: Citation | None = None
    refusal: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the generator counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a reply, always its last event."""

    reason: FinishReason = "stop"
    usage: Usage = Usage()


Event = Piece | ToolCall | ToolResult | Pending | Finish
"""What happens while a turn is answered. A `ToolCall` is one that the caller has to make; the
agent's own calls appear as their `ToolResult`; `Pending` waits for the user."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply."""

    text: str
    citations: tuple[Citation, ...] = ()
    tool_calls: tuple[ToolResult, ...] = ()
    """What the agent did, with the results."""
    client_calls: tuple[ToolCall, ...] = ()
    """What the caller has to do."""
    pending: Pending | None = None
    usage: Usage = Usage()
    finish_reason: FinishReason = "stop"
    refusal: bool = False
    evidence: Evidence | None = None
    cached: bool = False
