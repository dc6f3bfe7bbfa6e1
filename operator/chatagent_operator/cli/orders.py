"""Commands to a rollout: given once, answered once, never over one that still waits."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

from chatagent_operator.cli.cluster import MERGE, Cluster
from chatagent_operator.cli.errors import NO_ANSWER, CommandError
from chatagent_operator.cli.view import status_of
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import COMMAND_ANNOTATION
from chatagent_operator.core.rollout.commands import Action, Unreadable, parse_command
from chatagent_operator.kube.errors import ApiError, RejectedError

LOOK_SECONDS = 0.1
CONFLICT = 409


@dataclass(frozen=True)
class Answer:
    """What the operator said to a command."""

    id: str
    action: Action
    revision: str
    result: str

    @property
    def is_refused(self) -> bool:
        """It was not carried out."""
        return self.result.startswith("refused")


async def give(
    cluster: Cluster, name: str, action: Action, patience: float, full: bool = False
) -> Answer:
    """Give a command and wait for the operator's answer.

    Args:
        patience: seconds to wait for the answer to another one that came before, and then for
            that to this one.

    Raises:
        CommandError: there is nothing to command, or nobody answered.
    """
    identifier = str(uuid.uuid4())
    try:
        async with asyncio.timeout(patience):
            revision, version = await _write(cluster, name, identifier, action, full)
    except TimeoutError:
        raise CommandError(
            f"an earlier command has not been answered within {patience:g} s and is not "
            "overwritten; is the operator running?",
            NO_ANSWER,
        ) from None
    try:
        async with asyncio.timeout(patience):
            result = await _answer(cluster, name, identifier, version)
    except TimeoutError:
        raise CommandError(
            f"the operator has not answered within {patience:g} s; is it running? "
            "The command stands and is carried out when it is",
            NO_ANSWER,
        ) from None
    return Answer(identifier, action, revision, result)


async def _write(
    cluster: Cluster, name: str, identifier: str, action: Action, full: bool
) -> tuple[str, str]:
    """Returns the revision that it is about, and the version of the agent that has it."""
    while True:
        agent = await cluster.agent(name)
        if _waits(agent):
            await asyncio.sleep(LOOK_SECONDS)
            continue
        revision = _meant(agent, name, action)
        order = {"id": identifier, "action": action, "revision": revision}
        patch = {
            "metadata": {
                "resourceVersion": agent["metadata"]["resourceVersion"],
                "annotations": {
                    COMMAND_ANNOTATION: json.dumps(order | ({"full": True} if full else {}))
                },
            }
        }
        try:
            written = await cluster.patch(name, patch, MERGE)
        except RejectedError as error:
            if error.status != CONFLICT:
                raise
            continue  # somebody was faster
        return revision, written["metadata"]["resourceVersion"]


def _waits(agent: Manifest) -> bool:
    """Another command has no answer yet. What is no command keeps nobody waiting."""
    annotations = agent["metadata"].get("annotations") or {}
    order = parse_command(annotations.get(COMMAND_ANNOTATION))
    if order is None or isinstance(order, Unreadable):
        return False
    return order.id != status_of(agent).rollout.last_command_id


def _meant(agent: Manifest, name: str, action: Action) -> str:
    status = status_of(agent)
    if action == "retry":
        if not status.failed_revision:
            raise CommandError(f"ChatAgent {name!r} has no failed revision to retry")
        return status.failed_revision
    if not status.canary_revision:
        raise CommandError(
            f"ChatAgent {name!r} has no canary to {action}; change its spec to start a rollout"
        )
    return status.canary_revision


async def _answer(cluster: Cluster, name: str, identifier: str, version: str) -> str:
    """Watches, so that an answer is seen although the next command follows at once."""
    try:
        async for agent in cluster.changes(name, version):
            if (result := _result(agent, identifier)) is not None:
                return result
    except ApiError:
        pass  # it may not be watched, or the watch broke off: looking will do
    while True:
        agent = await cluster.agent(name)
        if (result := _result(agent, identifier)) is not None:
            return result
        annotations: dict[str, Any] = agent["metadata"].get("annotations") or {}
        if identifier not in str(annotations.get(COMMAND_ANNOTATION)):
            raise CommandError(
                "another command followed before the answer was seen; "
                "`kubectl chatagent get` tells what is now",
                NO_ANSWER,
            )
        await asyncio.sleep(LOOK_SECONDS)


def _result(agent: Manifest, identifier: str) -> str | None:
    rollout = status_of(agent).rollout
    return (
        (rollout.last_command_result or "done") if rollout.last_command_id == identifier else None
    )
