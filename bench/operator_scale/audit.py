"""What a controller asked of the API server and when, from the API server's own audit log.

Pure but for `AuditLog`, which reads a file that grows.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
APART = frozenset({"events", "leases"})
"""Written beside the work: they are no children of anybody."""

OWNER = re.compile(r"^(agent-\d{5})(?![0-9])")
"""All that belongs to an agent begins with the agent's name."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Times are in seconds since 1970."""

    began: float
    ended: float
    user: str
    verb: str
    resource: str
    """Plural, with the subresource behind a slash; for what is no resource, its path."""
    name: str
    code: int

    @property
    def owner(self) -> str | None:
        """The agent that it is about."""
        found = OWNER.match(self.name)
        return found[1] if found else None

    @property
    def sort(self) -> str:
        """Event, write, read, list or watch."""
        if self.verb in WRITES:
            return "Event" if self.resource == "events" else "write"
        return {"list": "list", "watch": "watch"}.get(self.verb, "read")

    def is_child_write(self, parents: str) -> bool:
        """Whether it changed something other than an agent itself.

        Args:
            parents: plural of what agents are.
        """
        resource = self.resource.partition("/")[0]
        changed = self.verb in WRITES and self.code < 400
        return changed and resource != parents and resource not in APART


def parse(line: str) -> Call | None:
    """Read a line of the log; None for a stage of a request that another line tells better. A
    watch counts when it begins, everything else when it is answered."""
    event: dict[str, Any] = json.loads(line)
    wanted = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
    if event["stage"] != wanted:
        return None
    about: dict[str, str] = event.get("objectRef") or {}
    subresource = about.get("subresource")
    resource = about.get("resource") or str(event["requestURI"]).partition("?")[0]
    return Call(
        began=_seconds(event["requestReceivedTimestamp"]),
        ended=_seconds(event["stageTimestamp"]),
        user=event["user"]["username"],
        verb=event["verb"],
        resource=f"{resource}/{subresource}" if subresource else resource,
        name=about.get("name", ""),
        code=(event.get("responseStatus") or {}).get("code", 0),
    )


@dataclass
class AuditLog:
    """The log as far as it has been written."""

    path: Path
    calls: list[Call] = field(default_factory=list[Call])
    _offset: int = 0

    def read(self) -> list[Call]:
        """All calls until now, in the order in which they ended."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(newline)
            self.calls += filter(None, map(parse, whole.decode().splitlines()))
        return self.calls


def first_child_writes(
    calls: Iterable[Call], parents: str, since: dict[str, float]
) -> dict[str, float]:
    """Seconds from a time of each agent until the first write to a child of it was received.

    Args:
        calls: of the controller.
        since: agent → seconds since 1970. What was received before that counts as 0 seconds: the
            controller's watch may be faster than the answer to whoever made the agent.
    """
    found: dict[str, float] = {}
    for call in calls:
        owner = call.owner
        if owner in since and call.is_child_write(parents):
            late = max(0.0, call.began - since[owner])
            found[owner] = min(late, found.get(owner, math.inf))
    return found


def strays(calls: Iterable[Call], changed: Container[str]) -> list[Call]:
    """Writes about agents that nobody changed."""
    return [
        call for call in calls if call.sort == "write" and call.owner and call.owner not in changed
    ]


def by_verb_and_resource(calls: Iterable[Call]) -> Counter[str]:
    """How often each was asked, such as `patch services`."""
    return Counter(f"{call.verb} {call.resource}" for call in calls)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed (nearest rank); NaN of nothing."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
