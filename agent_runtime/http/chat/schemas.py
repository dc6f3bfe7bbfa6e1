"""Chat requests as OpenAI's clients send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from agent_runtime.domain import Approval, Principal, Request, Sampling, ToolSpec, Turn, unmatched
from agent_runtime.errors import InvalidRequestError
from agent_runtime.http.fields import Body, Identifier, Short, Text, check_question
from agent_runtime.http.functions import (
    MAX_TOOLS,
    ChatToolChoice,
    FunctionSpec,
    call,
    chosen,
    specs,
)


class TextPart(Body):
    """Text of a message that comes in parts. This agent reads nothing but text."""

    type: Literal["text"]
    text: Text


def _kind(content: Any) -> str:
    return "<parts>" if isinstance(content, list) else "<text>"


Content = Annotated[
    Annotated[Text | None, Tag("<text>")]
    | Annotated[Annotated[list[TextPart], Field(max_length=1000)], Tag("<parts>")],
    Discriminator(_kind),
]


class CalledFunction(Body):
    """A function with its arguments, which are JSON in a text."""

    name: Short
    arguments: Text


class MessageToolCall(Body):
    """A call that the assistant asked for."""

    id: Identifier
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Body):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    tool_calls: Annotated[list[MessageToolCall], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: Identifier | None = None

    def turn(self, place: str) -> Turn:
        """Return what was said. Raises InvalidRequestError."""
        content = self.content or ""
        text = content if isinstance(content, str) else "\n".join(part.text for part in content)
        calls = [
            call(
                each.id,
                each.function.name,
                each.function.arguments,
                f"{place}.tool_calls.{number}.function.arguments",
            )
            for number, each in enumerate(self.tool_calls or ())
        ]
        role = "system" if self.role == "developer" else self.role
        return Turn(role, text, tuple(calls), self.tool_call_id)


class ChatFunction(Body):
    """A function that the client executes."""

    type: Literal["function"]
    function: FunctionSpec


class StreamOptions(Body):
    """How a stream ends."""

    include_usage: bool | None = None


class TextFormat(Body):
    """The form of the reply. This agent writes text."""

    type: Literal["text"]


class ApprovalBody(Body):
    """The user's word on a call that waits for it."""

    id: Identifier
    """As it stands in `required_action.approval.id`."""
    approve: bool


Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Stop = Annotated[Text, Field(min_length=1, max_length=200)]


class ChatRequest(Body):
    """A chat completion request."""

    messages: Annotated[list[ChatMessage], Field(max_length=1000)] = []
    """The conversation, the newest message last; with `conversation_id` the new ones are enough.
    Only an approval comes without any."""
    model: Short | None = None
    """`agent`, or the generator's name. Absent: `agent`."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    """This agent gives one answer to a question."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    """The same under its newer name, which counts where both are given."""
    stop: (
        Annotated[
            Annotated[Stop, Tag("<text>")]
            | Annotated[Annotated[list[Stop], Field(max_length=4)], Tag("<parts>")],
            Discriminator(_kind),
        ]
        | None
    ) = None
    tools: Annotated[list[ChatFunction], Field(max_length=MAX_TOOLS)] | None = None
    """Functions that the client executes, besides the agent's own tools."""
    tool_choice: ChatToolChoice | None = None
    response_format: TextFormat | None = None
    conversation_id: str | None = None
    """1 to 128 letters, digits and . _ : - of the client's choice, or what was issued before. The
    header X-Conversation-ID goes before it."""
    approval: ApprovalBody | None = None
    """The answer to a `required_action` of type `approve_tool_call`."""

    def request(self, conversation: str, principal: Principal, remembered: bool) -> Request:
        """Return the turn to be answered.

        Args:
            conversation: its name.
            principal: who asks.
            remembered: the client named the conversation, so that the agent may know more of it
                than stands in the body.

        Raises:
            InvalidRequestError: it cannot be answered as it is.
        """
        if not self.messages and self.approval is None:
            raise InvalidRequestError("messages: at least one message is needed", "messages")
        turns = tuple(
            message.turn(f"messages.{number}") for number, message in enumerate(self.messages)
        )
        for place in () if remembered else unmatched(turns):
            raise InvalidRequestError(
                f"messages.{place}.tool_call_id: no earlier message asked for this call",
                f"messages.{place}.tool_call_id",
            )
        asked = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
        check_question(asked, "messages")
        tools = self._tools()
        return Request(
            turns=turns,
            conversation_id=conversation,
            principal=principal,
            tools=tools,
            tool_choice=chosen(self.tool_choice, tools),
            sampling=self._sampling(),
            approval=Approval(self.approval.id, self.approval.approve) if self.approval else None,
        )

    def _tools(self) -> tuple[ToolSpec, ...]:
        brought = enumerate(self.tools or ())
        return specs([(f"tools.{number}.function", each.function) for number, each in brought])

    def _sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=(self.stop,) if isinstance(self.stop, str) else as_tuple(self.stop),
        )


def as_tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return a list as the domain wants it."""
    return None if values is None else tuple(values)


CHAT = TypeAdapter(ChatRequest)
