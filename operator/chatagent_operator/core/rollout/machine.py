"""The rollout's state machine: which revision is stable, which is tried, and where its steps are.

State lives in the ChatAgent's status and nowhere else. Each look takes what was decided before and
what is seen now, and returns the next state; the same look again changes nothing. What takes a
revision back comes before what moves it on, and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from chatagent_operator.api.rollout import Rollout, Step, seconds
from chatagent_operator.api.status import (
    AnalysisStatus,
    DrainingRevision,
    EvaluationStatus,
    PastRollout,
)
from chatagent_operator.core import names
from chatagent_operator.core.judging.analysis import Measurement, told
from chatagent_operator.core.rollout.commands import Command, Unreadable

KEPT = 10
"""Rollouts that are remembered in the status."""
DRAINING = 2
"""Former revisions that may keep conversations at the same time: the gateway has four places."""

Outcome = Literal["Promoted", "Failed", "Aborted", "Withdrawn"]


@dataclass(frozen=True)
class Notice:
    """Something that a person should read as an Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class State:
    """What must be remembered between two looks. The fields are explained in `api.status`."""

    stable: str | None = None
    canary: str | None = None
    failed: str | None = None
    failed_reason: str | None = None
    failed_message: str | None = None
    started_at: str | None = None
    waiting_since: str | None = None
    step: int = 0
    step_started_at: str | None = None
    weight: int = 0
    """Share of the new conversations that the steps have come to."""
    offered: bool = False
    """Nothing but the gateway keeps the canary from its first weight."""
    weighted_at: str | None = None
    paused: Literal["Command", "Inconclusive"] | None = None
    full: bool = False
    replacing: bool = False
    path: str | None = None
    analysis: AnalysisStatus = field(default_factory=AnalysisStatus)
    draining: tuple[DrainingRevision, ...] = ()
    history: tuple[PastRollout, ...] = ()
    last_command_id: str | None = None
    last_command_result: str | None = None

    @property
    def ended_at(self) -> str | None:
        """When the last rollout ended."""
        return self.history[0].ended_at if self.history else None


@dataclass(frozen=True)
class Seen:
    """What a look finds."""

    target: str
    """The revision that the spec asks for."""
    now: str
    """RFC 3339, UTC."""
    ready: frozenset[str] = frozenset()
    """Revisions that could serve: a pod is available, the index is built, the address is known."""
    is_indexed: bool = True
    """The target's documents are searchable, so that nothing but its pods is waited for."""
    is_stuck: bool = False
    """Indexing them has failed, and goes on failing. It may else take as long as it takes."""
    carries: int = 100
    """Percent of all conversations that the target's available pods can carry."""
    trouble: str = ""
    """Why the target is not ready, in a sentence."""
    is_crowded: bool = False
    """The target's pods find no room, and none can be made for them."""
    is_reached: bool = True
    """Every gateway pod can connect to the target."""
    is_settled: bool = True
    """The gateway does what the state before this look says."""
    in_force: int = 0
    """The share that the canary was given at the last look."""
    measurement: Measurement | None = None
    """The newest one of the canary."""
    evaluation: EvaluationStatus | None = None
    """How good the target's answers are. None: nobody asks."""
    command: Command | Unreadable | None = None
    """The last command, new or already carried out."""

    @property
    def is_indexing(self) -> bool:
        """The target waits for its documents, which nothing keeps from being indexed."""
        return not self.is_indexed and not self.is_stuck


@dataclass(frozen=True)
class Waiting:
    """What the rollout waits for."""

    reason: str
    message: str
    is_paused: bool = False
    """It waits for a person, or for a time that a person has set."""
    due: float | None = None
    """Seconds until that is over by itself."""


@dataclass(frozen=True)
class Decision:
    """The next state, the weight that the canary should have now, and what to tell."""

    state: State
    weight: int = 0
    waiting: Waiting | None = None
    notices: tuple[Notice, ...] = field(default=())

    @property
    def live(self) -> tuple[str, ...]:
        """Revisions that have pods, the stable one first."""
        draining = (each.revision for each in self.state.draining)
        live = (self.state.stable, self.state.canary, *draining)
        return tuple(dict.fromkeys(r for r in live if r))


def path(rollout: Rollout, replicas: int) -> tuple[Step, ...]:
    """The steps of a rollout before all conversations go to the new revision."""
    match rollout.strategy:
        case "canary":
            return rollout.path()
        case "rolling":
            shares = dict.fromkeys(100 * n // replicas for n in range(1, replicas))
            return tuple(Step(set_weight=share) for share in shares if share)
        case "blueGreen" | "recreate":
            return ()


def next_weight(state: State, steps: Sequence[Step]) -> int:
    """The weight that the canary needs pods for: of this step, or the one in force."""
    if state.full or state.step >= len(steps):
        return 100
    if weight := steps[state.step].set_weight:
        return max(weight, state.weight)
    later = (step.set_weight for step in steps[state.step :] if step.set_weight)
    return state.weight or next(later, 100)


def elapsed(since: str, now: str) -> float:
    """Seconds between two times."""
    return (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()


def advance(state: State, seen: Seen, rollout: Rollout, replicas: int) -> Decision:
    """One step.

    Args:
        replicas: pods that the stable revision has without a rollout.
    """
    look = _Look(state, seen, rollout, path(rollout, replicas))
    look.follow_target()
    look.follow_steps()
    look.obey()
    look.serve_first()
    look.measure()
    look.give_up()
    waiting = look.move_on()
    look.let_go()
    after = look.state
    serving = after.stable is not None and after.canary in seen.ready
    if serving and not (seen.is_reached or seen.in_force or after.weight != state.weight):
        # Its pods are back, and not every gateway pod knows it yet.
        serving, waiting = False, look.waits_to_be_reached() or waiting
    return Decision(after, after.weight if serving else 0, waiting, tuple(look.notices))


class _Look:
    """One look: the state as it changes, and what there is to tell."""

    def __init__(self, state: State, seen: Seen, rollout: Rollout, steps: tuple[Step, ...]) -> None:
        self.state = state
        self.seen = seen
        self.rollout = rollout
        self.steps = steps
        self.path = names.digest([step.model_dump(mode="json") for step in steps])
        self.notices: list[Notice] = []

    def follow_target(self) -> None:
        """The spec asks for another revision than before."""
        state, target = self.state, self.seen.target
        if target != state.failed:
            state = replace(state, failed=None, failed_reason=None, failed_message=None)
        if target in (state.stable, state.failed):
            if state.canary:
                message = f"revision {state.canary} is asked for no more"
                self._tell("Normal", "CanaryWithdrawn", message)
                state = _ended(state, "Withdrawn", "SpecChanged", message, self.seen.now)
            self.state = state
        elif target == state.canary:
            self.state = state
        else:
            if state.stable:
                message = f"revision {target} starts beside {state.stable}"
                self._tell("Normal", "CanaryStarted", message)
                if state.canary:
                    reason = f"the spec asks for {target} now"
                    state = _ended(state, "Withdrawn", "SpecChanged", reason, self.seen.now)
            self.state = self._started(state, target)

    def follow_steps(self) -> None:
        """The spec has other steps than before: go on after those whose weight was reached."""
        state = self.state
        if state.canary is None or self.path == state.path:
            return
        if state.path is not None:
            reached = [n for n, s in enumerate(self.steps) if (s.set_weight or 101) <= state.weight]
            state = replace(state, step=reached[-1] if reached else 0, step_started_at=None)
            if state.paused == "Inconclusive":  # of a step that is no more
                state = _unpaused(state)
            if state.weight and not self.steps and self.rollout.strategy != "rolling":
                # None is left to wait at, and nobody has approved all of it.
                state = replace(state, paused="Command")
            self._tell("Normal", "StepsChanged", f"revision {state.canary} goes on by other steps")
        self.state = replace(state, path=self.path)

    def obey(self) -> None:
        """A command that is new."""
        command = self.seen.command
        if command is None or command.id == self.state.last_command_id:
            return
        if isinstance(command, Unreadable):
            result = self._refuse(f"annotation {names.COMMAND_ANNOTATION}", command.why)
        elif refusal := self._refusal(command):
            result = self._refuse(command.action, refusal)
        else:
            result = self._carry_out(command)
        self.state = replace(self.state, last_command_id=command.id, last_command_result=result)

    def serve_first(self) -> None:
        """The first revision ever becomes stable by being ready."""
        state = self.state
        if state.stable is None and state.canary in self.seen.ready:
            self._tell("Normal", "Serving", f"revision {state.canary} serves")
            self.state = replace(_cleared(state), stable=state.canary)

    def measure(self) -> None:
        """Count a measurement that is new."""
        state, found = self.state, self.seen.measurement
        if found is None or not self._is_tried() or found.window != state.weighted_at:
            return
        if self.rollout.strategy != "canary":
            return  # the others are judged by readiness, and blueGreen by questions
        at_step = self._step_is("analysis")
        before = state.analysis
        if found.at <= (before.measured_at or "") or not (
            at_step or self.rollout.analysis.background
        ):
            return
        self.state = replace(
            state,
            analysis=AnalysisStatus(
                verdict=found.verdict,
                measured_at=found.at,
                samples=found.samples,
                passed=before.passed + (at_step and found.verdict == "Passed"),
                failed=before.failed + (found.verdict == "Failed"),
                inconclusive=before.inconclusive + (at_step and found.verdict == "Inconclusive"),
                measurements=before.measurements + 1,
                metrics=found.metrics,
            ),
        )
        if self.state.analysis.failed > self.rollout.analysis.failure_limit:
            self._fail("AnalysisFailed", told(found.metrics, "Failed"))

    def give_up(self) -> None:
        """Take a revision back that is not good enough, or does not become ready."""
        seen, state = self.seen, self.state
        if not self._is_tried():
            return
        quality = seen.evaluation
        if quality and quality.verdict == "Failed" and not state.weight and not state.full:
            self._fail("EvaluationFailed", quality.message)
        elif state.waiting_since and not seen.is_indexing:
            limit = self.rollout.progress_deadline_seconds
            lacks = self._lacks_pods()
            if lacks and elapsed(state.waiting_since, seen.now) > limit:
                reason = "InsufficientCapacity" if seen.is_crowded else "ProgressDeadlineExceeded"
                self._fail(reason, f"after {limit} s {lacks}")

    def move_on(self) -> Waiting | None:
        """Go on with the steps as far as they go. Returns what is waited for then."""
        if self.state.canary is None:
            return None
        if self.state.stable and self.rollout.strategy == "recreate" and (held := self._held()):
            # The stable pods make way only for a rollout that goes on.
            self.state = replace(self.state, waiting_since=None)
            return held
        waiting = self._waits_for_pods()
        if self.state.stable is None:
            return waiting
        if waiting is None:
            waiting = self._held()
        while waiting is None and self.state.canary:
            waiting = self._step()
        return waiting

    def let_go(self) -> None:
        """End former revisions whose conversations had their time."""
        limit = seconds(self.rollout.affinity.drain)
        if self.rollout.affinity.on_promote == "move":
            limit = 0
        state = self.state
        kept = tuple(
            each
            for each in state.draining
            if elapsed(each.since, self.seen.now) < limit and each.revision != state.stable
        )
        self.state = replace(state, draining=kept[:DRAINING])

    def _is_tried(self) -> bool:
        return self.state.canary is not None and self.state.stable is not None

    def _step_is(self, kind: Literal["analysis", "pause", "set_weight"]) -> bool:
        at, begun = self.state.step, self.state.step_started_at is not None
        return begun and at < len(self.steps) and getattr(self.steps[at], kind) is not None

    def _started(self, state: State, target: str) -> State:
        return replace(
            _cleared(state),
            canary=target,
            started_at=self.seen.now,
            path=self.path,
            analysis=AnalysisStatus(),
        )

    def _lacks_pods(self) -> str | None:
        """Why the canary cannot take what it should, in words."""
        state, seen = self.state, self.seen
        if state.canary not in seen.ready:
            return f"revision {state.canary} is not ready yet" + _because(seen.trouble)
        wanted = next_weight(state, self.steps)
        if state.stable and seen.carries < wanted:
            share = f"its pods can take {seen.carries} % of the conversations, not {wanted} %"
            return share + _because(seen.trouble)
        return None

    def _waits_for_pods(self) -> Waiting | None:
        lacks = self._lacks_pods()
        if lacks is None:
            self.state = replace(self.state, waiting_since=None)
            return None
        self.state = replace(self.state, offered=False)
        if self.seen.is_indexing:
            self.state = replace(self.state, waiting_since=None)
            return Waiting("WaitingForIndex", f"{lacks}: its documents are being indexed")
        since = self.state.waiting_since or self.seen.now
        self.state = replace(self.state, waiting_since=since)
        left = self.rollout.progress_deadline_seconds - elapsed(since, self.seen.now) + 1
        reason = "WaitingForRevision" if self.seen.is_indexed else "WaitingForIndex"
        return Waiting(reason, lacks, due=left if left > 0 else None)

    def waits_to_be_reached(self) -> Waiting | None:
        """Some gateway pod does not reach the canary, or does not know it yet."""
        state = self.state
        if self.seen.is_reached and (state.weight or (state.offered and self.seen.is_settled)):
            return None
        self.state = replace(state, offered=True)
        message = f"the gateway cannot connect to revision {self.state.canary} yet"
        return Waiting("WaitingForGateway", message)

    def _held(self) -> Waiting | None:
        """What keeps the steps as a whole."""
        state, quality = self.state, self.seen.evaluation
        if self.rollout.paused:
            message = "spec.rollout.paused is true: the steps stay where they are"
            return Waiting("PausedBySpec", message, is_paused=True)
        if state.paused == "Command":
            return Waiting("PausedByCommand", "paused; go on with `resume`", is_paused=True)
        if state.paused == "Inconclusive" and self._has_passed():
            self.state = replace(state, paused=None)  # turns came, or Prometheus is back
            return None
        if state.paused == "Inconclusive":
            message = (
                f"too many measurements said nothing{_because(_words(state.analysis))}; it goes on "
                f"once {self._passes_needed()} pass, or by `promote` without them"
            )
            return Waiting("Inconclusive", message, is_paused=True)
        if quality and quality.verdict != "Passed" and not state.weight and not state.full:
            message = quality.message or "both revisions are asked the questions of the evaluation"
            return Waiting("Evaluating", message)
        return None

    def _step(self) -> Waiting | None:
        """Work on the present step. None: it is done, and the next one is the present one."""
        if self.state.full or self.state.step >= len(self.steps):
            return self._finish()
        if self.state.step_started_at is None:
            self.state = replace(self.state, step_started_at=self.seen.now)
        step = self.steps[self.state.step]
        if step.set_weight is not None:
            return self._weigh(step.set_weight)
        if step.pause is not None:
            return self._pause(step.pause.duration)
        return self._analyse()

    def _weigh(self, weight: int) -> Waiting | None:
        state = self.state
        if state.weight >= weight:
            if not self.seen.is_settled:
                return Waiting("WaitingForGateway", f"{weight} % is not in force yet")
            return self._next()
        if waiting := self._waits_for_pods() or self.waits_to_be_reached():
            return waiting
        self.state = replace(
            state, weight=weight, weighted_at=self.seen.now, analysis=AnalysisStatus()
        )
        message = f"revision {state.canary} gets {weight} % of the new conversations"
        self._tell("Normal", "WeightSet", message)
        return Waiting("WaitingForGateway", f"{weight} % is not in force yet")

    def _pause(self, duration: str | None) -> Waiting | None:
        if duration is None:
            message = f"step {self.state.step + 1} waits for you: `promote` or `abort`"
            return Waiting("PausedAtStep", message, is_paused=True)
        left = seconds(duration) - elapsed(self.state.step_started_at or "", self.seen.now)
        if left <= 0:
            return self._next()
        message = f"step {self.state.step + 1} waits for {duration}"
        return Waiting("PausedAtStep", message, is_paused=True, due=left)

    def _passes_needed(self) -> int:
        step = self.steps[self.state.step].analysis if self._step_is("analysis") else None
        return (step and step.count) or self.rollout.analysis.count

    def _has_passed(self) -> bool:
        return self.state.analysis.passed >= self._passes_needed()

    def _analyse(self) -> Waiting | None:
        analysis, found = self.rollout.analysis, self.state.analysis
        if self._has_passed() or not self.state.weight:  # nobody is on it: there is no number
            return self._next()
        if found.inconclusive > analysis.inconclusive_limit:
            self.state = replace(self.state, paused="Inconclusive")
            waiting = self._held()
            self._tell("Warning", "Inconclusive", waiting.message if waiting else "")
            return waiting
        message = f"{found.passed} of {self._passes_needed()} measurements have passed"
        if found.metrics and found.verdict != "Passed":
            message += f"; the last one: {_words(found)}"
        return Waiting("Analysing", message)

    def _next(self) -> None:
        """Begin the next step."""
        kept = self.state.analysis.model_copy(update={"passed": 0, "inconclusive": 0})
        self.state = replace(
            self.state,
            step=self.state.step + 1,
            step_started_at=self.seen.now,
            analysis=kept,
        )

    def _finish(self) -> Waiting | None:
        if waiting := self._waits_for_pods() or self.waits_to_be_reached():
            return waiting
        if self.state.weight and not self.seen.is_settled:
            return Waiting("WaitingForGateway", f"{self.state.weight} % is not in force yet")
        state, now = self.state, self.seen.now
        message = f"revision {state.canary} is stable now"
        self._tell("Normal", "Promoted", message)
        draining = state.draining
        if state.stable and self.rollout.affinity.on_promote == "drain":
            draining = (DrainingRevision(revision=state.stable, since=now), *draining)
        canary = state.canary
        state = _ended(state, "Promoted", "Completed", message, now)
        self.state = replace(state, stable=canary, draining=draining)
        return None

    def _fail(self, reason: str, message: str) -> None:
        revision = self.state.canary
        self._tell("Warning", reason, f"revision {revision} is taken back: {message}")
        state = _ended(self.state, "Failed", reason, message, self.seen.now)
        self.state = replace(state, failed=revision, failed_reason=reason, failed_message=message)

    def _refuse(self, what: str, why: str) -> str:
        self._tell("Warning", "CommandRefused", f"{what}: {why}")
        return f"refused: {why}"

    def _refusal(self, command: Command) -> str | None:
        state = self.state
        if command.action == "retry":
            if state.failed is None:
                return "no revision has failed"
            if command.revision not in (None, state.failed):
                return f"revision {command.revision} has not failed, {state.failed} has"
            return None
        if state.canary is None:
            return "there is no canary"
        if command.revision not in (None, state.canary):
            return f"revision {command.revision} is not the canary, {state.canary} is"
        if state.stable is None:
            return "the first revision is not ready yet and there is nothing to go back to"
        is_ready = state.canary in self.seen.ready
        match command.action:
            case "promote" | "skip" | "resume" if self.rollout.paused:
                return "spec.rollout.paused is true: set it to false"
            case "promote" | "skip" if not is_ready:
                return f"revision {state.canary} is not ready"
            case "promote" if not command.full and not self._waits_for_a_person():
                return "it waits for nobody; `skip` skips this step, `promote --full` all of them"
            case "skip" if state.step_started_at is None:
                return "its steps have not begun"
            case "skip" if self._step_is("set_weight"):
                return "a weight is waited for: `abort`, or `promote --full` to go to all at once"
            case "pause" if state.paused:
                return "it is paused already"
            case "resume" if not state.paused:
                return "it is not paused by a command or by its analysis"
            case _:
                return None

    def _waits_for_a_person(self) -> bool:
        return self.state.paused is not None or self._step_is("pause")

    def _carry_out(self, command: Command) -> str:
        state = self.state
        match command.action:
            case "abort":
                message = f"revision {state.canary} was aborted by command"
                self._tell("Warning", "Aborted", message)
                ended = _ended(state, "Aborted", "Aborted", message, self.seen.now)
                self.state = replace(
                    ended,
                    failed=state.canary,
                    failed_reason="Aborted",
                    failed_message="by command",
                )
                return f"aborted {state.canary}"
            case "retry":
                self._tell("Normal", "Retried", f"revision {state.failed} is tried again")
                target = state.failed or ""
                state = replace(state, failed=None, failed_reason=None, failed_message=None)
                self.state = self._started(state, target)
                return f"started {target} again"
            case "pause":
                self.state = replace(state, paused="Command")
                return f"paused {state.canary} at {state.weight} %"
            case "resume":
                self.state = replace(_unpaused(self.state), step_started_at=self.seen.now)
                return f"resumed {state.canary}"
            case "promote" if command.full:
                self.state = replace(_unpaused(self.state), full=True)
                return f"promoted {state.canary}, without the steps that were left"
            case "promote" | "skip":
                at = state.step + 1
                if state.paused != "Command" or command.action == "skip" or self._step_is("pause"):
                    self.state = _unpaused(self.state)
                    self._next()
                    return f"moved {state.canary} on from step {at}"
                self.state = _unpaused(self.state)
                return f"resumed {state.canary}"

    def _tell(self, type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self.notices.append(Notice(type, reason, message))


def _unpaused(state: State) -> State:
    analysis = state.analysis.model_copy(update={"passed": 0, "inconclusive": 0})
    return replace(state, paused=None, analysis=analysis)


def _cleared(state: State) -> State:
    """Without a rollout. What the last one found stays readable."""
    return replace(
        state,
        canary=None,
        started_at=None,
        waiting_since=None,
        step=0,
        step_started_at=None,
        weight=0,
        offered=False,
        weighted_at=None,
        paused=None,
        full=False,
        replacing=False,
        path=None,
    )


def _ended(state: State, outcome: Outcome, reason: str, message: str, now: str) -> State:
    past = PastRollout(
        revision=state.canary or "",
        outcome=outcome,
        reason=reason,
        message=message,
        started_at=state.started_at,
        ended_at=now,
    )
    draining = state.draining
    if outcome in ("Failed", "Aborted"):  # it may have come back while it still drained
        draining = tuple(each for each in draining if each.revision != state.canary)
    return replace(_cleared(state), draining=draining, history=(past, *state.history)[:KEPT])


def _because(trouble: str) -> str:
    return f": {trouble}" if trouble else ""


def _words(analysis: AnalysisStatus) -> str:
    """What kept the last measurement from passing."""
    return "" if analysis.verdict == "Passed" else told(analysis.metrics, analysis.verdict)
