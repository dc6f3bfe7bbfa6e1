"""Sends commands to rollouts: each is written once, and never over a pending one."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any

from chatagent_operator.cli.cluster import MERGE, Cluster
from chatagent_operator.cli.errors import NO_ANSWER, CommandError
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import COMMAND_ANNOTATION
from chatagent_operator.core.rollout.commands import Action, Unreadable, parse_command
from chatagent_operator.core.rollout.stored import read_status
from chatagent_operator.kube.errors import CONFLICT, ApiError, RejectedError

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class CommandResult:
    """The result of a command, as the operator reports it."""

    id: str
    action: Action
    revision: str
    result: str

    @property
    def is_refused(self) -> bool:
        """Whether the operator refused the command."""
        return self.result.startswith("refused")


async def send_command(
    cluster: Cluster, name: str, action: Action, wait_seconds: float, full: bool = False
) -> CommandResult:
    """Send a command and wait for its result.

    Args:
        wait_seconds: how long to wait for a pending command of someone else to complete, and
            then for this one.

    Raises:
        CommandError: the agent has no rollout for the command, or the operator does not respond.
    """
    identifier = str(uuid.uuid4())
    try:
        async with asyncio.timeout(wait_seconds):
            revision, version = await _write_command(cluster, name, identifier, action, full)
    except TimeoutError:
        raise CommandError(
            f"an earlier command is still pending after {wait_seconds:g} s and is not overwritten; "
            "check that the operator is running",
            NO_ANSWER,
        ) from None
    try:
        async with asyncio.timeout(wait_seconds):
            result = await _wait_for_result(cluster, name, identifier, version)
    except TimeoutError:
        raise CommandError(
            f"the operator has not responded within {wait_seconds:g} s; check that it is running. "
            "The command stays pending until then",
            NO_ANSWER,
        ) from None
    return CommandResult(identifier, action, revision, result)


async def _write_command(
    cluster: Cluster, name: str, identifier: str, action: Action, full: bool
) -> tuple[str, str]:
    """Write a command; return its target revision and the new resource version of the agent."""
    while True:
        agent = await cluster.agent(name)
        if _is_pending(agent):
            await asyncio.sleep(POLL_SECONDS)
            continue
        revision = _find_target(agent, name, action)
        command = {"id": identifier, "action": action, "revision": revision}
        patch = {
            "metadata": {
                "resourceVersion": agent["metadata"]["resourceVersion"],
                "annotations": {
                    COMMAND_ANNOTATION: json.dumps(command | ({"full": True} if full else {}))
                },
            }
        }
        try:
            written = await cluster.patch(name, patch, MERGE)
        except RejectedError as error:
            if error.status != CONFLICT:
                raise
            continue  # someone else changed the agent
        return revision, written["metadata"]["resourceVersion"]


def _is_pending(agent: Manifest) -> bool:
    """Return whether another command is pending. An invalid annotation does not count."""
    annotations = agent["metadata"].get("annotations") or {}
    command = parse_command(annotations.get(COMMAND_ANNOTATION))
    if command is None or isinstance(command, Unreadable):
        return False
    return command.id != read_status(agent.get("status")).rollout.last_command_id


def _find_target(agent: Manifest, name: str, action: Action) -> str:
    status = read_status(agent.get("status"))
    if action == "retry":
        if not status.failed_revision:
            raise CommandError(
                f"ChatAgent {name!r} has no failed revision to retry; "
                "change its spec to start a rollout"
            )
        return status.failed_revision
    if not status.canary_revision:
        raise CommandError(
            f"ChatAgent {name!r} has no canary to {action}; change its spec to start a rollout"
        )
    return status.canary_revision


async def _wait_for_result(cluster: Cluster, name: str, identifier: str, version: str) -> str:
    """Wait for the result of a command.

    It is watched for, so that it is not missed if another command follows immediately.
    """
    try:
        async for agent in cluster.changes(name, version):
            if (result := _read_result(agent, identifier)) is not None:
                return result
    except ApiError:
        pass  # the watch is forbidden or ended: poll instead
    while True:
        agent = await cluster.agent(name)
        if (result := _read_result(agent, identifier)) is not None:
            return result
        annotations: dict[str, Any] = agent["metadata"].get("annotations") or {}
        if identifier not in str(annotations.get(COMMAND_ANNOTATION)):
            raise CommandError(
                "the result is unknown, since another command replaced this one; "
                "check the rollout with `kubectl chatagent get`",
                NO_ANSWER,
            )
        await asyncio.sleep(POLL_SECONDS)


def _read_result(agent: Manifest, identifier: str) -> str | None:
    rollout = read_status(agent.get("status")).rollout
    return (
        (rollout.last_command_result or "done") if rollout.last_command_id == identifier else None
    )
