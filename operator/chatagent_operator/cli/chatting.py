"""`kubectl chatagent chat`: one question, or a conversation until the end of the input."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from chatagent_operator.cli import revisions
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.conversing import Address, Reply, converse, read_line, sources
from chatagent_operator.cli.errors import USAGE, CommandError
from chatagent_operator.cli.result import Result, said
from chatagent_operator.cli.view import status_of
from chatagent_operator.core import names
from chatagent_operator.core.agent import PORT

GATEWAY_PORT = 80


async def chat(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Talk to an agent through its gateway, or to one revision past it.

    A Gateway of the cluster's own is not reached through a Service: then it is the stable revision.
    """
    if arguments.output != "text" and arguments.message is None:
        raise CommandError(f"-o {arguments.output} goes with --message TEXT", USAGE)
    to = await _address(cluster, arguments.name, arguments.revision)
    if arguments.message is None:
        await _talk(cluster, to, arguments.conversation)
        return said(None, "")
    reply = Reply()
    async for text in converse(
        cluster, to, _asked(arguments.message), arguments.conversation, reply
    ):
        if arguments.output == "text":
            print(text, end="", flush=True)
    document = {
        "text": reply.text,
        "citations": reply.citations,
        "conversationId": reply.conversation,
        "requiredAction": reply.waits_for,
        "degraded": reply.degraded,
    }
    return said(document, "\n".join(["", *_below(reply), f"conversation {reply.conversation}"]))


async def _address(cluster: Cluster, name: str, word: str | None) -> Address:
    agent = await cluster.agent(name)
    if word is None:
        gateway = (agent.get("spec") or {}).get("gateway") or {}
        if gateway.get("provider") != "gateway-api":
            return Address(name, GATEWAY_PORT)
        word = "stable"
    kept = revisions.kept(await cluster.revisions(name))
    chosen = revisions.find(word, kept, status_of(agent))
    return Address(names.of_revision(name, chosen.revision), PORT)


async def _talk(cluster: Cluster, to: Address, conversation: str | None) -> None:
    asks = sys.stdin.isatty()
    request: dict[str, Any] | None = None
    while True:
        if request is None:
            line = await read_line("> " if asks else "")
            if line is None:
                break
            if not line.strip():
                continue
            request = _asked(line)
        reply = Reply()
        try:
            async for text in converse(cluster, to, request, conversation, reply):
                print(text, end="", flush=True)
        except CommandError as error:
            if not asks:
                raise
            print(f"\nerror: {error}", file=sys.stderr)
        print("\n".join(["", *_below(reply), ""]), flush=True)
        conversation = reply.conversation or conversation
        request = await _approval(reply) if asks else None
    if asks and conversation:
        print(f"\nconversation {conversation}")


def _asked(question: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question.strip()}]}


def _below(reply: Reply) -> list[str]:
    lines = sources(reply.citations)
    if reply.degraded:
        lines.append(f"  (without {', '.join(reply.degraded)})")
    if (action := reply.waits_for) and action.get("type") == "approve_tool_call":
        call = action["approval"]
        lines.append(f"  waits for approval {call['id']}: {call['tool']} {call['arguments']}")
    return lines


async def _approval(reply: Reply) -> dict[str, Any] | None:
    """The next request, where the agent asks whether it may do something."""
    action = reply.waits_for
    if not action or action.get("type") != "approve_tool_call":
        return None
    word = await read_line("  may it? [y/N] ")
    approve = (word or "").strip().lower() in ("y", "yes")
    return {"approval": {"id": action["approval"]["id"], "approve": approve}}
