"""`kubectl chatagent status`: the state of the rollout in one line, once or until it ends."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from chatagent_operator.api.conditions import ConditionType
from chatagent_operator.cli.cluster import AgentNotFoundError, Cluster
from chatagent_operator.cli.errors import (
    DONE,
    NOT_ENDED,
    REFUSED,
    USAGE,
    CommandError,
    is_lasting,
)
from chatagent_operator.cli.printing import format_document
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.cli.view import read_status
from chatagent_operator.core.agent import Manifest
from chatagent_operator.kube.errors import ApiError

POLL_SECONDS = 1.0
EXIT_CODES = {"Promoted": DONE, "Failed": REFUSED, "InProgress": NOT_ENDED}


@dataclass(frozen=True)
class RolloutState:
    """The state of the rollout of the current spec."""

    outcome: Literal["InProgress", "Promoted", "Failed"]
    revision: str | None
    """The desired revision, if the operator has reconciled the spec."""
    reason: str
    message: str
    weight: int = 0
    previous: str | None = None
    """The previous revision, while its pods are kept for a rollback."""

    @property
    def document(self) -> dict[str, Any]:
        """The state as a JSON value."""
        return dict(vars(self))

    @property
    def result(self) -> Result:
        """The state as the result of the command."""
        return fixed_result(self.document, self.message, exit_code=EXIT_CODES[self.outcome])


async def show_status(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Show the state of the rollout; with `--watch` every state until the rollout ends.

    Raises:
        CommandError: it has not ended within the time limit, or the agent was deleted.
    """
    name: str = arguments.name
    if not arguments.watch:
        if arguments.timeout is not None:
            raise CommandError("--timeout requires --watch", USAGE)
        return judge_rollout(await cluster.agent(name)).result
    last: RolloutState | None = None

    def show(state: RolloutState) -> None:
        nonlocal last
        if state != last:
            last, is_text = state, arguments.output == "text"
            text = state.message if is_text else format_document(state.document, arguments.output)
            print(text, flush=True)

    try:
        async with asyncio.timeout(arguments.timeout):
            return (await follow_rollout(cluster, name, show)).result
    except TimeoutError:
        message = f": {last.message}" if last else ""
        raise CommandError(
            f"the rollout has not ended within {arguments.timeout:g} s{message}", NOT_ENDED
        ) from None


async def follow_rollout(
    cluster: Cluster, name: str, show: Callable[[RolloutState], None]
) -> RolloutState:
    """Follow a rollout until it ends, and return its last state.

    Args:
        show: is called with every other state.

    Raises:
        CommandError: there is no such agent, or it is deleted meanwhile.
        ApiError: the API server refuses the request.
    """
    agent = await cluster.agent(name)
    uid = agent["metadata"]["uid"]
    while True:
        state = judge_rollout(agent)
        if state.outcome != "InProgress":
            return state
        show(state)
        try:
            async for changed in cluster.changes(name, agent["metadata"]["resourceVersion"]):
                state = judge_rollout(changed)
                if state.outcome != "InProgress":
                    return state
                show(state)
        except ApiError:
            pass  # the watch is forbidden or has ended: read again, and watch from there
        await asyncio.sleep(POLL_SECONDS)
        agent = await _read_again(cluster, name, uid)


async def _read_again(cluster: Cluster, name: str, uid: str) -> Manifest:
    is_told = False
    while True:
        try:
            agent = await cluster.agent(name)
        except AgentNotFoundError:
            raise _deleted(name) from None
        except ApiError as error:
            if is_lasting(error):
                raise
            if not is_told:
                print(f"no response, trying again: {error.message}", file=sys.stderr)
                is_told = True
            await asyncio.sleep(POLL_SECONDS)
            continue
        if agent["metadata"]["uid"] != uid:
            raise _deleted(name)
        return agent


def _deleted(name: str) -> CommandError:
    return CommandError(f"ChatAgent {name!r} was deleted before its rollout ended", NOT_ENDED)


def judge_rollout(agent: Manifest) -> RolloutState:
    """Return the state of the rollout of the current spec. Pure."""
    status = read_status(agent)
    found = {each.type: each for each in status.conditions}
    if status.observed_generation != agent["metadata"].get("generation"):
        message = "the operator has not reconciled the current spec yet"
        return RolloutState("InProgress", None, "NotReconciled", message)
    accepted = found.get(ConditionType.ACCEPTED)
    if accepted and accepted.status == "False":
        message = f"the spec is invalid: {accepted.message}"
        return RolloutState("Failed", None, accepted.reason, message)
    progressing = found.get(ConditionType.PROGRESSING)
    reason = progressing.reason if progressing else "NotReconciled"
    message = (progressing.message if progressing else status.rollout.message) or reason
    rollout, canary = status.rollout, status.canary_revision
    if canary or reason == "Suspended" or status.stable_revision is None:
        if rollout.step is not None and rollout.steps:
            message = f"step {min(rollout.step + 1, rollout.steps)} of {rollout.steps}: {message}"
        degraded = found.get(ConditionType.DEGRADED)
        if degraded and degraded.status == "True" and degraded.message not in message:
            message += f"; {degraded.reason}: {degraded.message}"
        return RolloutState("InProgress", canary, reason, message, rollout.weight)
    if status.failed_revision:
        return RolloutState("Failed", status.failed_revision, reason, message)
    previous = status.previous.revision if status.previous else None
    if previous:
        message += f"; the pods of revision {previous} are kept for a rollback"
    return RolloutState(
        "Promoted", status.stable_revision, reason, message, rollout.weight, previous
    )
