"""Finds phrases of our own where Kubernetes has a term: `python3 -m dev.words`, in `make lint`.

It reads every string literal and docstring of the operator, the descriptions of its CRD, the texts
of the chart and the Markdown pages: what users read, and what engineers search for. A phrase
belongs in the table only if it is wrong nearly everywhere.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PHRASES: dict[str, str] = {
    r"(take|takes|taken|taking|took)( it| them| the canary| the revision)? back": "roll back",
    r"(put|puts|putting) (it |them )?back": "roll back, restore, revert",
    r"(weights?|ones?|rollout|routes|spec) of before": "previous",
    r"the (one|ones|revision) before\b(?! (it|that|the|which|its))": "the previous one",
    r"asked for no more|(is|are) no more(?! than)": "is no longer desired, does not exist",
    r"(spec|Git|manifest)( still| that| already)* asks for": "desired",
    r"(said|says?|say|tells?|telling) (nothing|too little)": "inconclusive",
    r"what (came|comes|became|becomes|has become) of": "result, outcome",
    r"nobody('s| (asks?|asked|answers?|answered|looks?|looked|has (asked|looked)))": (
        "name what is missing: no response, not reconciled, unknown"
    ),
    r"somebody( else)?'s|somebody else": "owned by KIND/NAME, another user",
    r"(make|makes|made|making) (way|room)": "is replaced, is evicted, capacity",
    r"(has|have|had|finds?|was|were|is|there is) no room": "unschedulable",
    r"looks? after|looked after": "reconcile, manage",
    r"(not|been|was) looked at|looks? again|looking again|(one|each|this|next|new) look": (
        "reconcile, reconciliation, requeue, resync"
    ),
    r"revision (goes|go|went) out|goes out (as|by|like)": "is rolled out",
    r"(let|lets|letting)( it| them)? go\b( of)?": "release, expire, remove",
    r"told|tells? (of|it|them|you|others)": "name the actor: X sends, reports, logs Y",
    r"(last|dying) words": "termination message",
    r"anew": "again: recreate, retry",
    r"by itself|by themselves": "automatically",
    r"(limits?|measurements?|checks?|bounds?|evaluation)( that| is| are| only)* pass(es|ed)?": (
        "a limit is exceeded; a measurement succeeds"
    ),
    r"(have|has|must) pass(ed)?": "exceed or succeed",
    r"mend(s|ed)?": "fix",
    r"by accident|(no|an) accident": "by chance, statistically significant",
    r"waits? for (a person|nobody|somebody|you)": "wait for approval",
    r"until (a person|somebody)": "until it is promoted",
    r"(is|are|was) not understood": "is invalid",
    r"stays? out( of it)?\b": "is not rolled out again",
    r"goes through all the same|all the same\b": "still, nevertheless",
    r"all the while": "meanwhile",
    r"under way": "in progress",
    r"(go|goes|going|went) on|(get|gets) on": "continue, progress",
    r"in force": "applied, in effect",
    r"present (spec|step|weight|revision)": "current",
}
"""Regular expression of a phrase, matched as whole words in any case, and what to write instead."""

SOURCES = ("operator/chatagent_operator/**/*.py",)
TEXTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**/*.md",
    "crds/*.yaml",
    "charts/*/values.yaml",
    "charts/*/templates/NOTES.txt",
    "charts/*/files/*.lua",
)
_PATTERNS = [
    # A phrase may go over the end of a line, in a docstring or a folded text.
    (re.compile(rf"\b(?:{phrase.replace(' ', chr(92) + 's+')})(?!\w)", re.IGNORECASE), instead)
    for phrase, instead in PHRASES.items()
]


@dataclass(frozen=True)
class Hit:
    """A phrase in a file."""

    path: Path
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.phrase!r}; write instead: {self.instead}"


def find_in_text(path: Path, text: str, first_line: int = 1) -> Iterator[Hit]:
    """Find the phrases in a text whose first line has this number in the file."""
    for pattern, instead in _PATTERNS:
        for match in pattern.finditer(text):
            line = first_line + text.count("\n", 0, match.start())
            yield Hit(path, line, " ".join(match[0].split()), instead)


def find_in_python(path: Path, source: str) -> Iterator[Hit]:
    """Find the phrases in the string literals and docstrings of a module; comments are not read."""
    tree = ast.parse(source)
    parts = {id(each) for node in ast.walk(tree) for each in _constants(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values
            )
            yield from find_in_text(path, text, node.lineno)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        ):
            yield from find_in_text(path, node.value, node.lineno)


def _constants(node: ast.AST) -> list[ast.expr]:
    return node.values if isinstance(node, ast.JoinedStr) else []


def find_all(root: Path) -> list[Hit]:
    """Find the phrases in all files of the checkout, by path and line."""
    hits: list[Hit] = []
    for patterns, find in ((SOURCES, find_in_python), (TEXTS, find_in_text)):
        for path in sorted(found for pattern in patterns for found in root.glob(pattern)):
            hits += find(path.relative_to(root), path.read_text(encoding="utf-8"))
    return sorted(hits, key=lambda hit: (hit.path, hit.line))


def main(root: Path) -> int:
    """Print every hit; return the exit code."""
    hits = find_all(root)
    for hit in hits:
        print(hit, file=sys.stderr)
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))
