"""Tells progress from standstill while an agent is awaited, however slow the machine is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Body = Mapping[str, Any]

ABNORMAL = frozenset({"Degraded", "Stalled"})
"""Conditions that are fine while they are False."""
NEUTRAL = frozenset({"Progressing", "Reconciling", "Paused"})
"""Conditions that are fine either way."""
SUMMARY = frozenset({"Ready"})
"""Conditions that only repeat the others."""


ROLES = ("stable", "canary", "failed")


class Patience:
    """Is over once nothing has been seen that is new for so many seconds.

    What was seen before is not new: a container that crashes again and again is no progress.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._since = clock()
        self._seen: set[str] = set()

    def see(self, signs: Iterable[str]) -> None:
        """Note what there is now."""
        new = set(signs) - self._seen
        if new:
            self._seen |= new
            self._since = self._clock()

    @property
    def is_over(self) -> bool:
        """Whether it is over."""
        return self._clock() - self._since > self.seconds


def find_signs(objects: Iterable[Body]) -> Iterator[str]:
    """Find signs of progress in ChatAgents, Pods and Events: no counters or times, which change
    without any."""
    for body in objects:
        name, status = body["metadata"]["name"], body.get("status") or {}
        match body["kind"]:
            case "ChatAgent":
                rollout, analysis = status.get("rollout", {}), status.get("analysis", {})
                state = {
                    **{key: rollout.get(key) for key in ("weight", "step", "paused")},
                    "succeeded": analysis.get("succeeded"),
                    "revisions": [status.get(f"{role}Revision") for role in ROLES],
                    "knowledge": status.get("knowledge"),
                    "conditions": sorted(
                        (c["type"], c["status"], c["reason"]) for c in status.get("conditions", [])
                    ),
                }
                yield f"{name} {json.dumps(state, sort_keys=True)}"
            case "Pod":
                ready = [c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"]
                yield f"{name} {status.get('phase')} {ready}"
            case "Event":
                yield f"{body['involvedObject'].get('name')} {body.get('reason')}"
            case _:
                pass


def describe_problems(status: Body) -> str:
    """Describe the conditions that are not fine."""
    return ", ".join(
        f"{each['type']} {each['reason']}"
        for each in status.get("conditions", [])
        if each["type"] not in NEUTRAL | SUMMARY
        and each["status"] != ("False" if each["type"] in ABNORMAL else "True")
    )
