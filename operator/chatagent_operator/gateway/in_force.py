"""What HAProxy does at this moment, read from the answers of its runtime socket. Pure."""

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
"""Flags of a peers section: nothing is expected any more of an older process, and of peers."""


class UnreadableAnswerError(Exception):
    """HAProxy did not answer as its management guide says."""


@dataclass(frozen=True)
class SlotInForce:
    """One server of HAProxy. The revision is the one its pins are for, None if never used."""

    revision: str | None
    address: str
    port: int
    weight: int
    state: BackendState


@dataclass(frozen=True)
class InForce:
    """One HAProxy process."""

    pid: int
    uptime_seconds: int
    generation: int | None
    """Of the last intent applied in full; None in a process that has had none yet."""
    slots: Mapping[Slot, SlotInForce]
    pins: int
    """Conversations remembered."""
    stable: str | None = None
    """The revision that takes over the conversations of those that are gone."""
    synced: bool = False
    """The other gateways' pins are here, or there was none to tell them."""

    def to_json(self) -> dict[str, Any]:
        """What `/applied` answers, in the form of routes.json."""
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


def questions(slots_map: str) -> list[str]:
    """The commands whose answers `read_in_force` takes, in its order."""
    return ["show info", f"show servers state {BACKEND}", f"show map {slots_map}", "show table"]


def read_in_force(answer: str) -> InForce:
    """Read the joint answer to `questions`. Raises UnreadableAnswerError."""
    blocks = [block for block in answer.split("\n\n") if block.strip()]
    try:
        info, servers, slots_map, table = blocks
        numbers = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
        remembered = dict(line.split()[1:3] for line in slots_map.splitlines() if line.strip())
        generation = int(remembered["generation"])
        found = dict(_servers(servers, remembered))
        slots: dict[Slot, SlotInForce] = {slot: found[slot] for slot in SLOTS}
        used = re.search(rf"^# table: {BACKEND},.* used:(\d+)", table, re.MULTILINE)
        return InForce(
            pid=int(numbers["Pid"]),
            uptime_seconds=int(numbers["Uptime_sec"]),
            generation=generation if generation >= 0 else None,
            slots=slots,
            pins=int(used[1]) if used else 0,
            stable=_revision(remembered["stable"]),
            synced=remembered["synced"] == "1",
        )
    except (ValueError, KeyError, IndexError) as error:
        raise UnreadableAnswerError(f"{error!r} in {answer[:200]!r}") from error


def read_resync(answer: str) -> bool:
    """Whether HAProxy has its peers' tables, or asks no more, from its answer to `show peers`.

    It asks for five seconds. Also true where there are no peers.
    """
    found = re.findall(r"^0x[0-9a-f]+: .* flags=0x([0-9a-f]+)", answer, re.MULTILINE)
    return all(int(flags, 16) & _RESYNCED == _RESYNCED for flags in found)


def read_requests(answer: str) -> int:
    """Requests of clients that are under way, from HAProxy's answer to `show sess`. A connection
    between two requests counts for none."""
    return len(re.findall(rf"^0x[0-9a-f]+: .* fe={FRONTEND} ", answer, re.MULTILINE))


def _servers(block: str, remembered: Mapping[str, str]) -> Iterator[tuple[str, SlotInForce]]:
    # The first line is the format's version, the second names the columns.
    header = block.splitlines()[1].lstrip("# ").split()
    for line in block.splitlines()[2:]:
        row = dict(zip(header, line.split(), strict=False))
        yield (
            row["srv_name"],
            SlotInForce(
                revision=_revision(remembered[row["srv_name"]]),
                address=NOWHERE if row["srv_addr"] == "-" else str(ip_address(row["srv_addr"])),
                port=int(row["srv_port"]),
                weight=int(row["srv_uweight"]),
                state=_state(int(row["srv_admin_state"])),
            ),
        )


def _revision(remembered: str) -> str | None:
    return None if remembered == NO_REVISION else remembered


def _state(admin: int) -> BackendState:
    if admin & _MAINT:
        return "maint"
    return "drain" if admin & _DRAIN else "ready"
