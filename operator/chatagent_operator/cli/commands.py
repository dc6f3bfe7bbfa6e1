"""One function for each command but the larger ones: reads, perhaps writes, and says what is."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from chatagent_operator.cli import orders, revisions
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import USAGE, CommandError
from chatagent_operator.cli.printing import age, table
from chatagent_operator.cli.rendering import as_table, as_text
from chatagent_operator.cli.result import Result, said
from chatagent_operator.cli.revisions import Kept
from chatagent_operator.cli.view import AgentView, status_of, view


async def get(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """One agent, or all."""
    name: str | None = arguments.name
    if name is None:
        agents = [view(body) for body in await cluster.agents()]
        document = {"items": [_document(each) for each in agents]}
        return Result(document, lambda now: as_table(agents, now, cluster.namespace is None))
    if cluster.namespace is None:
        raise CommandError("-A goes without a NAME; give -n NAMESPACE with it", USAGE)
    agent = await cluster.agent(name)
    found = view(agent, await cluster.revisions(name), await cluster.deployments(name))
    return Result(_document(found), lambda now: as_text(found, now))


async def order(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """A command to the rollout."""
    full: bool = getattr(arguments, "full", False)
    answer = await orders.give(cluster, arguments.name, arguments.command, arguments.timeout, full)
    if answer.is_refused:
        raise CommandError(answer.result)
    document = {
        "namespace": cluster.namespace,
        "name": arguments.name,
        "action": answer.action,
        "revision": answer.revision,
        "id": answer.id,
        "result": answer.result,
    }
    return said(document, f"chatagent/{arguments.name}: {answer.result}")


async def history(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """The revisions that are remembered, and the rollouts."""
    status = status_of(await cluster.agent(arguments.name))
    kept = revisions.kept(await cluster.revisions(arguments.name))
    past = revisions.outcomes(status)
    roles = {
        status.failed_revision: "failed",
        status.canary_revision: "canary",
        status.stable_revision: "stable",
    } | {each.revision: "draining" for each in status.draining}

    def row(each: Kept, now: datetime) -> list[str]:
        ended = past.get(each.revision)
        outcome = f"{ended.outcome} {age(ended.ended_at, now)} ago" if ended else "-"
        return [
            str(each.number),
            each.revision,
            roles.get(each.revision, "-"),
            age(each.made_at, now),
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
                "madeAt": each.made_at,
                "image": each.image,
                "content": each.content,
            }
            for each in kept
        ],
        "rollouts": [each.model_dump(mode="json", by_alias=True) for each in status.history],
    }
    return Result(document, lambda now: "\n".join(table(head, [row(each, now) for each in kept])))


async def diff(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """What differs between two revisions: image, resources, pod and pipeline, with its prompts."""
    status = status_of(await cluster.agent(arguments.name))
    kept = revisions.kept(await cluster.revisions(arguments.name))
    after = arguments.after or ("failed" if not status.canary_revision else "canary")
    sides = [revisions.find(word, kept, status) for word in (arguments.before, after)]
    text = revisions.diff(*sides)
    document = {
        "before": {"revision": sides[0].revision, "number": sides[0].number},
        "after": {"revision": sides[1].revision, "number": sides[1].number},
        "changes": [
            {"path": each.path, "before": each.before, "after": each.after}
            for each in revisions.changes(sides[0].content, sides[1].content)
        ],
        "diff": text,
    }
    return said(document, text)


def _document(agent: AgentView) -> dict[str, Any]:
    return agent.model_dump(mode="json", by_alias=True)
