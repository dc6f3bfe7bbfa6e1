"""Resources of the containers that the operator runs beside the agent: as set, with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from chatagent_operator.api.pods import Quantity, ResourceRequirements

_SUFFIXES = {
    "": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


def fill_resources(
    given: ResourceRequirements,
    *,
    requests: Mapping[str, Quantity],
    limits: Mapping[str, Quantity] | None = None,
) -> dict[str, dict[str, Quantity]]:
    """Return the resources as in a Pod. A default gives way to what is set: the API server rejects
    a request above its limit.

    Args:
        requests, limits: defaults.
    """
    filled = {
        name: max(default, given.requests.get(name, default), key=parse_quantity)
        for name, default in (limits or {}).items()
    } | given.limits
    requested = {
        name: min(default, filled.get(name, default), key=parse_quantity)
        for name, default in requests.items()
    } | given.requests
    return {"requests": requested} | ({"limits": filled} if filled else {})


def parse_quantity(quantity: Quantity) -> Decimal:
    """Return the number that a quantity such as `500m` or `1Gi` stands for."""
    text = str(quantity)
    number = text.rstrip("".join(sorted(set("".join(_SUFFIXES)))))
    return Decimal(number) * _SUFFIXES[text[len(number) :]]
