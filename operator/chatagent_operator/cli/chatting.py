"""`kubectl chatagent chat`: sends one message, or runs a conversation until the input ends."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from chatagent_operator.cli import revisions
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.conversing import (
    Address,
    Reply,
    format_sources,
    read_line,
    stream_reply,
)
from chatagent_operator.cli.errors import USAGE, CommandError
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.cli.view import read_status
from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT

GATEWAY_PORT = 80


async def run_chat(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Talk to an agent through its gateway, or to one of its revisions directly.

    With provider `gateway-api` a gateway has no Service; the default is the stable revision.
    """
    if arguments.output != "text" and arguments.message is None:
        raise CommandError(f"-o {arguments.output} requires --message TEXT", USAGE)
    to = await _find_address(cluster, arguments.name, arguments.revision)
    if arguments.message is None:
        await _run_conversation(cluster, to, arguments.conversation)
        return fixed_result(None, "")
    reply = Reply()
    async for text in stream_reply(
        cluster, to, _build_request(arguments.message), arguments.conversation, reply
    ):
        if arguments.output == "text":
            print(text, end="", flush=True)
    document = {
        "text": reply.text,
        "citations": reply.citations,
        "conversationId": reply.conversation,
        "requiredAction": reply.required_action,
        "degraded": reply.degraded,
    }
    return fixed_result(
        document, "\n".join(["", *_format_footer(reply), f"conversation {reply.conversation}"])
    )


async def _find_address(cluster: Cluster, name: str, word: str | None) -> Address:
    agent = await cluster.agent(name)
    if word is None:
        gateway = (agent.get("spec") or {}).get("gateway") or {}
        if gateway.get("provider") != "gateway-api":
            return Address(name, GATEWAY_PORT)
        word = "stable"
    kept = revisions.read_revisions(await cluster.revisions(name))
    chosen = revisions.find_revision(word, kept, read_status(agent))
    return Address(names.revision(name, chosen.revision), PORT)


async def _run_conversation(cluster: Cluster, to: Address, conversation: str | None) -> None:
    is_interactive = sys.stdin.isatty()
    request: dict[str, Any] | None = None
    while True:
        if request is None:
            line = await read_line("> " if is_interactive else "")
            if line is None:
                break
            if not line.strip():
                continue
            request = _build_request(line)
        reply = Reply()
        try:
            async for text in stream_reply(cluster, to, request, conversation, reply):
                print(text, end="", flush=True)
        except CommandError as error:
            if not is_interactive:
                raise
            print(f"\nerror: {error}", file=sys.stderr)
        print("\n".join(["", *_format_footer(reply), ""]), flush=True)
        conversation = reply.conversation or conversation
        request = await _ask_approval(reply) if is_interactive else None
    if is_interactive and conversation:
        print(f"\nconversation {conversation}")


def _build_request(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question.strip()}]}


def _format_footer(reply: Reply) -> list[str]:
    lines = format_sources(reply.citations)
    if reply.degraded:
        lines.append(f"  (degraded: without {', '.join(reply.degraded)})")
    if (action := reply.required_action) and action.get("type") == "approve_tool_call":
        call = action["approval"]
        lines.append(f"  requires approval {call['id']}: {call['tool']} {call['arguments']}")
    return lines


async def _ask_approval(reply: Reply) -> dict[str, Any] | None:
    """Ask the user to approve a tool call; return the next request, or None if none is pending."""
    action = reply.required_action
    if not action or action.get("type") != "approve_tool_call":
        return None
    word = await read_line("  approve? [y/N] ")
    approve = (word or "").strip().lower() in ("y", "yes")
    return {"approval": {"id": action["approval"]["id"], "approve": approve}}
