"""The commands that need no module of their own: get, history, diff, and those to a rollout."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from chatagent_operator.cli import revisions, rollout_commands
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import USAGE, CommandError
from chatagent_operator.cli.printing import format_age, format_table
from chatagent_operator.cli.rendering import render_agent, render_table
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.cli.revisions import StoredRevision
from chatagent_operator.cli.view import AgentView, build_view, read_status


async def get_agents(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Get one agent with its rollout, or a table of all agents."""
    name: str | None = arguments.name
    if name is None:
        agents = [build_view(body) for body in await cluster.agents()]
        document = {"items": [_to_document(each) for each in agents]}
        return Result(document, lambda now: render_table(agents, now, cluster.namespace is None))
    if cluster.namespace is None:
        raise CommandError("-A cannot be combined with a NAME; use -n NAMESPACE", USAGE)
    agent = await cluster.agent(name)
    found = build_view(agent, await cluster.revisions(name), await cluster.deployments(name))
    return Result(_to_document(found), lambda now: render_agent(found, now))


async def send_command(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Send a command to a rollout and report its result."""
    full: bool = getattr(arguments, "full", False)
    sent = await rollout_commands.send_command(
        cluster, arguments.name, arguments.command, arguments.timeout, full
    )
    if sent.is_refused:
        raise CommandError(sent.result)
    document = {
        "namespace": cluster.namespace,
        "name": arguments.name,
        "action": sent.action,
        "revision": sent.revision,
        "id": sent.id,
        "result": sent.result,
    }
    return fixed_result(document, f"chatagent/{arguments.name}: {sent.result}")


async def show_history(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """List the stored revisions with the result of their rollouts."""
    status = read_status(await cluster.agent(arguments.name))
    kept = revisions.read_revisions(await cluster.revisions(arguments.name))
    past = revisions.last_rollouts(status)
    roles = {
        status.previous.revision if status.previous else None: "previous",
        status.failed_revision: "failed",
        status.canary_revision: "canary",
        status.stable_revision: "stable",
    } | {each.revision: "draining" for each in status.draining}

    def row(each: StoredRevision, now: datetime) -> list[str]:
        ended = past.get(each.revision)
        outcome = f"{ended.outcome} {format_age(ended.ended_at, now)} ago" if ended else "-"
        return [
            str(each.number),
            each.revision,
            roles.get(each.revision, "-"),
            format_age(each.created_at, now),
            outcome,
            each.image,
            (ended.message or ended.reason) if ended else "",
        ]

    head = ["NUMBER", "REVISION", "ROLE", "AGE", "OUTCOME", "IMAGE", ""]
    document = {
        "revisions": [
            {
                "number": each.number,
                "revision": each.revision,
                "role": roles.get(each.revision),
                "createdAt": each.created_at,
                "image": each.image,
                "content": each.content,
            }
            for each in kept
        ],
        "rollouts": [each.model_dump(mode="json", by_alias=True) for each in status.history],
    }
    return Result(
        document, lambda now: "\n".join(format_table(head, [row(each, now) for each in kept]))
    )


async def show_diff(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Show the differences between two revisions: image, resources, pod and pipeline."""
    status = read_status(await cluster.agent(arguments.name))
    kept = revisions.read_revisions(await cluster.revisions(arguments.name))
    after = arguments.after or ("failed" if not status.canary_revision else "canary")
    sides = [revisions.find_revision(word, kept, status) for word in (arguments.before, after)]
    text = revisions.diff_revisions(*sides)
    document = {
        "before": {"revision": sides[0].revision, "number": sides[0].number},
        "after": {"revision": sides[1].revision, "number": sides[1].number},
        "changes": [
            {"path": each.path, "before": each.before, "after": each.after}
            for each in revisions.find_changes(sides[0].content, sides[1].content)
        ],
        "diff": text,
    }
    return fixed_result(document, text)


def _to_document(agent: AgentView) -> dict[str, Any]:
    return agent.model_dump(mode="json", by_alias=True)
