"""The results as Markdown: a table for each number of agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.operator_scale.contestants import Contestant
from bench.operator_scale.scenarios import SORTS, Limits, Outcome, Value, median

NOT_MEASURED = "–"
MOST_KINDS = 14


def _seconds(value: float) -> str:
    if value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms"


def _memory(value: float) -> str:
    return f"{value:.0f} MiB"


def _cpu(value: float) -> str:
    return f"{value:.1f} s"


@dataclass(frozen=True)
class Row:
    """One measure."""

    title: str
    keys: tuple[str, ...]
    text: Callable[[float], str]
    goal: str = ""


ROWS = (
    Row("burst: created → all ready", ("burst ready",), _seconds, "ahead of the peer"),
    Row("burst: not ready in the end", ("burst unready",), _number, "0"),
    Row(
        "burst: create → first child write, p50; p99",
        ("burst p50", "burst p99"), _seconds, "≤ the peer's",
    ),
    Row("burst: CPU for each created", ("burst CPU",), _milliseconds, "≤ 40 ms"),
    Row("children of each", ("children",), _number),
    Row("burst: calls for each created", ("burst calls",), _number, "children + 3"),
    Row("writes; Events; reads; lists; watches", tuple(f"burst {each}" for each in SORTS), _number),
    Row("memory, peak of the burst", ("burst memory",), _memory, "≤ 150 MiB"),
    Row(
        "one at a time: create → first child write, p50; p99",
        ("single p50", "single p99"), _seconds, "≤ 10 ms",
    ),
    Row("idle: calls in 60 s", ("idle calls",), _number, "the Lease only"),
    Row("idle: CPU in 60 s", ("idle CPU",), _milliseconds),
    Row(
        "changed at once → first child write, p50; p99",
        ("change p50", "change p99"), _seconds, "≤ 1 s",
    ),
    Row("changed at once → all rolled out", ("change done",), _seconds, "≤ 20 s"),
    Row("changed at once: not rolled out in the end", ("change undone",), _number, "0"),
    Row(
        "restart, 5 changed meanwhile: start → first write; all 5",
        ("restart first", "restart all"), _seconds, "≤ 10 s",
    ),
    Row("restart: start → all 5 rolled out", ("restart done",), _seconds),
    Row("restart: CPU", ("restart CPU",), _cpu),
    Row(
        "restart: calls, the 5 rollouts among them; lists",
        ("restart calls", "restart lists"), _number,
    ),
    Row("restart: calls but those about the 5", ("restart others",), _number, "≤ 60"),
    Row("restart: writes about other agents", ("restart strays",), _number, "0"),
    Row(
        "restart: memory after; peak",
        ("restart memory", "restart peak"), _memory, "≤ 150 MiB",
    ),
)  # fmt: skip


def table(
    count: int, found: Mapping[str, Sequence[Outcome]], contestants: Sequence[Contestant]
) -> list[str]:
    """The lines for one number of agents; of several runs of a contestant, the medians.

    Args:
        found: the runs of each contestant, by its label.
    """
    labels = [each.label for each in contestants]
    lines = [
        f"## {count:,} agents",
        "",
        f"| | {' | '.join(labels)} | goal |",
        f"|---|{'---|' * len(labels)}---|",
    ]
    lines += [
        f"| {row.title} | {' | '.join(_cell(row, found[label]) for label in labels)} | {row.goal} |"
        for row in ROWS
    ]
    loads = [
        f"{label} {', '.join('{:.1f} → {:.1f}'.format(*run.load) for run in found[label])}"
        for label in labels
    ]
    lines += ["", f"Load average before and after each burst: {'; '.join(loads)}.", ""]
    for label in labels:
        last = found[label][-1]
        lines += [f"{label}, calls of a burst: {_kinds(last.calls, count)}.", ""]
        if last.idle:
            lines += [f"{label}, calls of 60 idle seconds: {_kinds(last.idle, 1)}.", ""]
    return lines


def limits_told(limits: Limits) -> str:
    """What – means."""
    return (
        f"– is what did not come about: a burst is given up after {limits.burst:.0f} s, a change "
        f"after {limits.change:.0f} s, a restart after {limits.restart:.0f} s, and what follows a "
        "burst that was given up is left out."
    )


def _cell(row: Row, runs: Sequence[Outcome]) -> str:
    if not any(key in run.values for run in runs for key in row.keys):
        return NOT_MEASURED
    return "; ".join(_text(row, [run.values.get(key) for run in runs]) for key in row.keys)


def _text(row: Row, values: Sequence[Value]) -> str:
    value = median(values)
    return NOT_MEASURED if value is None else row.text(value)


def _kinds(calls: Counter[str], count: int) -> str:
    common = calls.most_common(MOST_KINDS)
    rest = calls.total() - sum(number for _, number in common)
    told = [f"{number} {what}" for what, number in common]
    each = f" ({calls.total() / count:.1f} for each)" if count > 1 else ""
    return ", ".join([*told, *([f"{rest} others"] if rest else [])]) + each if told else "none"
