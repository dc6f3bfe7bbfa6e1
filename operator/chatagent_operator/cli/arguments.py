"""The arguments and the help of the command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, cast

DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
MAX_SECONDS = 86400

ROLLOUT_COMMANDS = {
    "promote": (
        "continue a rollout that is paused or waits for approval",
        "Continue a rollout that is paused: at a `pause` step, by the command `pause`, or after an "
        "inconclusive analysis. With --full all remaining steps and analyses are skipped, and the "
        "canary becomes the stable revision.",
    ),
    "abort": (
        "abort the rollout and roll back to the stable revision",
        "Set the weight of the canary to 0 immediately and move its conversations to the stable "
        "revision. The revision is not rolled out again until the spec changes or it is retried.",
    ),
    "pause": (
        "pause the rollout at the current step",
        "Pause the rollout at its current weight until `resume`. An abort still takes effect.",
    ),
    "resume": (
        "resume a paused rollout",
        "Resume a rollout that was paused by a command or by an inconclusive analysis.",
    ),
    "retry": (
        "roll out the failed revision again",
        "Start the rollout of the failed revision again, from its first step.",
    ),
    "skip": (
        "skip the current step",
        "Continue with the next step, whatever the current one waits for.",
    ),
}


class _Parser(argparse.ArgumentParser):
    """A parser that prints its errors as one line."""

    def error(self, message: str) -> Any:
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    root = _Parser(
        prog="kubectl chatagent",
        description="Watch, promote, abort and undo rollouts of ChatAgents, and talk to agents.",
        epilog="Exit codes: 0 success, 1 refused or failed, 2 usage error, 3 no response, "
        "4 the rollout has not ended.",
    )
    _add_global_flags(root)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, description: str | None = None) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=description or text)
        _add_global_flags(command, is_root=False)
        return command

    _add_get(add)
    _add_status(add)
    for name, (text, description) in ROLLOUT_COMMANDS.items():
        command = add(name, text, description)
        _add_name(command)
        _add_response_timeout(command)
        if name == "promote":
            command.add_argument(
                "--full", action="store_true", help="skip all remaining steps and analyses"
            )
    restart = add(
        "restart",
        "restart the pods without a new revision",
        "Restart the pods of all revisions, a few at a time, as `kubectl rollout restart` does: "
        "for a changed Secret, or for what a new version of the operator renders differently. "
        "The rollout, the weights and the conversations stay as they are.",
    )
    _add_name(restart)
    _add_response_timeout(restart)
    _add_name(add("history", "list the revisions and the result of each rollout"))
    _add_diff(add)
    _add_undo(add)
    _add_chat(add)
    _add_name(
        add(
            "evaluate",
            "show the report of the last evaluation",
            "Show the verdict, the shares of both revisions, and the questions whose results "
            "differ.",
        )
    )
    version = add(
        "version",
        "show the versions of this program and of the operator",
        "Show the versions of this program and of the operators in all namespaces, or in the "
        "namespace of -n.",
    )
    version.add_argument("--client", action="store_true", help="only of this program")
    completion = add(
        "completion",
        "print a script that completes kubectl-chatagent in a shell",
        "Print a script that completes `kubectl-chatagent` in a shell. kubectl completes `kubectl "
        "chatagent` without it, if `kubectl_complete-chatagent` is on the PATH.",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return root


def _add_get(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "get",
        "show the rollout of one agent, or a table of all agents",
    )
    command.add_argument("name", nargs="?", help="name of the ChatAgent; default: all")
    command.add_argument(
        "-A", "--all-namespaces", action="store_true", help="list the agents of all namespaces"
    )
    command.add_argument(
        "-w",
        "--watch",
        dest="live",
        action="store_true",
        help="watch for changes until interrupted",
    )


def _add_status(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "status",
        "show the state of the rollout in one line, or wait for its end",
        "Show the state of the rollout in one line. With --watch a line is printed for each "
        "change until the rollout of the current spec ends. Exit codes: 0 promoted; 1 failed, "
        "aborted or invalid; 4 not ended, or the ChatAgent was deleted meanwhile.",
    )
    _add_name(command)
    command.add_argument("-w", "--watch", action="store_true", help="wait until the rollout ends")
    command.add_argument(
        "--timeout",
        type=_parse_duration,
        metavar="DURATION",
        help="how long to wait with --watch, such as 90s, 10m or 1h30m; default: no limit",
    )


def _add_diff(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "diff",
        "show the differences between two revisions",
        "Show the differences between two revisions, prompts included. REVISION is a hash or a "
        "prefix of it, a number, or stable, canary or failed.",
    )
    _add_name(command)
    command.add_argument(
        "before", nargs="?", default="stable", metavar="REVISION", help="default: stable"
    )
    command.add_argument(
        "after",
        nargs="?",
        metavar="REVISION",
        help="default: canary, or failed if there is no canary",
    )


def _add_undo(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "undo",
        "roll the spec back to a previous revision",
        "Write image, resources, pod and pipeline of a previous revision into the spec, and remove "
        "fields that it did not have. The change is rolled out like any other; if the revision is "
        "the stable one, it takes effect immediately.",
    )
    _add_name(command)
    command.add_argument(
        "--to-revision",
        metavar="REVISION",
        help="number or hash; default: the previous revision",
    )


def _add_chat(add: Callable[..., argparse.ArgumentParser]) -> None:
    command = add(
        "chat",
        "talk to the agent, or to one of its revisions",
        "Start a conversation through the API server's proxy, with the agent's gateway or, with "
        "--revision, with one revision directly. End the input (Ctrl-D) to quit.",
    )
    _add_name(command)
    command.add_argument(
        "--revision", metavar="REVISION", help="stable, canary, or the number or hash of a revision"
    )
    command.add_argument(
        "-m", "--message", metavar="TEXT", help="send this message, print the reply and exit"
    )
    command.add_argument(
        "--conversation", metavar="ID", help="conversation to continue; default: a new one"
    )


def _add_name(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="name of the ChatAgent")


def find_commands(root: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, by its name."""
    for action in root._actions:  # pyright: ignore[reportPrivateUsage]
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            return dict(cast(Any, action).choices)
    return {}


def find_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the flags of a parser, by their names."""
    return dict(parser._option_string_actions)  # pyright: ignore[reportPrivateUsage]


def find_positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a parser that are not flags."""
    return [
        each
        for each in parser._actions  # pyright: ignore[reportPrivateUsage]
        if not each.option_strings
    ]


def _add_response_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout",
        type=_parse_duration,
        default=30.0,
        metavar="DURATION",
        help="how long to wait for the operator to respond; default: 30s",
    )


def _add_global_flags(parser: argparse.ArgumentParser, is_root: bool = True) -> None:
    """Add the flags that may stand before and after the command. After it they have no defaults,
    which would replace what stands before it."""

    def default(value: str | None) -> Any:
        return value if is_root else argparse.SUPPRESS

    parser.add_argument(
        "-n", "--namespace", default=default(None), help="default: namespace of the context"
    )
    parser.add_argument("--context", default=default(None), help="context of the kubeconfig")
    parser.add_argument("--kubeconfig", default=default(None), help="path of the kubeconfig")
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", "yaml"),
        default=default("text"),
        help="default: text",
    )


def _parse_duration(text: str) -> float:
    """Parse a duration such as 90s, 10m or 1h30m. A number alone is seconds."""
    found = DURATION.fullmatch(text)
    if found:
        hours, minutes, rest = (float(part or 0) for part in found.groups())
        value = hours * 3600 + minutes * 60 + rest
        if 0 < value <= MAX_SECONDS:
            return value
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a duration of more than 0 and at most 24 hours, such as 90s or 1h30m"
    )
