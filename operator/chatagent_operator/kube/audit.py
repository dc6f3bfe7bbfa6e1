"""A slow comparison of what is believed to be there with what is.

kopf is not told of what is deleted while a watch has lost its place, and would hold it until the
operator is started again: a Deployment that nobody makes anew, a gateway that nobody can ask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from chatagent_operator.api.group import KIND
from chatagent_operator.core import names
from chatagent_operator.core.names import Key
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.store import WATCH_LAG_SECONDS, Listing, Store

AUDIT_SECONDS = 60.0
"""Between two audits: a watch seldom loses its place, and each audit lists every kind."""

_OURS = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"
_ANYBODYS = {KIND, "ConfigMap"}
"""Kinds that others make too: documents and questions are in ConfigMaps without our labels."""

_log = logging.getLogger(__name__)


class Audit:
    """Finds what the watches have not told to be gone."""

    def __init__(
        self,
        kube: Kube,
        store: Store,
        kinds: Sequence[str],
        namespaces: Sequence[str],
        mark: Callable[[Key], None],
    ) -> None:
        """
        Args:
            kube: lists what there is.
            store: is told of it.
            kinds: what is listed.
            namespaces: where; empty: everywhere.
            mark: is told of each agent that has lost something.
        """
        self._kube = kube
        self._store = store
        self._kinds = kinds
        self._namespaces = namespaces
        self._mark = mark

    async def run(self) -> None:
        """Audit again and again."""
        while True:
            await asyncio.sleep(AUDIT_SECONDS)
            try:
                await self.once()
            except Exception:
                _log.exception("no audit")

    async def once(self) -> None:
        """One audit. What cannot be listed is left as it is."""
        listings = await self._list()
        # What has just been deleted is for the watches to tell, and a write to what is gone must
        # not be believed any more. A list judges nothing that is younger than itself: it may wait.
        await asyncio.sleep(WATCH_LAG_SECONDS)
        for listing in listings:
            for key, name in sorted(self._store.audit(listing)):
                _log.warning("%s: %s %s is gone, and no watch told of it", key, listing.kind, name)
                self._mark(key)

    async def _list(self) -> list[Listing]:
        listings: list[Listing] = []
        for kind in self._kinds:
            selector = None if kind in _ANYBODYS else _OURS
            for namespace in self._namespaces or (None,):
                try:
                    listings.append(await self._kube.list_uids(kind, namespace, selector))
                except ApiError as error:
                    _log.warning("%s cannot be audited: %s", kind, error)
                    if error.status == 0:
                        return listings  # nobody answers: the others need not be tried
        return listings
