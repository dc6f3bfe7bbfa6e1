"""Everything that is watched: one reflector for each kind and namespace, and what they feed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from chatagent_operator.core import kinds, names
from chatagent_operator.core.kinds import CHAT_AGENT, CONFIG_MAP, EVENT, Kind
from chatagent_operator.core.names import Key
from chatagent_operator.kube.connection import Connection
from chatagent_operator.kube.reflector import Body, Reflector, Timing, Versioned
from chatagent_operator.kube.sources import Sources
from chatagent_operator.kube.store import (
    AgentRecord,
    FailedStart,
    Labelled,
    Source,
    Store,
    failed_start,
    labelled,
    live_record,
)
from chatagent_operator.kube.store import source as project_source

OURS = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY}"
OTHERS = f"{names.MANAGED_BY_LABEL}!={names.MANAGED_BY}"
FAILED_CREATES = "reason=FailedCreate,type=Warning"
"""Events that say that a controller cannot create a pod. Nothing else says it of StatefulSets and
Jobs; and they have no labels to select them by."""

FAILED_STARTS = ",".join(
    (
        "involvedObject.kind=Pod,type=Warning",
        *(f"reason!={each}" for each in ("BackOff", "Failed", "FailedScheduling", "Unhealthy")),
    )
)
"""Events of pods, among them those that say why one cannot be prepared. Most Events have one of the
excluded reasons, and the status of the pod says the same. A selector has no OR, and each watch of
Events is one of etcd: one with everything else costs less than one for each reason."""

MOST_READ_ONE_BY_ONE = 20
"""Of more ConfigMaps than that the contents are listed rather than read."""


class Watches:
    """The reflectors of one operator, and the view of the cluster that they keep."""

    def __init__(
        self,
        connection: Connection,
        namespaces: Sequence[str],
        mark: Callable[[Key], object],
        mark_soon: Callable[[Key], object],
        timing: Timing | None = None,
    ) -> None:
        """
        Args:
            namespaces: where; empty: everywhere.
            mark: is called with each agent that a person changed.
            mark_soon: is called with each agent whose objects changed, often many at once.
        """
        self._connection = connection
        self._timing = timing
        self._places: tuple[str | None, ...] = tuple(namespaces) or (None,)
        self._labelled: dict[tuple[str, str | None], Reflector[Labelled]] = {}
        self._others: dict[str | None, Reflector[Source]] = {}
        self.sources = Sources(self._find_source, connection.request)
        self.store = Store(mark, mark_soon, self._position, self.sources.forget)
        for place in self._places:
            for kind in kinds.CHILDREN:
                self._labelled[kind.name, place] = self._watch_children(kind, place)
            self._others[place] = self._watch_others(place)
        self._agents = [self._watch_agents(place) for place in self._places]
        self._failures = [
            self._watch_failures(place, fields)
            for place in self._places
            for fields in (FAILED_CREATES, FAILED_STARTS)
        ]

    def run(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run for as long as the operator does: one coroutine for each reflector.

        Each ends only by an error.
        """
        return [reflector.run() for reflector in (*self._reflectors(), *self._failures)]

    async def wait_until_synced(self) -> None:
        """Wait until everything that there is is known; not for Events, which only explain."""
        for reflector in self._reflectors():
            await reflector.synced.wait()

    async def read_sources(self) -> None:
        """Read the content of the ConfigMaps that agents name, with a list where there are many."""
        wanted = {key for key in self.store.sources() if not self.sources.is_known(key)}
        if len(wanted) <= MOST_READ_ONE_BY_ONE:
            # One that cannot be read fails the reconciliation that needs it.
            reads = (self.sources.digests(namespace, [name]) for namespace, name in wanted)
            await asyncio.gather(*reads, return_exceptions=True)
            return
        for place in self._places:
            if any(place in (None, namespace) for namespace, _ in wanted):
                await self._list_contents(place, wanted)

    def _reflectors(self) -> list[Reflector[Any]]:
        return [*self._agents, *self._labelled.values(), *self._others.values()]

    def _watch_agents(self, place: str | None) -> Reflector[AgentRecord]:
        return self._reflect(CHAT_AGENT, place, live_record, self.store.agent_changed)

    def _watch_failures(self, place: str | None, fields: str) -> Reflector[FailedStart]:
        return self._reflect(EVENT, place, failed_start, self.store.start_failed, fields=fields)

    def _watch_children(self, kind: Kind, place: str | None) -> Reflector[Labelled]:
        project = partial(labelled, kind.name)
        changed = self.store.child_changed
        if kind is CONFIG_MAP:
            changed = self._own_config_map_changed
        return self._reflect(
            kind, place, project, changed, labels=OURS, metadata_only=kind.is_metadata_only
        )

    def _watch_others(self, place: str | None) -> Reflector[Source]:
        return self._reflect(
            CONFIG_MAP, place, project_source, self._config_map_changed,
            labels=OTHERS, metadata_only=True,
        )  # fmt: skip

    def _reflect(
        self, kind: Kind, place: str | None, project: Any, changed: Any, **options: Any
    ) -> Reflector[Any]:
        is_foreign = options.get("labels") == OTHERS

        def listed(went_back: bool) -> None:
            if went_back and kind is CONFIG_MAP:
                self.sources.clear()
            if not is_foreign:
                self.store.listed(kind.name, place, went_back)

        return Reflector(
            self._connection, kind, project, changed,
            namespace=place, on_list=listed, timing=self._timing, **options,
        )  # fmt: skip

    def _own_config_map_changed(self, key: Key, old: Labelled | None, new: Labelled | None) -> None:
        self.store.child_changed(key, old, new)
        self._config_map_changed(key, old, new)

    def _config_map_changed(self, key: Key, old: Versioned | None, new: Versioned | None) -> None:
        if new is None:
            self.sources.forget(key)
        self.store.source_changed(key)

    def _find_source(self, key: Key) -> Versioned | None:
        """A ConfigMap, whoever made it."""
        place = self._place(key[0])
        return self._others[place].get(key) or self._labelled[CONFIG_MAP.name, place].get(key)

    def _position(self, kind: str, namespace: str) -> int | None:
        reflector = self._labelled.get((kind, self._place(namespace)))
        return reflector.position if reflector else None

    def _place(self, namespace: str) -> str | None:
        return None if self._places == (None,) else namespace

    async def _list_contents(self, place: str | None, wanted: set[Key]) -> None:
        """Read those that are wanted by one list, of which one object at a time is in memory."""

        def read(body: Body) -> Source | None:
            metadata = body["metadata"]
            key = metadata["namespace"], metadata["name"]
            if key in wanted:
                self.sources.remember(key, body)
            return None  # the digest is all that is kept

        reflector = Reflector(
            self._connection, CONFIG_MAP, read, lambda key, old, new: None,
            namespace=place, labels=OTHERS, timing=self._timing,
        )  # fmt: skip
        task = asyncio.create_task(reflector.run())
        try:
            await asyncio.wait(
                (task, waiter := asyncio.create_task(reflector.synced.wait())),
                return_when=asyncio.FIRST_COMPLETED,
            )
            waiter.cancel()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
