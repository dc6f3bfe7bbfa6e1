"""Digests of the ConfigMaps that agents read documents and questions from.

Of other people's ConfigMaps only the metadata is watched. The content of one that an agent names
is read once for each of its versions, and only its digest is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from chatagent_operator.core.kinds import CONFIG_MAP
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import content_digest
from chatagent_operator.kube.errors import NotFoundError
from chatagent_operator.kube.reflector import Versioned

Read = Callable[[str, str], Awaitable[Mapping[str, Any]]]
"""`request(method, path)`: answers JSON."""

Version = tuple[str, int]
"""uid and resource version."""


class Sources:
    """Knows what is in ConfigMaps."""

    def __init__(self, find: Callable[[Key], Versioned | None], request: Read) -> None:
        """
        Args:
            find: a ConfigMap as a watch reports it; None: there is none.
            request: reads one from the API server.
        """
        self._find = find
        self._request = request
        self._digests: dict[Key, tuple[Version, str]] = {}
        self._reading: dict[tuple[Key, Version], asyncio.Task[str | None]] = {}

    async def digests(self, namespace: str, wanted: Iterable[str]) -> dict[str, str]:
        """Digests of the content of those ConfigMaps that exist, by name.

        Raises:
            ApiError: one cannot be read, so that nobody knows whether it changed.
        """
        names = sorted(set(wanted))
        found = await asyncio.gather(*(self._digest((namespace, name)) for name in names))
        return {name: digest for name, digest in zip(names, found, strict=True) if digest}

    def last_digests(self, namespace: str, wanted: Iterable[str]) -> dict[str, str]:
        """Return the digests as last read, without asking whether the content changed since."""
        keys = [(namespace, name) for name in wanted]
        return {key[1]: self._digests[key][1] for key in keys if key in self._digests}

    def remember(self, key: Key, body: Mapping[str, Any]) -> str:
        """Keep the digest of a ConfigMap that was read whole; returns it."""
        metadata = body["metadata"]
        digest = content_digest(body)
        self._digests[key] = (metadata["uid"], int(metadata["resourceVersion"])), digest
        return digest

    def forget(self, key: Key) -> None:
        """Forget a ConfigMap that is gone."""
        self._digests.pop(key, None)

    def clear(self) -> None:
        """Forget everything: the versions that are known do not count any more."""
        self._digests.clear()

    def is_known(self, key: Key) -> bool:
        """Whether nothing has to be read to know a ConfigMap's content."""
        seen = self._find(key)
        return seen is None or self._known(key, (seen.uid, seen.resource_version)) is not None

    async def _digest(self, key: Key) -> str | None:
        seen = self._find(key)
        if seen is None:
            return None
        version = seen.uid, seen.resource_version
        if known := self._known(key, version):
            return known
        task = self._reading.get((key, version))
        if task is None:  # one for all that ask
            task = asyncio.create_task(self._read(key))
            self._reading[key, version] = task
            task.add_done_callback(lambda task: self._finish(key, version, task))
        return await asyncio.shield(task)

    def _known(self, key: Key, version: Version) -> str | None:
        if key not in self._digests:
            return None
        (uid, newest), digest = self._digests[key]
        # What was read may be newer than what the watch has reported by now.
        return digest if uid == version[0] and newest >= version[1] else None

    async def _read(self, key: Key) -> str | None:
        try:
            body = await self._request("GET", CONFIG_MAP.path(*key))
        except NotFoundError:
            self.forget(key)
            return None
        return self.remember(key, body)

    def _finish(self, key: Key, version: Version, task: asyncio.Task[str | None]) -> None:
        del self._reading[key, version]
        if not task.cancelled():
            task.exception()  # those that asked have it, if they still wait
