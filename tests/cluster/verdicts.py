"""What the tools of GitOps make of a ChatAgent: kstatus itself, and the chart's health script in
the interpreter of Argo CD."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache

from tests.cluster.kubectl import ROOT, Object, dev

HEALTH_SCRIPT = ROOT / "charts" / "chatagent-operator" / "files" / "argocd-health.lua"


@dataclass(frozen=True)
class Verdict:
    """One tool's."""

    status: str
    message: str


def kstatus(body: Object) -> Verdict:
    """What Flux goes by."""
    return _asked(body, "kstatus")


def argocd(body: Object) -> Verdict:
    """What Argo CD shows."""
    return _asked(body, "argocd", str(HEALTH_SCRIPT))


def _asked(body: Object, *arguments: str) -> Verdict:
    text = json.dumps(body)
    done = subprocess.run(
        [_program(), *arguments], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Verdict(**json.loads(done.stdout))


@cache
def _program() -> str:
    return dev("bin", "gitops")
