"""`kubectl chatagent`: a person's commands to a rollout.

A command is an annotation with an id of its own, written by server-side patch, so that nothing
of it ever stands in a manifest under Git. The operator answers in the status.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from typing import Any

from kubernetes.aio import config  # pyright: ignore[reportMissingTypeStubs]

from chatagent_operator.core.names import COMMAND_ANNOTATION
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError, NotFoundError

DONE, REFUSED, USAGE, NO_ANSWER = 0, 1, 2, 3

_ACTIONS = {
    "promote": "make the canary the stable revision",
    "abort": "take the canary out; it stays out until the spec changes",
}


class CommandError(Exception):
    """It cannot be done; the message says why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main() -> None:
    """Entry point of the plugin."""
    arguments = _parser().parse_args()
    try:
        print(asyncio.run(_run(arguments)))
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (ApiError, config.ConfigException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NO_ANSWER)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl chatagent",
        description="Move the rollout of a ChatAgent on or back.",
        epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no answer.",
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    for action, text in _ACTIONS.items():
        command = commands.add_parser(action, help=text, description=text)
        command.add_argument("name", help="name of the ChatAgent")
        command.add_argument("-n", "--namespace", help="default: the context's namespace")
        command.add_argument("--context", help="context of the kubeconfig")
        command.add_argument("--kubeconfig", help="path of the kubeconfig")
        command.add_argument(
            "--timeout", type=float, default=30.0, metavar="SECONDS", help="default: 30"
        )
    return parser


async def _run(arguments: argparse.Namespace) -> str:
    kube = await Kube.connect(arguments.kubeconfig, arguments.context)
    namespace = arguments.namespace or await asyncio.to_thread(
        _default_namespace, arguments.kubeconfig, arguments.context
    )
    try:
        return await command(kube, namespace, arguments.name, arguments.action, arguments.timeout)
    finally:
        await kube.close()


async def command(kube: Kube, namespace: str, name: str, action: str, patience: float) -> str:
    """Give a command and wait for the operator's answer.

    Raises:
        CommandError: it was refused, or nobody answered within `patience` seconds.
    """
    try:
        agent = await kube.get_agent(namespace, name)
    except NotFoundError:
        raise CommandError(f"there is no ChatAgent {name!r} in {namespace!r}", REFUSED) from None
    canary = (agent.get("status") or {}).get("canaryRevision")
    if not canary:
        raise CommandError(f"ChatAgent {name!r} has no canary to {action}", REFUSED)
    request = {"id": str(uuid.uuid4()), "action": action, "revision": canary}
    await kube.patch_agent(
        namespace, name, {"metadata": {"annotations": {COMMAND_ANNOTATION: json.dumps(request)}}}
    )
    try:
        async with asyncio.timeout(patience):
            result = await _answer(kube, namespace, name, request["id"])
    except TimeoutError:
        raise CommandError(
            f"the operator has not answered within {patience:g} s; is it running?", NO_ANSWER
        ) from None
    if result.startswith("refused"):
        raise CommandError(result, REFUSED)
    return f"chatagent/{name}: {result}"


async def _answer(kube: Kube, namespace: str, name: str, identifier: str) -> str:
    while True:
        agent = await kube.get_agent(namespace, name)
        rollout: dict[str, Any] = (agent.get("status") or {}).get("rollout") or {}
        if rollout.get("lastCommandId") == identifier:
            return str(rollout.get("lastCommandResult"))
        await asyncio.sleep(0.2)


def _default_namespace(kubeconfig: str | None, context: str | None) -> str:
    listed: Any = config.list_kube_config_contexts(config_file=kubeconfig)
    contexts, active = listed
    chosen = next((c for c in contexts if c["name"] == context), active)
    return str(chosen["context"].get("namespace") or "default")
