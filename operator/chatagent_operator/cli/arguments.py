"""The words of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

ORDERS = {
    "promote": (
        "go on where the rollout waits for a person",
        "Go on where the rollout waits for a person: at a step `pause`, after `pause`, or after an "
        "analysis that said too little. With --full all steps and analyses that are left are "
        "skipped, and the canary becomes the stable revision.",
    ),
    "abort": (
        "take the canary back at once",
        "Weight 0 at once, and the canary's conversations go to the stable revision. It stays out "
        "until the spec changes, or a retry.",
    ),
    "pause": (
        "stay at the present step",
        "The weight stays as it is until `resume`. An abort goes through all the same.",
    ),
    "resume": (
        "go on after a pause",
        "Go on after a pause, also one that the rollout made itself.",
    ),
    "retry": (
        "try the failed revision again",
        "Begin the rollout of the failed revision again, from its first step.",
    ),
    "skip": (
        "leave the present step out",
        "Go on to the step after the present one, whatever it waits for.",
    ),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors fit in one line."""

    def error(self, message: str) -> Any:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    root = _Parser(
        prog="kubectl chatagent",
        description="Watch the rollout of a ChatAgent, move it on or back, and talk to the agent.",
        epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no answer.",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, description: str | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=description or text)
        command.add_argument("-n", "--namespace", help="default: the context's namespace")
        command.add_argument("--context", help="context of the kubeconfig")
        command.add_argument("--kubeconfig", help="path of the kubeconfig")
        command.add_argument(
            "-o", "--output", choices=("text", "json", "yaml"), default="text", help="default: text"
        )
        return command

    _get(add)
    for order, (text, description) in ORDERS.items():
        command = add(order, text, description)
        _name(command)
        command.add_argument(
            "--timeout",
            type=_seconds,
            default=30.0,
            metavar="SECONDS",
            help="how long to wait for the operator's answer; default: 30",
        )
        if order == "promote":
            command.add_argument(
                "--full", action="store_true", help="skip all steps and analyses that are left"
            )
    _name(add("history", "list the revisions, and what became of each"))
    _diff(add)
    _undo(add)
    _chat(add)
    _name(
        add(
            "evaluate",
            "show what the last evaluation found",
            "The shares of both revisions, the verdict, and the questions that came out otherwise.",
        )
    )
    return root


def _get(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "get",
        "show one agent's revisions, weights, steps and metrics, or a table of all",
    )
    command.add_argument("name", nargs="?", help="name of the ChatAgent; default: all")
    command.add_argument(
        "-A", "--all-namespaces", action="store_true", help="a table of all namespaces"
    )
    command.add_argument("-w", "--watch", action="store_true", help="stay and show every change")


def _diff(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "diff",
        "show what differs between two revisions, prompts and all",
        "A revision is its hash or the beginning of it, its number, or stable, canary or failed.",
    )
    _name(command)
    command.add_argument(
        "before", nargs="?", default="stable", metavar="REVISION", help="default: stable"
    )
    command.add_argument(
        "after", nargs="?", metavar="REVISION", help="default: the canary, or else the failed one"
    )


def _undo(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "undo",
        "write an old revision into the spec again",
        "Write image, resources, pod and pipeline of an old revision into the spec; what it did "
        "not have is removed. It goes out as any change does, at once if it is the stable one.",
    )
    _name(command)
    command.add_argument(
        "--to-revision",
        metavar="REVISION",
        help="number or hash; default: the one that served before",
    )


def _chat(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "chat",
        "talk to the agent, or to one of its revisions",
        "A conversation through the API server: through the agent's gateway, or with --revision "
        "past it. Ends with the end of the input (Ctrl-D).",
    )
    _name(command)
    command.add_argument(
        "--revision", metavar="REVISION", help="stable, canary, or the number or hash of one"
    )
    command.add_argument("-m", "--message", metavar="TEXT", help="ask this, and end")
    command.add_argument(
        "--conversation", metavar="ID", help="go on with a conversation; default: a new one"
    )


def _name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="name of the ChatAgent")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: between 0 and 86400 seconds")
    return value
