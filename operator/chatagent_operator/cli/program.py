"""The program: parses the command line, connects, runs one command and sets the exit code."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config  # pyright: ignore[reportMissingTypeStubs]
from kubernetes.aio.config import kube_config  # pyright: ignore[reportMissingTypeStubs]

from chatagent_operator.cli import commands
from chatagent_operator.cli.arguments import ROLLOUT_COMMANDS, build_parser
from chatagent_operator.cli.chatting import run_chat
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.completion import NO_FILES, SCRIPTS, Slot, find_candidates
from chatagent_operator.cli.errors import (
    DONE,
    INTERRUPTED,
    NO_ANSWER,
    REFUSED,
    CommandError,
    is_lasting,
)
from chatagent_operator.cli.evaluations import show_evaluation
from chatagent_operator.cli.restarting import restart_pods
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.cli.status import show_status
from chatagent_operator.cli.undoing import undo_rollout
from chatagent_operator.cli.version import show_client_version, show_version
from chatagent_operator.cli.watching import watch_view
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError

Command = Callable[[Cluster, argparse.Namespace], Awaitable[Result]]

COMMANDS: dict[str, Command] = {
    **dict.fromkeys(ROLLOUT_COMMANDS, commands.send_command),
    "get": commands.get_agents,
    "status": show_status,
    "restart": restart_pods,
    "version": show_version,
    "history": commands.show_history,
    "diff": commands.show_diff,
    "undo": undo_rollout,
    "chat": run_chat,
    "evaluate": show_evaluation,
}
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def main() -> None:
    """Run the plugin."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    arguments = build_parser().parse_args()
    try:
        exit_code = asyncio.run(_run(arguments))
    except CommandError as error:
        _fail(error, error.exit_code)
    except ApiError as error:
        _fail(error.message or error, REFUSED if is_lasting(error) else NO_ANSWER)
    except KeyboardInterrupt:
        sys.exit(DONE if getattr(arguments, "live", False) else INTERRUPTED)
    except BrokenPipeError:  # the reader, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        sys.exit(exit_code)


def _fail(reason: object, exit_code: int) -> None:
    print("error: " + " ".join(str(reason).split()), file=sys.stderr)
    sys.exit(exit_code)


def complete() -> None:
    """Print the candidates for the words on the command line. It fails in silence."""
    try:
        found = asyncio.run(find_candidates(sys.argv[1:] or [""], _look_up))
    except Exception:  # nobody expects an error while typing
        found = []
    print("\n".join([*found, NO_FILES]))


async def _look_up(slot: Slot) -> list[str]:
    flags = dict.fromkeys(("namespace", "context", "kubeconfig")) | slot.given
    arguments = argparse.Namespace(**flags)
    if slot.argument == "context":
        listed: Any = config.list_kube_config_contexts(config_file=arguments.kubeconfig)
        return [str(each["name"]) for each in listed[0]]
    kube = await _connect(arguments)
    try:
        cluster = Cluster(kube, await asyncio.to_thread(_find_namespace, arguments))
        read = cluster.namespaces if slot.argument == "namespace" else cluster.agents
        return [str(each["metadata"]["name"]) for each in await read()]
    finally:
        await kube.close()


def _run_offline(arguments: argparse.Namespace) -> Result | None:
    """Run a command that needs no cluster; None if it needs one."""
    if arguments.command == "completion":
        return fixed_result({"script": SCRIPTS[arguments.shell]}, SCRIPTS[arguments.shell])
    if arguments.command == "version" and arguments.client:
        return show_client_version()
    return None


async def _run(arguments: argparse.Namespace) -> int:
    if offline := _run_offline(arguments):
        print(offline.render(arguments.output, _now()))
        return DONE
    kube = await _connect(arguments)
    try:
        all_namespaces: bool = getattr(arguments, "all_namespaces", False)
        namespace = None if all_namespaces else await asyncio.to_thread(_find_namespace, arguments)
        cluster, command = Cluster(kube, namespace), COMMANDS[arguments.command]
        if getattr(arguments, "live", False):
            await watch_view(
                lambda: command(cluster, arguments), arguments.output, _now, sys.stdout
            )
            return DONE
        result = await command(cluster, arguments)
        if text := result.render(arguments.output, _now()):
            print(text, flush=True)
        if result.warning:
            print(f"warning: {result.warning}", file=sys.stderr)
        return result.exit_code
    finally:
        await kube.close()


def _check_kubeconfig(path: str | None) -> None:
    # The library only warns of a file that does not exist.
    logging.getLogger(kube_config.__name__).setLevel(logging.ERROR)
    if path and not Path(path).exists():
        raise CommandError(f"the kubeconfig {path!r} does not exist", NO_ANSWER)


async def _connect(arguments: argparse.Namespace) -> Kube:
    _check_kubeconfig(arguments.kubeconfig)
    try:
        return await Kube.connect(arguments.kubeconfig, arguments.context)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise CommandError(
            f"the kubeconfig cannot be used: {error}; set --kubeconfig, --context or KUBECONFIG",
            NO_ANSWER,
        ) from None


def _find_namespace(arguments: argparse.Namespace) -> str:
    if arguments.namespace:
        return arguments.namespace
    try:
        listed: Any = config.list_kube_config_contexts(config_file=arguments.kubeconfig)
    except config.ConfigException:
        if POD_NAMESPACE.exists():
            return POD_NAMESPACE.read_text(encoding="utf-8").strip()
        return "default"
    contexts, active = listed
    chosen = next((c for c in contexts if c["name"] == arguments.context), active)
    return str(chosen["context"].get("namespace") or "default")


def _now() -> datetime:
    return datetime.now(UTC)
