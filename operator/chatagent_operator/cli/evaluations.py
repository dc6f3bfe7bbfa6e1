"""`kubectl chatagent evaluate`: shows the report of the last evaluation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.rendering import render_evaluation
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.cli.view import build_view
from chatagent_operator.core.children.evaluation import LOG_KEY, REPORT_KEY

Line = dict[str, Any]
"""One question of a report, with `lost`, `gained`, and the replies as `canary` and `stable`."""

SIDES = ("stable", "canary")
REPLY_LENGTH = 300


async def show_evaluation(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Show the verdict, the shares of both revisions, and the questions whose results differ.

    A Job that failed leaves no report; its log is shown instead.

    Raises:
        CommandError: the agent has no evaluation.
    """
    agent = build_view(await cluster.agent(arguments.name))
    found = agent.evaluation
    if found.verdict is None:
        raise CommandError(
            f"ChatAgent {arguments.name!r} has no evaluation; "
            "set spec.rollout.analysis.evaluation to evaluate the next rollout"
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
    lines = list(render_evaluation(agent))
    if found.report and body is None:
        lines.append("  the report does not exist; it may have been deleted")
    if shown:
        lines += ["", f"{len(changed)} of {shown} questions have different results"]
        lines += [line for each in changed for line in _format_question(each)]
    if left_out:
        lines.append(f"  {left_out} more questions are left out: the report is limited to 1 MiB")
    if log is not None:
        lines += ["", "The Job failed without a report. Its log:"]
        lines += [f"  {line}" for line in log.splitlines()]
    return fixed_result(document, "\n".join(lines))


def _format_question(line: Line) -> Iterator[str]:
    yield f"  {line.get('id', '-')}: {line.get('question', '-')}"
    for word in ("lost", "gained"):
        if measures := line.get(word):
            yield f"    {word} {', '.join(measures)}"
    for side in SIDES:
        reply: Mapping[str, Any] = line.get(side) or {}
        text = f"error: {reply['error']}" if reply.get("error") else str(reply.get("reply", "-"))
        text = " ".join(text.split())
        yield f"    {side}: {text if len(text) <= REPLY_LENGTH else text[: REPLY_LENGTH - 1] + '…'}"
