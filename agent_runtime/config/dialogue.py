"""How a conversation is followed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent_runtime.config.base import ConfigModel


class IntentConfig(ConfigModel):
    """Something that people come for, recognized by examples."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
    """Name of the intent, as metrics and traces show it."""

    examples: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=1000)], ...],
        Field(min_length=1, max_length=100),
    ]
    """Sentences that mean it. A message is compared with them by embedding and by words."""

    retrieval: bool = True
    """Whether documents are searched for such a message, where `retrieval.when` is `auto`."""

    reply: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    """A fixed reply, sent immediately. Absent: the pipeline continues."""


class DialogueConfig(ConfigModel):
    """How a conversation is followed."""

    history_turns: Annotated[int, Field(ge=0, le=50)] = 5
    """Turns before the question that are taken into account. A turn is a message of the user with
    the reply to it."""

    follow_ups: Literal["rewrite", "asIs"] = "rewrite"
    """`rewrite` makes a follow-up question stand alone before it is searched for; `asIs` searches
    for what was typed."""

    intents: Annotated[tuple[IntentConfig, ...], Field(max_length=100)] = ()
    """Intents of your own. Greetings, thanks and farewells in English and Chinese are known."""

    session_ttl_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400
    """How long after its last turn a conversation is remembered, in seconds."""
