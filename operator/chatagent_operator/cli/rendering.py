"""Renders the view of an agent as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from chatagent_operator.api.status import QualityShares
from chatagent_operator.cli.printing import format_age, format_number, format_table
from chatagent_operator.cli.view import AgentView, RevisionView

MARKS = {"done": "✓", "current": "▶", "ahead": "·"}
PAUSED = {"Command": "paused by command", "Inconclusive": "paused: the analysis is inconclusive"}
SHARES = {
    "retrieval_hits": "retrieval hits",
    "groundedness": "groundedness",
    "facts": "facts",
    "refusals": "refusals",
}


def render_table(agents: Sequence[AgentView], now: datetime, all_namespaces: bool) -> str:
    """Render a table with a row for each agent."""
    head = ["NAME", "PHASE", "ROLLOUT", "STABLE", "CANARY", "WEIGHT", "STEP", "ANALYSIS", "AGE"]
    rows = [
        [
            each.name,
            each.phase or "-",
            each.rollout_reason or "-",
            _find_by_role(each, "stable"),
            _find_by_role(each, "canary"),
            f"{each.rollout.weight}%" if _find_by_role(each, "canary") != "-" else "-",
            _format_step(each) or "-",
            (each.analysis.verdict if _find_by_role(each, "canary") != "-" else None) or "-",
            format_age(each.created_at, now),
        ]
        for each in agents
    ]
    if all_namespaces:
        head = ["NAMESPACE", *head]
        rows = [[each.namespace, *row] for each, row in zip(agents, rows, strict=True)]
    return "\n".join(format_table(head, rows))


def render_agent(agent: AgentView, now: datetime) -> str:
    """Render one agent with its revisions, rollout, analysis and conditions."""
    parts = [
        list(_render_head(agent)),
        _render_revisions(agent, now),
        list(_render_steps(agent, now)),
        list(_render_analysis(agent, now)),
        list(render_evaluation(agent)),
        list(_render_conditions(agent)),
        list(_render_last_command(agent)),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _render_head(agent: AgentView) -> Iterator[str]:
    words = [
        f"{agent.namespace}/{agent.name}",
        agent.phase or "not reconciled yet",
        agent.url or "",
    ]
    yield "  ".join(word for word in words if word)
    if not agent.is_current:
        yield "The operator has not reconciled the current spec yet."
    if agent.rollout.message:
        yield agent.rollout.message


def _render_revisions(agent: AgentView, now: datetime) -> list[str]:
    if not agent.revisions:
        return []
    head = ["REVISION", "NUMBER", "ROLE", "WEIGHT", "PODS", "IMAGE"]
    lines = format_table(head, [_build_row(each) for each in agent.revisions])
    for each in agent.revisions:
        if each.since:
            since = format_age(each.since, now)
            state = "draining" if each.role == "draining" else "kept for a rollback"
            lines.append(f"{each.revision} has been {state} for {since}")
        if each.message:
            lines.append(f"{each.revision} is rolled back: {each.message}")
    return lines


def _build_row(each: RevisionView) -> list[str]:
    return [
        each.revision,
        "-" if each.number is None else str(each.number),
        each.role,
        "-" if each.weight is None else f"{each.weight}%",
        f"{each.pods.ready}/{each.pods.desired}" if each.pods else "-",
        each.image or "-",
    ]


def _render_steps(agent: AgentView, now: datetime) -> Iterator[str]:
    if _find_by_role(agent, "canary") == "-" or not agent.steps:
        return
    words = [f"Step {_format_step(agent)} for {format_age(agent.rollout.step_started_at, now)}"]
    if agent.rollout.paused:
        words.append(PAUSED[agent.rollout.paused])
    if agent.rollout.full:
        words.append("the remaining steps are skipped")
    if agent.rollout.approved_weight != agent.rollout.weight:
        words.append(f"weight {agent.rollout.approved_weight}% as soon as enough pods are ready")
    if agent.rollout.replacing:
        words.append("pods of the stable revision are replaced")
    yield ", ".join(words)
    for step in agent.steps:
        yield f"  {MARKS[step.state]} {step.text}"


def _render_analysis(agent: AgentView, now: datetime) -> Iterator[str]:
    found = agent.analysis
    if found.verdict is None:
        return
    yield (
        f"Analysis {found.verdict} {format_age(found.measured_at, now)} ago: "
        f"{found.samples} turns, "
        f"{found.succeeded} succeeded, {found.failed} failed, {found.inconclusive} inconclusive"
    )
    rows = [
        [
            each.name,
            format_number(each.canary),
            format_number(each.stable),
            each.verdict,
            "" if each.verdict == "Succeeded" else each.message,
        ]
        for each in found.metrics
    ]
    if rows:
        yield from format_table(["METRIC", "CANARY", "STABLE", "VERDICT", ""], rows, "  ")


def render_evaluation(agent: AgentView) -> Iterator[str]:
    """Render the evaluation of the answers, if there is one."""
    found = agent.evaluation
    if found.verdict is None:
        return
    yield f"Evaluation {found.verdict}" + (f": {found.message}" if found.message else "")
    canary, stable = found.canary or QualityShares(), found.stable or QualityShares()
    rows = [
        [text, format_number(getattr(canary, field)), format_number(getattr(stable, field))]
        for field, text in SHARES.items()
        if getattr(canary, field) is not None or getattr(stable, field) is not None
    ]
    if rows:
        yield from format_table(["SHARE", "CANARY", "STABLE"], rows, "  ")
    if found.report:
        yield f"  report: configmap/{found.report}"


def _render_conditions(agent: AgentView) -> Iterator[str]:
    problems = agent.problems
    if problems:
        yield "Conditions"
        rows = [[f"{each.type}={each.status}", each.reason, each.message] for each in problems]
        yield from (line for line in format_table(["", "", ""], rows, "  ")[1:])


def _render_last_command(agent: AgentView) -> Iterator[str]:
    if agent.rollout.last_command_result:
        yield f"Last command: {agent.rollout.last_command_result}"


def _find_by_role(agent: AgentView, role: str) -> str:
    return next((each.revision for each in agent.revisions if each.role == role), "-")


def _format_step(agent: AgentView) -> str | None:
    rollout = agent.rollout
    if rollout.step is None or not rollout.steps or _find_by_role(agent, "canary") == "-":
        return None
    return f"{min(rollout.step + 1, rollout.steps)} of {rollout.steps}"
