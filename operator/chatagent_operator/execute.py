"""Carries out the writes of a plan, wave by wave, and remembers what the API server returned."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from chatagent_operator.core import names
from chatagent_operator.core.agent import Manifest
from chatagent_operator.core.kinds import Wave
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.refusals import Refusal
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.ownership import build_claim, find_obstacle, find_references
from chatagent_operator.core.writes import Apply, Create, Delete, Scale, Write
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import (
    CONFLICT,
    ApiError,
    NamespaceTerminatingError,
    NotLeaderError,
    RejectedError,
    StaleError,
)
from chatagent_operator.kube.store import Identity, Store
from chatagent_operator.metrics import Metrics
from chatagent_operator.reverts import Reverts

PASSWORD_BYTES = 24
MAX_WRITES = 24
"""Writes in progress at the same time. More of them only wait in the API server."""
MAX_WRITES_OF_NAMESPACE = 16
"""Of them, those of one namespace: a slow admission webhook there must not stop the others."""

REJECTED_RETRY_SECONDS = 30.0
"""When an object that the API server rejected is tried again: a quota may have grown."""
TERMINATING_RETRY_SECONDS = 2.0
"""The same of one whose predecessor is being deleted."""
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 60.0
"""The same after other failures, with exponential back-off."""
MESSAGE_CHARACTERS = 1024
"""Most that is quoted of what the API server answered."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failed:
    """A write that failed."""

    write: str
    """What was to be written: another write of the same object is tried at once."""

    found: tuple[str, str | None] | None
    """UID and owner of the object then: once it is deleted, recreated or given up, the write is
    tried at once."""

    attempts: int
    due: float
    refusal: Refusal


class Executor:
    """Writes to the API server."""

    def __init__(
        self,
        store: Store,
        kube: Kube,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._kube = kube
        self._metrics = metrics
        self._clock = clock
        # Weights wait for weights only: an abort is not behind the objects of other agents.
        self._slots = {wave: asyncio.Semaphore(MAX_WRITES) for wave in (Wave.WEIGHTS, None)}
        self._shares: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_WRITES_OF_NAMESPACE)
        )
        self._reverts = Reverts(clock)
        self._failed: defaultdict[Key, dict[Identity, _Failed]] = defaultdict(dict)

    def forget(self, key: Key) -> None:
        """Forget an agent that was deleted, and its namespace if it was the last one there."""
        agents = self._store.keys()
        if all(namespace != key[0] for namespace, _ in agents):
            self._shares.pop(key[0], None)
        self._failed.pop(key, None)
        self._reverts.forget(key)

    def keep(self, key: Key, writes: Sequence[Write]) -> None:
        """Forget failures of writes other than these: they are not desired any more."""
        kept = {(write.kind, write.name) for write in writes}
        failed = self._failed.pop(key, {})
        if left := {identity: each for identity, each in failed.items() if identity in kept}:
            self._failed[key] = left

    def refusals(self, key: Key) -> dict[Identity, Refusal]:
        """Return the writes that failed and have not succeeded since, and those that another client
        undoes again and again."""
        failed = {identity: each.refusal for identity, each in self._failed.get(key, {}).items()}
        return self._reverts.refusals(key) | failed

    def retry_after(self, key: Key) -> float | None:
        """Return the seconds until the first of them is tried again."""
        now = self._clock()
        waits = [max(each.due - now, 0.0) for each in self._failed.get(key, {}).values()]
        held = self._reverts.retry_after(key)
        return min(waits if held is None else [*waits, held], default=None)

    async def execute(self, key: Key, writes: Sequence[Write]) -> None:
        """Write the waves one after the other, each at once.

        One object that fails must not keep the weights from another: the others are written,
        except pods that would use an object whose name is taken.

        Raises:
            ApiError: no write can succeed: the API server does not answer, or the namespace is
                being deleted.
        """
        for _, wave in groupby(writes, key=lambda write: write.wave):
            taken = {
                identity
                for identity, refusal in self.refusals(key).items()
                if refusal.reason == "NameTaken"
            }
            outcomes = await asyncio.gather(
                *(self._try(key, write) for write in wave if not _uses(write, taken)),
                return_exceptions=True,
            )
            for error in outcomes:
                if error:
                    raise error

    async def _try(self, key: Key, write: Write) -> None:
        if self._is_held(key, write):
            return
        if write.wave is Wave.WEIGHTS:
            async with self._slots[Wave.WEIGHTS]:
                await self._attempt(key, write)
        else:
            async with self._shares[key[0]], self._slots[None]:
                await self._attempt(key, write)

    def _is_held(self, key: Key, write: Write) -> bool:
        """Whether the same write has failed, or was undone too often, and has to wait."""
        if not isinstance(write, Delete) and self._reverts.is_held(
            key, (write.kind, write.name), _describe(write)
        ):
            return True
        failed = self._failed.get(key, {}).get((write.kind, write.name))
        return (
            failed is not None
            and failed.due > self._clock()
            and failed.write == _describe(write)
            and failed.found == self._find(key, write)
        )

    def _find(self, key: Key, write: Write) -> tuple[str, str | None] | None:
        child = self._store.observed(key).get(write.kind, write.name)
        return (child.uid, child.owner) if child else None

    async def _attempt(self, key: Key, write: Write) -> None:
        identity = write.kind, write.name
        try:
            obstacle = await self._write(key, write)
        except (NamespaceTerminatingError, NotLeaderError, StaleError):
            raise
        except ApiError as error:
            self._record(key, write, error)
            if not error.status:
                raise
        else:
            if obstacle:
                self._record(key, write, obstacle)
                return
            if key in self._failed:
                self._failed[key].pop(identity, None)
            if not isinstance(write, Delete):
                self._reverts.wrote(key, identity, _describe(write))

    def _record(self, key: Key, write: Write, problem: ApiError | Trouble) -> None:
        """Remember why a write failed, and when it is tried again."""
        identity = write.kind, write.name
        previous = self._failed[key].get(identity)
        attempts = previous.attempts + 1 if previous else 1
        wait = min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 10), LAST_RETRY_SECONDS)
        role, revision = _find_role(write)
        what = f"{write.kind} {write.name}"
        verb = "the deletion of " if isinstance(write, Delete) else ""
        match problem:
            case Trouble("Terminating"):
                wait = TERMINATING_RETRY_SECONDS
                refusal = Refusal("Terminating", problem.message, role, revision, True)
            case Trouble():
                wait = REJECTED_RETRY_SECONDS
                refusal = Refusal(problem.reason, problem.message, role, revision)
            case RejectedError():
                wait = REJECTED_RETRY_SECONDS
                message = f"the API server rejected {verb}{what}: {problem.message}"
                refusal = Refusal("Rejected", message, role, revision)
            case ApiError():
                wait = max(wait, problem.retry_after)
                act = "deleted" if verb else "written"
                message = f"{what} cannot be {act}, and is tried again: {problem}"
                refusal = Refusal("WriteFailed", message, role, revision, True)
        refusal = _cut(refusal)
        found, due = self._find(key, write), self._clock() + wait
        self._failed[key][identity] = _Failed(_describe(write), found, attempts, due, refusal)
        is_new = previous is None or previous.refusal != refusal
        level = logging.WARNING if is_new else logging.DEBUG
        _log.log(level, "%s: attempt %d, next in %.1f s: %s", key, attempts, wait, refusal.message)

    async def _write(self, key: Key, write: Write) -> Trouble | None:
        """Write. Returns why not, where an object of that name is in the way."""
        namespace, _ = key
        self._metrics.count_write(write)
        match write:
            case Apply(desired, is_ours):
                manifest = desired.render()
                if not is_ours:
                    return await self._create(key, manifest, desired.digest)
                body = await self._kube.apply(manifest, desired.digest)
                self._store.wrote_child(key, body, is_as_desired=True)
            case Create(_, _, render):
                return await self._create(key, render(secrets.token_urlsafe(PASSWORD_BYTES)), None)
            case Scale(name, replicas):
                self._store.wrote_child(key, await self._kube.scale(namespace, name, replicas))
            case Delete(kind, name, uid):
                await self._kube.delete(kind, namespace, name, uid)
                self._store.deleted_child(key, kind, name)
        return None

    async def _create(self, key: Key, manifest: Manifest, digest: str | None) -> Trouble | None:
        """Create an object. One that exists is adopted if it is the agent's; the next
        reconciliation applies what else is desired of it."""
        kind, desired = manifest["kind"], manifest["metadata"]
        place = kind, key[0], desired["name"]
        body = await self._kube.create(manifest, digest)
        is_new = body is not None
        if body is None:
            found = await self._kube.find_metadata(*place)
            if found is None:
                return Trouble("Terminating", f"{kind} {desired['name']} was deleted just now")
            if obstacle := find_obstacle(kind, desired, found):
                return obstacle
            claim = build_claim(desired, found)
            if claim is None:
                return None  # what is known of it is late
            await self._check_owner(key, desired)
            body = await self._kube.patch_metadata(*place, claim)
        self._store.wrote_child(key, body, is_as_desired=is_new)
        return None

    async def _check_owner(self, key: Key, desired: Mapping[str, Any]) -> None:
        """Check that the agent is not being deleted: it may be why an object has lost its owner.
        Once adopted, it would be deleted with the agent.

        Raises:
            StaleError: it is, or was.
        """
        (owner,) = desired["ownerReferences"]
        agent = await self._kube.find_metadata(owner["kind"], *key)
        if not agent or agent["uid"] != owner["uid"] or agent.get("deletionTimestamp"):
            raise StaleError(CONFLICT, f"{owner['kind']} {key[1]} is being deleted")


def _uses(write: Write, taken: set[Identity]) -> bool:
    """Whether the pods of a write would use one of these objects."""
    if not taken or not isinstance(write, Apply):
        return False
    return not taken.isdisjoint(find_references(write.desired.render()))


def _describe(write: Write) -> str:
    match write:
        case Apply(desired, is_ours):
            return f"apply {desired.digest} {is_ours}"
        case Scale(_, replicas):
            return f"scale {replicas}"
        case _:
            return type(write).__name__


def _find_role(write: Write) -> tuple[str, str | None]:
    match write:
        case Apply(desired):
            labels = desired.render()["metadata"]["labels"]
        case Create(_, _, render):
            labels = render("")["metadata"]["labels"]
        case Scale():
            return names.ROLE_AGENT, None
        case Delete():
            return "", None
    return labels[names.ROLE_LABEL], labels.get(names.REVISION_LABEL)


def _cut(refusal: Refusal) -> Refusal:
    message = refusal.message
    if len(message) <= MESSAGE_CHARACTERS:
        return refusal
    return replace(refusal, message=message[: MESSAGE_CHARACTERS - 1] + "…")
