"""Carries out the writes of a plan, wave by wave, and remembers what the API server returned."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby

from chatagent_operator.core.kinds import Wave
from chatagent_operator.core.names import Key
from chatagent_operator.core.writes import Apply, Create, Delete, Scale, Write
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError, NamespaceTerminatingError, RejectedError
from chatagent_operator.kube.store import Store
from chatagent_operator.metrics import Metrics

PASSWORD_BYTES = 24
MAX_WRITES = 24
"""Writes in progress at the same time. More of them only wait in the API server."""
MAX_WRITES_OF_NAMESPACE = 16
"""Of them, those of one namespace: a slow admission webhook there must not stop the others."""

_log = logging.getLogger(__name__)


@dataclass
class Result:
    """How the writes of one reconciliation went."""

    rejected: dict[str, str] = field(default_factory=dict[str, str])
    """What the API server answered for objects that it rejected, by kind and name."""

    failure: ApiError | None = None
    """The first other failure; the reconciliation is tried again."""


class Executor:
    """Writes to the API server."""

    def __init__(self, store: Store, kube: Kube, metrics: Metrics) -> None:
        self._store = store
        self._kube = kube
        self._metrics = metrics
        # Weights wait for weights only: an abort is not behind the objects of other agents.
        self._slots = {wave: asyncio.Semaphore(MAX_WRITES) for wave in (Wave.WEIGHTS, None)}
        self._shares: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_WRITES_OF_NAMESPACE)
        )

    def forget(self, key: Key) -> None:
        """Forget the namespace of an agent that was deleted, if it was the last one there."""
        agents = self._store.keys()
        if all(namespace != key[0] for namespace, _ in agents):
            self._shares.pop(key[0], None)

    async def execute(self, key: Key, writes: tuple[Write, ...]) -> Result:
        """Write the waves one after the other, each at once.

        One object that fails must not keep the weights from another: the others are written.

        Raises:
            ApiError: no write can succeed: the API server does not answer, or the namespace is
                being deleted.
        """
        result = Result()
        for _, wave in groupby(writes, key=lambda write: write.wave):
            wave = tuple(wave)
            outcomes = await asyncio.gather(
                *(self._try(key, write) for write in wave), return_exceptions=True
            )
            for write, error in zip(wave, outcomes, strict=True):
                if error:
                    self._record(key, write, error, result)
        return result

    async def delete(self, key: Key, deletions: tuple[Delete, ...]) -> None:
        """Delete what is no longer desired.

        Raises:
            ApiError: the first failure, after all were tried.
        """
        outcomes = await asyncio.gather(
            *(self._try(key, deletion) for deletion in deletions), return_exceptions=True
        )
        for error in outcomes:
            if error:
                raise error

    def _record(self, key: Key, write: Write, error: BaseException, result: Result) -> None:
        match error:
            case RejectedError():
                name = f"{write.kind} {write.name}"
                result.rejected[name] = error.message
                _log.warning("%s: the API server rejected %s: %s", key, name, error.message)
            case NamespaceTerminatingError():
                raise error
            case ApiError() if error.status:
                result.failure = result.failure or error
            case _:
                raise error

    async def _try(self, key: Key, write: Write) -> None:
        if write.wave is Wave.WEIGHTS:
            async with self._slots[Wave.WEIGHTS]:
                await self._write(key, write)
        else:
            async with self._shares[key[0]], self._slots[None]:
                await self._write(key, write)

    async def _write(self, key: Key, write: Write) -> None:
        namespace, _ = key
        self._metrics.count_write(write)
        match write:
            case Apply(desired, is_ours):
                body = await self._kube.apply(desired.render(), desired.digest, force=is_ours)
                self._store.wrote_child(key, body)
            case Create(_, _, render):
                manifest = render(secrets.token_urlsafe(PASSWORD_BYTES))
                if body := await self._kube.create(manifest):
                    self._store.wrote_child(key, body)
            case Scale(name, replicas):
                self._store.wrote_child(key, await self._kube.scale(namespace, name, replicas))
            case Delete(kind, name, uid):
                await self._kube.delete(kind, namespace, name, uid)
                self._store.deleted_child(key, kind, name)
