"""The state of HAProxy, parsed from the responses of its runtime socket. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from chatagent_operator.core.routing.haproxy import BACKEND, FRONTEND, NO_REVISION, NOWHERE
from chatagent_operator.core.routing.routes import SLOTS, BackendState, Slot

# Bits of srv_admin_state, from HAProxy's management guide, "show servers state".
_MAINT = 0x01 | 0x02 | 0x20 | 0x40
_DRAIN = 0x08 | 0x10
_RESYNCED = 0x01 | 0x02
"""Flags of a peers section: the resync from the old process and from the peers is complete."""


class UnreadableAnswerError(Exception):
    """HAProxy returned a response that does not follow its management guide."""


@dataclass(frozen=True)
class SlotState:
    """The state of one slot, a server of HAProxy. Its revision is None until it is first used."""

    revision: str | None
    address: str
    port: int
    weight: int
    state: BackendState


@dataclass(frozen=True)
class HAProxyState:
    """The state of one HAProxy process."""

    pid: int
    uptime_seconds: int
    generation: int | None
    """Generation of the last intent that was applied completely; None before the first."""
    slots: Mapping[Slot, SlotState]
    pins: int
    """Number of pinned conversations."""
    stable: str | None = None
    """The revision that takes over conversations of removed revisions."""
    synced: bool = False
    """Whether the pins of the other gateways are received, or there is no other gateway."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of `/applied`, in the format of routes.json."""
        return {
            "generation": self.generation,
            "backends": [
                {"slot": name} | vars(slot) for name, slot in self.slots.items() if slot.revision
            ],
            "stable": self.stable,
            "pins": self.pins,
            "synced": self.synced,
            "haproxy": {"pid": self.pid, "uptimeSeconds": self.uptime_seconds},
        }


def state_queries(slots_map: str) -> list[str]:
    """Return the commands whose joint response `parse_state` parses, in order."""
    return ["show info", f"show servers state {BACKEND}", f"show map {slots_map}", "show table"]


def parse_state(answer: str) -> HAProxyState:
    """Parse the joint response to `state_queries`. Raises UnreadableAnswerError."""
    blocks = [block for block in answer.split("\n\n") if block.strip()]
    try:
        info, servers, slots_map, table = blocks
        numbers = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
        remembered = dict(line.split()[1:3] for line in slots_map.splitlines() if line.strip())
        generation = int(remembered["generation"])
        found = dict(_parse_servers(servers, remembered))
        slots: dict[Slot, SlotState] = {slot: found[slot] for slot in SLOTS}
        used = re.search(rf"^# table: {BACKEND},.* used:(\d+)", table, re.MULTILINE)
        return HAProxyState(
            pid=int(numbers["Pid"]),
            uptime_seconds=int(numbers["Uptime_sec"]),
            generation=generation if generation >= 0 else None,
            slots=slots,
            pins=int(used[1]) if used else 0,
            stable=_parse_revision(remembered["stable"]),
            synced=remembered["synced"] == "1",
        )
    except (ValueError, KeyError, IndexError) as error:
        raise UnreadableAnswerError(f"{error!r} in {answer[:200]!r}") from error


def parse_resync(answer: str) -> bool:
    """Parse from the response to `show peers` whether the resync with the peers is complete.

    HAProxy gives up after five seconds, which counts as complete, as does having no peers.
    """
    found = re.findall(r"^0x[0-9a-f]+: .* flags=0x([0-9a-f]+)", answer, re.MULTILINE)
    return all(int(flags, 16) & _RESYNCED == _RESYNCED for flags in found)


def parse_requests(answer: str) -> int:
    """Parse the number of client requests in progress from the response to `show sess`. An idle
    connection does not count."""
    return len(re.findall(rf"^0x[0-9a-f]+: .* fe={FRONTEND} ", answer, re.MULTILINE))


def _parse_servers(block: str, remembered: Mapping[str, str]) -> Iterator[tuple[str, SlotState]]:
    # The first line is the format's version, the second names the columns.
    header = block.splitlines()[1].lstrip("# ").split()
    for line in block.splitlines()[2:]:
        row = dict(zip(header, line.split(), strict=False))
        yield (
            row["srv_name"],
            SlotState(
                revision=_parse_revision(remembered[row["srv_name"]]),
                address=NOWHERE if row["srv_addr"] == "-" else str(ip_address(row["srv_addr"])),
                port=int(row["srv_port"]),
                weight=int(row["srv_uweight"]),
                state=_parse_state(int(row["srv_admin_state"])),
            ),
        )


def _parse_revision(remembered: str) -> str | None:
    return None if remembered == NO_REVISION else remembered


def _parse_state(admin: int) -> BackendState:
    if admin & _MAINT:
        return "maint"
    return "drain" if admin & _DRAIN else "ready"
