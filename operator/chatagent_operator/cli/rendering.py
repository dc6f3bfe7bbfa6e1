"""The view of an agent as text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from chatagent_operator.api.status import QualityShares
from chatagent_operator.cli.printing import age, number, table
from chatagent_operator.cli.view import AgentView, RevisionView

MARKS = {"done": "✓", "current": "▶", "ahead": "·"}
PAUSED = {"Command": "paused by command", "Inconclusive": "paused: the numbers say too little"}
SHARES = {
    "retrieval_hits": "retrieval hits",
    "groundedness": "groundedness",
    "facts": "facts",
    "refusals": "refusals",
}


def as_table(agents: Sequence[AgentView], now: datetime, everywhere: bool) -> str:
    """All agents, a line for each."""
    head = ["NAME", "PHASE", "STABLE", "CANARY", "WEIGHT", "STEP", "ANALYSIS", "AGE"]
    rows = [
        [
            each.name,
            each.phase or "-",
            _named(each, "stable"),
            _named(each, "canary"),
            f"{each.rollout.weight}%" if _named(each, "canary") != "-" else "-",
            _step(each) or "-",
            (each.analysis.verdict if _named(each, "canary") != "-" else None) or "-",
            age(each.created_at, now),
        ]
        for each in agents
    ]
    if everywhere:
        head = ["NAMESPACE", *head]
        rows = [[each.namespace, *row] for each, row in zip(agents, rows, strict=True)]
    return "\n".join(table(head, rows))


def as_text(agent: AgentView, now: datetime) -> str:
    """One agent with all that is known of its rollout."""
    parts = [
        list(_head(agent)),
        _revisions(agent, now),
        list(_steps(agent, now)),
        list(_analysis(agent, now)),
        list(evaluation(agent)),
        list(_conditions(agent)),
        list(_last_command(agent)),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _head(agent: AgentView) -> Iterator[str]:
    words = [f"{agent.namespace}/{agent.name}", agent.phase or "not looked at yet", agent.url or ""]
    yield "  ".join(word for word in words if word)
    if not agent.is_current:
        yield "The operator has not seen the present spec yet."
    if agent.rollout.message:
        yield agent.rollout.message


def _revisions(agent: AgentView, now: datetime) -> list[str]:
    if not agent.revisions:
        return []
    head = ["REVISION", "NUMBER", "ROLE", "WEIGHT", "PODS", "IMAGE"]
    lines = table(head, [_row(each) for each in agent.revisions])
    for each in agent.revisions:
        if each.since:
            since = age(each.since, now)
            lines.append(f"{each.revision} has kept its conversations for {since}")
        if each.message:
            lines.append(f"{each.revision} was taken back: {each.message}")
    return lines


def _row(each: RevisionView) -> list[str]:
    return [
        each.revision,
        "-" if each.number is None else str(each.number),
        each.role,
        "-" if each.weight is None else f"{each.weight}%",
        f"{each.pods.ready}/{each.pods.wanted}" if each.pods else "-",
        each.image or "-",
    ]


def _steps(agent: AgentView, now: datetime) -> Iterator[str]:
    if _named(agent, "canary") == "-" or not agent.steps:
        return
    words = [f"Step {_step(agent)} for {age(agent.rollout.step_started_at, now)}"]
    if agent.rollout.paused:
        words.append(PAUSED[agent.rollout.paused])
    if agent.rollout.full:
        words.append("the rest is skipped")
    if agent.rollout.approved_weight != agent.rollout.weight:
        words.append(f"{agent.rollout.approved_weight}% once its pods are ready for it")
    if agent.rollout.replacing:
        words.append("its pods take the place of stable ones")
    yield ", ".join(words)
    for step in agent.steps:
        yield f"  {MARKS[step.state]} {step.text}"


def _analysis(agent: AgentView, now: datetime) -> Iterator[str]:
    found = agent.analysis
    if found.verdict is None:
        return
    yield (
        f"Analysis {found.verdict} {age(found.measured_at, now)} ago: {found.samples} turns, "
        f"{found.succeeded} succeeded, {found.failed} failed, {found.inconclusive} inconclusive"
    )
    rows = [
        [
            each.name,
            number(each.canary),
            number(each.stable),
            each.verdict,
            "" if each.verdict == "Succeeded" else each.message,
        ]
        for each in found.metrics
    ]
    if rows:
        yield from table(["METRIC", "CANARY", "STABLE", "VERDICT", ""], rows, "  ")


def evaluation(agent: AgentView) -> Iterator[str]:
    """The quality of the answers, where it was asked for."""
    found = agent.evaluation
    if found.verdict is None:
        return
    yield f"Evaluation {found.verdict}" + (f": {found.message}" if found.message else "")
    canary, stable = found.canary or QualityShares(), found.stable or QualityShares()
    rows = [
        [text, number(getattr(canary, field)), number(getattr(stable, field))]
        for field, text in SHARES.items()
        if getattr(canary, field) is not None or getattr(stable, field) is not None
    ]
    if rows:
        yield from table(["SHARE", "CANARY", "STABLE"], rows, "  ")
    if found.report:
        yield f"  report: configmap/{found.report}"


def _conditions(agent: AgentView) -> Iterator[str]:
    amiss = agent.amiss
    if amiss:
        yield "Conditions"
        rows = [[f"{each.type}={each.status}", each.reason, each.message] for each in amiss]
        yield from (line for line in table(["", "", ""], rows, "  ")[1:])


def _last_command(agent: AgentView) -> Iterator[str]:
    if agent.rollout.last_command_result:
        yield f"Last command: {agent.rollout.last_command_result}"


def _named(agent: AgentView, role: str) -> str:
    return next((each.revision for each in agent.revisions if each.role == role), "-")


def _step(agent: AgentView) -> str | None:
    rollout = agent.rollout
    if rollout.step is None or not rollout.steps or _named(agent, "canary") == "-":
        return None
    return f"{min(rollout.step + 1, rollout.steps)} of {rollout.steps}"
