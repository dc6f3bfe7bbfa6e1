"""Resources of the containers that the operator runs beside the agent: as set, with defaults."""

from __future__ import annotations

from collections.abc import Mapping

from chatagent_operator.api.pods import Quantity, ResourceRequirements
from chatagent_operator.core.quantities import parse_quantity


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
