"""`kubectl chatagent restart`: restarts the pods of an agent without a new revision."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from typing import Any

from chatagent_operator.cli.cluster import MERGE, Cluster
from chatagent_operator.cli.errors import NO_ANSWER, CommandError
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.names import RESTARTED_ANNOTATION, REVISION_LABEL

POLL_SECONDS = 0.2


async def restart_pods(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Have the operator restart the pods, and wait until their Deployments have been changed.

    Raises:
        CommandError: there are no pods, the agent is suspended, or the operator does not respond.
    """
    name: str = arguments.name
    agent = await cluster.agent(name)
    if agent["spec"].get("suspend"):
        raise CommandError("spec.suspend is true; set it to false")
    if not await cluster.deployments(name):
        raise CommandError(f"ChatAgent {name!r} has no pods yet; there is none to restart")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await cluster.patch(name, {"metadata": {"annotations": {RESTARTED_ANNOTATION: now}}}, MERGE)
    try:
        async with asyncio.timeout(arguments.timeout):
            while True:
                found = await cluster.deployments(name)
                if found and all(_read_restart(each) == now for each in found):
                    break
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise CommandError(
            f"the operator has not responded within {arguments.timeout:g} s; check that it is "
            "running. The pods are restarted as soon as it is",
            NO_ANSWER,
        ) from None
    names = [each["metadata"]["name"] for each in found]
    revisions = [each["metadata"].get("labels", {}).get(REVISION_LABEL) for each in found]
    document = {
        "namespace": cluster.namespace,
        "name": name,
        "restartedAt": now,
        "revisions": revisions,
    }
    lines = [f"chatagent/{name}: restarting the pods; wait for them with"]
    lines += [
        f"  kubectl -n {cluster.namespace} rollout status deployment/{each}" for each in names
    ]
    return fixed_result(document, "\n".join(lines))


def _read_restart(deployment: Manifest) -> Any:
    metadata = deployment["spec"]["template"].get("metadata") or {}
    return (metadata.get("annotations") or {}).get(RESTARTED_ANNOTATION)
