"""The operator's Helm release, as the demo and the tests install it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dev.commands import output
from dev.errors import DevError
from dev.settings import REPOSITORY

NAME = "chatagent-operator"
CHART = REPOSITORY / "charts" / NAME


def install(helm: Sequence[str], namespace: str, values: Mapping[str, str]) -> None:
    """Install or upgrade it, also after a Helm that was killed in the middle."""
    release = [*helm, "-n", namespace]
    if _is_pending(release):
        # Helm would refuse for ever. The CRD, and with it every agent, stays.
        output([*release, "uninstall", NAME])
    settings = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    output([*release, "upgrade", "--install", NAME, CHART, "--create-namespace", *settings])


def _is_pending(release: Sequence[str]) -> bool:
    try:
        text = output([*release, "status", NAME, "-o", "json"])
    except DevError:
        return False  # there is none
    return str(json.loads(text)["info"]["status"]).startswith("pending")
