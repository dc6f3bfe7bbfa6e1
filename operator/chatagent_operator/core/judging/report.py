"""The report of an evaluation, question by question, as a ConfigMap stores it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from chatagent_operator.core.untrusted import parse_object

BYTES = 1_000_000
"""Maximum size of a report: a ConfigMap holds 1 MiB."""

Line = dict[str, Any]


def build_report_text(log: str) -> str | None:
    """Build the report from a Job's log: JSON with `summary`, the questions whose answers are
    judged differently as `changed`, and the others as `same`, each on a line.

    The end of a report that is too large is left out; `leftOut` counts the questions. None: the log
    has no report.
    """
    summary = next((line for line in _read_lines(log) if "measures" in line), None)
    if summary is None:
        return None
    # Read a second time: a log of small objects takes many times its size once it is parsed.
    questions = (
        _rename_revisions(line)
        for line in _read_lines(log)
        if "baseline" in line and "measures" not in line
    )
    changed: list[str] = []
    same: list[str] = []
    size = 1000 + len(_text(summary).encode())
    for question in questions:
        text = _text(question)
        size += len(text.encode()) + len(",\n")
        if size > BYTES:
            return _render(summary, changed, same, left=1 + sum(1 for _ in questions))
        (changed if question["lost"] or question["gained"] else same).append(text)
    return _render(summary, changed, same, left=0)


def _render(summary: Line, changed: list[str], same: list[str], left: int) -> str:
    parts = [
        f'"summary": {_text(summary)}',
        f'"changed": {_list(changed)}',
        f'"same": {_list(same)}',
        f'"leftOut": {left}',
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _list(texts: list[str]) -> str:
    inside = ",\n".join(texts)
    return f"[\n{inside}\n]"


def _read_lines(log: str) -> Iterator[Line]:
    """Yield what the Job printed, and not what it logged."""
    for line in log.split("\n"):
        read = parse_object(line)
        if read and ("baseline" in read or "measures" in read):
            yield dict(read)


def _rename_revisions(line: Line) -> Line:
    """Name both revisions of a question as the status does."""
    rest = {key: value for key, value in line.items() if key not in ("new", "baseline")}
    lists = {"lost": line.get("lost") or [], "gained": line.get("gained") or []}
    return rest | lists | {"canary": line.get("new"), "stable": line["baseline"]}


def _text(value: Line) -> str:
    return json.dumps(value, ensure_ascii=False)
