"""The report of an evaluation, question by question, as it is kept in a ConfigMap. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

BYTES = 1_000_000
"""Most that a report has: a ConfigMap holds 1 MiB."""

Line = dict[str, Any]


def report(log: str) -> str | None:
    """JSON with `summary`, the questions whose answers are judged differently as `changed`, and
    the others as `same`, each on a line. None: the log holds no report.

    Of one that does not fit, the end is left out, and `leftOut` says how many questions.
    """
    lines = list(_lines(log))
    summary = next((line for line in lines if "measures" in line), None)
    if summary is None:
        return None
    questions = [_named(line) for line in lines if "baseline" in line and "measures" not in line]
    changed: list[str] = []
    same: list[str] = []
    size = 1000 + len(_text(summary).encode())
    for at, question in enumerate(questions):
        text = _text(question)
        size += len(text.encode()) + len(",\n")
        if size > BYTES:
            return _whole(summary, changed, same, left=len(questions) - at)
        (changed if question["lost"] or question["gained"] else same).append(text)
    return _whole(summary, changed, same, left=0)


def _whole(summary: Line, changed: list[str], same: list[str], left: int) -> str:
    parts = [
        f'"summary": {_text(summary)}',
        f'"changed": {_listed(changed)}',
        f'"same": {_listed(same)}',
        f'"leftOut": {left}',
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _listed(texts: list[str]) -> str:
    inside = ",\n".join(texts)
    return f"[\n{inside}\n]"


def _lines(log: str) -> Iterator[Line]:
    """What the Job printed, and not what it logged."""
    for line in log.split("\n"):
        try:
            read: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(read, dict) and ("baseline" in read or "measures" in read):
            yield read


def _named(line: Line) -> Line:
    """A question with both revisions by the names that they have in the status."""
    rest = {key: value for key, value in line.items() if key not in ("new", "baseline")}
    lists = {"lost": line.get("lost") or [], "gained": line.get("gained") or []}
    return rest | lists | {"canary": line.get("new"), "stable": line["baseline"]}


def _text(value: Line) -> str:
    return json.dumps(value, ensure_ascii=False)
