"""`kubectl chatagent evaluate`: what the last evaluation of the answers found."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.rendering import evaluation
from chatagent_operator.cli.result import Result, said
from chatagent_operator.cli.view import view

Line = dict[str, Any]
"""One question of a report, with `lost`, `gained`, and the replies as `new` and `baseline`."""

SIDES = {"stable": "baseline", "canary": "new"}
REPLY_LENGTH = 300


async def evaluate(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """The shares of both revisions, the verdict, and the questions that came out otherwise.

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
    lines = list(_lines(body or {}))
    questions = [each for each in lines if "question" in each]
    changed = [each for each in questions if each.get("lost") or each.get("gained")]
    document = {
        **found.model_dump(mode="json", by_alias=True),
        "questions": len(questions),
        "changed": changed,
    }
    told = list(evaluation(agent))
    if found.report and body is None:
        told.append("  it is not there (any more)")
    if questions:
        told += ["", f"{len(changed)} of {len(questions)} questions came out otherwise"]
        told += [line for each in changed for line in _told(each)]
    told += [f"  {each['note']}" for each in lines if "note" in each]
    return said(document, "\n".join(told))


def _lines(report: Mapping[str, Any]) -> Iterator[Line]:
    """What is JSON of the files of a report."""
    for text in (report.get("data") or {}).values():
        for line in str(text).splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield cast(Line, found)


def _told(line: Line) -> Iterator[str]:
    yield f"  {line.get('id', '-')}: {line['question']}"
    for word in ("lost", "gained"):
        if measures := line.get(word):
            yield f"    {word} {', '.join(measures)}"
    for side, field in SIDES.items():
        reply: Mapping[str, Any] = line.get(field) or {}
        said = f"error: {reply['error']}" if reply.get("error") else str(reply.get("reply", "-"))
        text = " ".join(said.split())
        yield f"    {side}: {text if len(text) <= REPLY_LENGTH else text[: REPLY_LENGTH - 1] + '…'}"
