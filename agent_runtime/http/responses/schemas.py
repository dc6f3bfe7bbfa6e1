"""Requests for responses as OpenAI's clients send them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from agent_runtime.domain import Sampling, ToolSpec, Turn
from agent_runtime.errors import InvalidRequestError
from agent_runtime.http.chat.schemas import Temperature, TextFormat, Tokens, TopP
from agent_runtime.http.fields import Body, Identifier, Metadata, Short, Text
from agent_runtime.http.functions import MAX_TOOLS, FunctionSpec, ResponseToolChoice, specs
from agent_runtime.http.items import InputItem, MessageItem, turns_of


class FunctionTool(FunctionSpec):
    """A function that the client executes."""

    type: Literal["function"]


class FileSearchTool(Body):
    """The search that this agent does anyway."""

    type: Literal["file_search"]


def _tool(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return f"<{kind}>"


ResponseTool = Annotated[
    Annotated[FunctionTool, Tag("<function>")] | Annotated[FileSearchTool, Tag("<file_search>")],
    Discriminator(_tool),
]


class ConversationRef(Body):
    """A conversation by its id."""

    id: Identifier


def _conversation(given: Any) -> str:
    return "<id>" if isinstance(given, str) else "<object>"


def _input(given: Any) -> str:
    return "<text>" if isinstance(given, str) else "<items>"


class TextConfig(Body):
    """The form of the reply."""

    format: TextFormat | None = None


class ResponseRequest(Body):
    """A request for a response."""

    input: Annotated[
        Annotated[Text, Tag("<text>")]
        | Annotated[Annotated[list[InputItem], Field(max_length=1000)], Tag("<items>")],
        Discriminator(_input),
    ]
    """The newest message, or items: messages, calls of functions with their outputs, approvals."""
    model: Short | None = None
    """`agent`, or the generator's name. Absent: `agent`."""
    instructions: Text | None = None
    """Instructions for this response alone."""
    stream: bool | None = None
    store: bool | None = None
    """Whether it can be asked for again and gone on from, for 30 days. Absent: yes."""
    previous_response_id: Identifier | None = None
    """The response that this one goes on from."""
    conversation: (
        Annotated[
            Annotated[Identifier, Tag("<id>")] | Annotated[ConversationRef, Tag("<object>")],
            Discriminator(_conversation),
        ]
        | None
    ) = None
    """The conversation that it belongs to."""
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_output_tokens: Tokens | None = None
    metadata: Metadata | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=MAX_TOOLS)] | None = None
    """Functions that the client executes, besides the agent's own tools."""
    tool_choice: ResponseToolChoice | None = None
    text: TextConfig | None = None
    background: Literal[False] | None = None
    """Not done here."""

    def items(self) -> list[InputItem]:
        """Return the input as items."""
        if isinstance(self.input, str):
            return [MessageItem(role="user", content=self.input)]
        return self.input

    def turns(self) -> tuple[Turn, ...]:
        """Return what was said in this request. Raises InvalidRequestError."""
        return turns_of(self.items(), "input")

    def conversation_id(self) -> str | None:
        """Return the conversation's name. Raises InvalidRequestError where there are two."""
        if self.conversation and self.previous_response_id:
            raise InvalidRequestError(
                "conversation: it excludes previous_response_id", "conversation"
            )
        if isinstance(self.conversation, ConversationRef):
            return self.conversation.id
        return self.conversation

    def functions(self) -> tuple[ToolSpec, ...]:
        """Return the client's functions. Raises InvalidRequestError."""
        brought = enumerate(self.tools or ())
        return specs(
            [(f"tools.{at}", tool) for at, tool in brought if isinstance(tool, FunctionTool)]
        )

    def sampling(self) -> Sampling:
        """Return how words are to be chosen."""
        return Sampling(self.temperature, self.top_p, self.max_output_tokens)


RESPONSE = TypeAdapter(ResponseRequest)
