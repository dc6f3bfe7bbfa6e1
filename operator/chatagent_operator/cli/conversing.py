"""Conversations with an agent through the API server's proxy."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import NO_ANSWER, CommandError
from chatagent_operator.kube.errors import ApiError

PATH = "/v1/chat/completions"
SILENCE_SECONDS = 120.0
"""A model may take that long for its first token."""


@dataclass
class Reply:
    """The reply of one turn, as far as it has been received."""

    text: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    conversation: str | None = None
    required_action: dict[str, Any] | None = None
    """What the user must do before the agent continues."""

    degraded: list[str] = field(default_factory=list[str])
    """Parts that were unavailable to the agent."""


@dataclass(frozen=True)
class Address:
    """The address of a Service of the agent."""

    service: str
    port: int


async def stream_reply(
    cluster: Cluster,
    to: Address,
    request: Mapping[str, Any],
    conversation: str | None,
    reply: Reply,
) -> AsyncIterator[str]:
    """Send one turn; yield the text as it arrives and collect all of it in `reply`.

    Raises:
        CommandError: the agent refused the request, or the reply is incomplete.
    """
    headers = {"Accept": "text/event-stream"}
    if conversation:
        headers["X-Conversation-ID"] = conversation
    body = {"model": "agent", "stream": True, **request}
    path = cluster.service(to.service, to.port, PATH)
    lines = cluster.requests.lines("POST", path, body, headers, SILENCE_SECONDS)
    is_complete = False
    try:
        async for line in lines:
            word, _, data = line.decode(errors="replace").strip().partition(":")
            if word != "data":
                continue
            if data.strip() == "[DONE]":
                is_complete = True
                continue
            if text := _add_event(json.loads(data), reply):
                yield text
    except ApiError as error:
        code = NO_ANSWER if error.status in (0, 502, 503, 504) else 1
        raise CommandError(_describe_error(error, error.message), code) from None
    except ValueError as error:
        raise CommandError(f"the reply is not valid JSON: {error}", NO_ANSWER) from None
    if not is_complete:
        raise CommandError(
            "the reply is incomplete: the connection was lost; send the message again", NO_ANSWER
        )


def _add_event(event: dict[str, Any], reply: Reply) -> str:
    """Add an event to the reply and return its text."""
    if error := event.get("error"):
        raise CommandError(f"the agent returned an error: {error.get('message', error)}", NO_ANSWER)
    reply.conversation = event.get("conversation_id") or reply.conversation
    reply.required_action = event.get("required_action") or reply.required_action
    reply.degraded = event.get("degraded") or reply.degraded
    delta: dict[str, Any] = next(iter(event.get("choices") or ()), {}).get("delta") or {}
    reply.citations += delta.get("annotations") or []
    text = delta.get("content") or ""
    reply.text += text
    return text


def _describe_error(error: ApiError, default: str) -> str:
    """Return the message of the agent's own error, which the proxy forwards, or the default."""
    try:
        found = json.loads(error.message)["error"]
        return f"the agent returned an error: {found['message']}"
    except (ValueError, KeyError, TypeError):
        return default


def format_sources(citations: list[dict[str, Any]]) -> list[str]:
    """Return a line for each cited file, followed by its quotes."""
    by_file: dict[str, list[str]] = {}
    for each in citations:
        name = str(each.get("filename", "?"))
        title = each.get("title")
        head = f"{name} ({title})" if title and title != name else name
        quotes = by_file.setdefault(head, [])
        if (quote := each.get("quote")) and quote not in quotes:
            quotes.append(quote)
    return [
        line
        for number, (head, quotes) in enumerate(by_file.items(), 1)
        for line in (f"  [{number}] {head}", *(f"      “{' '.join(q.split())}”" for q in quotes))
    ]


async def read_line(prompt: str) -> str | None:
    """Read a line of standard input; None at its end.

    A terminal is read through the event loop, so that Ctrl-C interrupts the wait.
    """
    if not sys.stdin.isatty():
        return await asyncio.to_thread(sys.stdin.readline) or None
    print(prompt, end="", flush=True)
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline() or None  # a terminal delivers whole lines
