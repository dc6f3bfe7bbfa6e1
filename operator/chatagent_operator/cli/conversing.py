"""A conversation with an agent through the API server, for who can reach no more than that."""

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
"""A model may take so long for its first word."""


@dataclass
class Reply:
    """One turn, as far as it has come."""

    text: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    conversation: str | None = None
    waits_for: dict[str, Any] | None = None
    """What the user has to do before the agent goes on."""

    degraded: list[str] = field(default_factory=list[str])
    """What the agent did without."""


@dataclass(frozen=True)
class Address:
    """A Service of the agent."""

    service: str
    port: int


async def converse(
    cluster: Cluster,
    to: Address,
    request: Mapping[str, Any],
    conversation: str | None,
    reply: Reply,
) -> AsyncIterator[str]:
    """One turn: yields the text as it comes, and puts all of it into `reply`.

    Raises:
        CommandError: the agent refused, or broke off.
    """
    headers = {"Accept": "text/event-stream"}
    if conversation:
        headers["X-Conversation-ID"] = conversation
    body = {"model": "agent", "stream": True, **request}
    path = cluster.service(to.service, to.port, PATH)
    lines = cluster.requests.lines("POST", path, body, headers, SILENCE_SECONDS)
    is_whole = False
    try:
        async for line in lines:
            word, _, data = line.decode(errors="replace").strip().partition(":")
            if word != "data":
                continue
            if data.strip() == "[DONE]":
                is_whole = True
                continue
            if text := _take(json.loads(data), reply):
                yield text
    except ApiError as error:
        code = NO_ANSWER if error.status in (0, 502, 503, 504) else 1
        raise CommandError(_told(error, error.message), code) from None
    except ValueError as error:
        raise CommandError(f"the agent's answer is no JSON: {error}", NO_ANSWER) from None
    if not is_whole:
        raise CommandError("the answer broke off; ask again", NO_ANSWER)


def _take(event: dict[str, Any], reply: Reply) -> str:
    """Put an event into the reply; returns its text."""
    if error := event.get("error"):
        raise CommandError(f"the agent says: {error.get('message', error)}", NO_ANSWER)
    reply.conversation = event.get("conversation_id") or reply.conversation
    reply.waits_for = event.get("required_action") or reply.waits_for
    reply.degraded = event.get("degraded") or reply.degraded
    delta: dict[str, Any] = next(iter(event.get("choices") or ()), {}).get("delta") or {}
    reply.citations += delta.get("annotations") or []
    text = delta.get("content") or ""
    reply.text += text
    return text


def _told(error: ApiError, otherwise: str) -> str:
    """What the agent itself said, where it did: the proxy hands its errors on."""
    try:
        found = json.loads(error.message)["error"]
        return f"the agent says: {found['message']}"
    except (ValueError, KeyError, TypeError):
        return otherwise


def sources(citations: list[dict[str, Any]]) -> list[str]:
    """A line for each file that is cited, with the words that were taken from it."""
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
    """A line of standard input; None at its end.

    A terminal is waited for by the event loop, so that Ctrl-C ends the wait.
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
    return sys.stdin.readline() or None  # a terminal gives whole lines
