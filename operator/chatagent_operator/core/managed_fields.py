"""Has a later server-side apply remove fields that an object was created with.

A create and a merge patch note their fields under the operation `Update`, a server-side apply
under `Apply`, and it removes only fields of its own. So the entries are joined, as client-go's
csaupgrade does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Entry = dict[str, Any]


def join_entries(metadata: Mapping[str, Any], *managers: str) -> list[Entry] | None:
    """Return the managedFields with all fields of these managers under `Apply`; None: they are."""
    entries: list[Entry] = metadata.get("managedFields") or []
    ours = [each for each in entries if each["manager"] in managers and not each.get("subresource")]
    updates = [each for each in ours if each["operation"] == "Update"]
    applied = next((each for each in ours if each["operation"] == "Apply"), None)
    if not updates or applied is None:
        return None
    fields = applied["fieldsV1"]
    for each in updates:
        fields = _join(fields, each["fieldsV1"])
    others = [each for each in entries if each not in updates and each is not applied]
    return [*others, applied | {"fieldsV1": fields}]


def _join(one: Entry, other: Entry) -> Entry:
    return {key: _join(one.get(key, {}), other.get(key, {})) for key in one | other}
