"""Other operators that reconcile ChatAgents of this cluster, as their Leases show them.

A status names the operator that wrote it by its Lease. While that operator leads and watches the
agent's namespace, no other one writes: both would rewrite the same objects without end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from chatagent_operator.api.group import GROUP
from chatagent_operator.kube.election import Timing
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.fence import read_clock
from chatagent_operator.kube.lease import Client, Lease

NAMESPACES_ANNOTATION = f"{GROUP}/namespaces"
"""Of a Lease: the namespaces that its holder watches; empty: all."""
READ_SECONDS = 5.0
"""How long what was read of a Lease counts, and how long reading it may take."""

_log = logging.getLogger(__name__)


def annotate_namespaces(namespaces: Sequence[str]) -> dict[str, str]:
    """Return the annotations of the Lease of an operator that watches these namespaces."""
    return {NAMESPACES_ANNOTATION: " ".join(namespaces)}


class Rivals:
    """Knows which other operators are alive."""

    def __init__(
        self, client: Client, operator: str | None, clock: Callable[[], float] = read_clock
    ) -> None:
        """
        Args:
            client: reads their Leases.
            operator: namespace and name of this operator's Lease; None: it has none.
            clock: counts seconds.
        """
        self.operator = operator
        self._client = client
        self._clock = clock
        self._leases: dict[str, tuple[Lease, float]] = {}
        """Each Lease, and when it is to be read again."""
        self._reading = asyncio.Lock()

    async def is_reconciled_by(self, operator: str | None, namespace: str) -> bool:
        """Return whether another operator reconciles the agents of a namespace. One whose Lease
        cannot be read does: two at a time do more harm than none for a while."""
        place, _, name = (operator or "").partition("/")
        if operator is None or operator == self.operator or not place or not name:
            return False
        async with self._reading:
            lease, due = self._leases.get(operator) or (
                Lease(self._client, place, name, self._clock),
                self._clock(),
            )
            if self._clock() >= due:
                try:
                    await lease.read(READ_SECONDS)
                except ApiError as error:
                    _log.warning("cannot read the Lease %s: %s", operator, error)
                    return True
                self._leases[operator] = lease, self._clock() + READ_SECONDS
        if not lease.exists or not lease.holder:
            return False
        watched = lease.annotations.get(NAMESPACES_ANNOTATION, "").split()
        if watched and namespace not in watched:
            return False
        return self._clock() < lease.expires_at(Timing().duration)
