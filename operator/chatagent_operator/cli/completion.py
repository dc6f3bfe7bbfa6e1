"""Completion of the command line in a shell: commands, flags, names of agents and namespaces.

kubectl completes a plugin by running `kubectl_complete-NAME` with the words so far, the last one
being completed. It prints a candidate for each line, with a description after a tab, and at the end
a colon and a number that tells the shell what else to do.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from chatagent_operator.cli.arguments import (
    build_parser,
    find_commands,
    find_options,
    find_positionals,
)

Lookup = Callable[["Slot"], Awaitable[list[str]]]

NO_FILES = ":4"
"""Tells the shell not to offer names of files."""
LOOKUP_SECONDS = 3.0
"""Time within which the API server must have answered; later the user has gone on typing."""
LOOKED_UP = frozenset({"namespace", "context", "name"})
"""Arguments whose values are in the cluster or in the kubeconfig."""

SCRIPTS = {
    "bash": """\
_kubectl_chatagent() {
    local IFS=$'\\n'
    COMPREPLY=($(kubectl_complete-chatagent "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null \\
        | grep -v '^:' | cut -f1))
}
complete -F _kubectl_chatagent kubectl-chatagent
""",
    "zsh": """\
#compdef kubectl-chatagent
_kubectl_chatagent() {
    local -a found
    found=("${(@f)$(kubectl_complete-chatagent "${(@)words[2,CURRENT]}" 2>/dev/null \\
        | grep -v '^:' | cut -f1)}")
    [[ -n "$found" ]] && compadd -a found
}
compdef _kubectl_chatagent kubectl-chatagent
""",
    "fish": """\
function __kubectl_chatagent
    set -l words (commandline -opc) (commandline -ct)
    kubectl_complete-chatagent $words[2..-1] 2>/dev/null | string match -rv '^:'
end
complete -c kubectl-chatagent -f -a '(__kubectl_chatagent)'
""",
}


@dataclass
class Slot:
    """What is completed: the value of an argument, and what is known of the others."""

    argument: str
    word: str
    given: dict[str, str] = field(default_factory=dict[str, str])
    """Values of the flags before it."""


async def find_candidates(words: Sequence[str], look_up: Lookup) -> list[str]:
    """Find the candidates for the last word.

    Args:
        look_up: finds the names of agents, namespaces and contexts.
    """
    fixed, slot = _find_slot(words)
    if slot and slot.argument in LOOKED_UP:
        async with asyncio.timeout(LOOKUP_SECONDS):
            fixed = await look_up(slot)
    return [each for each in fixed if each.startswith(words[-1])]


def _find_slot(words: Sequence[str]) -> tuple[list[str], Slot | None]:
    """Return the candidates that are known without the cluster, or what has to be looked up."""
    root = build_parser()
    commands, options = find_commands(root), find_options(root)
    given: dict[str, str] = {}
    positionals: list[argparse.Action] | None = None
    awaited: argparse.Action | None = None
    for word in words[:-1]:
        name, has_value, value = word.partition("=")
        if awaited:
            given[awaited.dest], awaited = word, None
        elif word.startswith("-"):
            action = options.get(name)
            if action and has_value:
                given[action.dest] = value
            elif action and action.nargs != 0:
                awaited = action
        elif positionals is None:
            if word not in commands:
                return [], None
            options |= find_options(commands[word])
            positionals = find_positionals(commands[word])
        else:
            positionals = positionals[1:]
    last = words[-1]
    if awaited is None and last.startswith("-"):
        return sorted(each for each in options if each.startswith("--")), None
    if awaited is None and positionals is None:
        return [f"{name}\t{_describe(parser)}" for name, parser in commands.items()], None
    action = awaited or next(iter(positionals or ()), None)
    if action is None:
        return [], None
    if action.choices:
        return [str(each) for each in action.choices], None
    return [], Slot(action.dest, last, given)


def _describe(command: argparse.ArgumentParser) -> str:
    """Return the first sentence of a command's description."""
    return (command.description or "").partition(". ")[0].rstrip(".")
