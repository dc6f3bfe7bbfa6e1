"""`kubectl chatagent evaluate`: what the last evaluation of the answers found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.rendering import evaluation
from chatagent_operator.cli.result import Result, said
from chatagent_operator.cli.view import view
from chatagent_operator.core.children.evaluation import LOG_KEY, REPORT_KEY

Line = dict[str, Any]
"""One question of a report, with `lost`, `gained`, and the replies as `canary` and `stable`."""

SIDES = ("stable", "canary")
REPLY_LENGTH = 300


async def evaluate(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """The shares of both revisions, the verdict, and the questions that came out otherwise.

    Of a Job that failed there is no report, and its log in place of one.

    Raises:
        CommandError: there was no evaluation.
    """
    agent = view(await cluster.agent(arguments.name))
    found = agent.evaluation
    if found.verdict is None:
        raise CommandError(
            f"ChatAgent {arguments.name!r} has no evaluation; "
            "spec.rollout.analysis.evaluation asks for one at the next rollout"
        )
    body = await cluster.config_map(found.report) if found.report else None
    data: Mapping[str, str] = (body or {}).get("data") or {}
    report: Mapping[str, Any] = json.loads(data.get(REPORT_KEY, "{}"))
    changed: list[Line] = report.get("changed", [])
    shown = len(changed) + len(report.get("same", []))
    left_out: int = report.get("leftOut", 0)
    log = data.get(LOG_KEY)
    document = {
        **found.model_dump(mode="json", by_alias=True),
        "questions": shown + left_out,
        "changed": changed,
        "leftOut": left_out,
        "log": log,
    }
    told = list(evaluation(agent))
    if found.report and body is None:
        told.append("  it is not there (any more)")
    if shown:
        told += ["", f"{len(changed)} of {shown} questions came out otherwise"]
        told += [line for each in changed for line in _told(each)]
    if left_out:
        told.append(f"  {left_out} more questions did not fit into the report")
    if log is not None:
        told += ["", "The Job left no report, but its log:"]
        told += [f"  {line}" for line in log.splitlines()]
    return said(document, "\n".join(told))


def _told(line: Line) -> Iterator[str]:
    yield f"  {line.get('id', '-')}: {line.get('question', '-')}"
    for word in ("lost", "gained"):
        if measures := line.get(word):
            yield f"    {word} {', '.join(measures)}"
    for side in SIDES:
        reply: Mapping[str, Any] = line.get(side) or {}
        said = f"error: {reply['error']}" if reply.get("error") else str(reply.get("reply", "-"))
        text = " ".join(said.split())
        yield f"    {side}: {text if len(text) <= REPLY_LENGTH else text[: REPLY_LENGTH - 1] + '…'}"
