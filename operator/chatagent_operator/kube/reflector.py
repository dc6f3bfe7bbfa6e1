"""A cache of one kind of object: one list, then a watch that continues from there.

Only projections are kept, a few hundred bytes for each object. The list is streamed where the
server can do that (Kubernetes 1.32), so that one object at a time is in memory, and one request is
both list and watch; else it comes in pages. After a list the cache equals it: what the list lacks
is reported as deleted, once the list is complete. The model is client-go's Reflector.

When it lists again: after 410 Gone, after a garbled answer, where the server's history went back
(an etcd restored from a backup), and once an hour, since a watch cannot show that an event is
missing from it.

A connection that died silently (half-open) is noticed by silence. Servers send a bookmark about
once a minute, so that a live watch is seldom silent for longer than `silence_seconds`; where they
do not, a watch of a quiet kind is opened again that often, which is cheap, since it continues from
the last version.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, Protocol, TypeVar
from urllib.parse import urlencode

from chatagent_operator.core.backoff import find_wait
from chatagent_operator.core.kinds import Kind
from chatagent_operator.core.names import Key
from chatagent_operator.kube.errors import ApiError, SilentError, UnknownKindError
from chatagent_operator.kube.events import Body, Event, GarbledError, parse_event, parse_page
from chatagent_operator.kube.paging import Requests, list_pages

_ACCEPT = "application/json"
_ACCEPT_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
_NO_STREAMS = {400, 403, 405, 422, 501}
"""How servers refuse a list as a stream, or its parameters."""
_SHORT_SECONDS = 5.0
"""A watch that ends sooner is tried again with back-off."""

_LONGEST_RETRY_AFTER = 60.0

_log = logging.getLogger(__name__)


class Versioned(Protocol):
    """A projection of an object."""

    @property
    def uid(self) -> str:
        """Of the object."""
        ...

    @property
    def resource_version(self) -> int:
        """Later versions of the same object have higher ones."""
        ...


class Transport(Requests, Protocol):
    """What a reflector needs of a connection to the API server."""

    def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        """One request; yields the lines of its answer as they come."""
        ...


@dataclass(frozen=True)
class Timing:
    """How long a reflector waits for what."""

    watch_seconds: tuple[int, int] = (240, 480)
    """The server is asked to end each watch after a random time between these."""

    silence_seconds: float = 70.0
    """A connection that was silent for so long counts as dead."""

    relist_seconds: float = 3600.0
    first_pause: float = 0.25
    last_pause: float = 20.0
    """Back-off after the first failure, and at most."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic


T = TypeVar("T", bound=Versioned)


@dataclass(slots=True)
class _Listing(Generic[T]):
    """A list that is not complete yet."""

    objects: dict[Key, T] = field(default_factory=dict[Key, T])
    position: int = 0


class Reflector(Mapping[Key, T]):
    """The projections of all objects of one kind that a selector selects, by namespace and name.

    Attributes:
        synced: is set once the first list is complete.
        position: resource version up to which everything has been seen; -1 before the first list.
    """

    def __init__(
        self,
        transport: Transport,
        kind: Kind,
        project: Callable[[Body], T | None],
        on_change: Callable[[Key, T | None, T | None], object],
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        on_list: Callable[[bool], object] = lambda went_back: None,
        on_failure: Callable[[], object] = lambda: None,
        timing: Timing | None = None,
    ) -> None:
        """
        Args:
            project: what is kept of an object; None: nothing, as if it were not there.
            on_change: is called with the key, the old and the new projection; None: there is none.
                An object that was deleted and recreated under its name is two changes.
            namespace: None: all of them.
            labels, fields: selectors; empty: everything.
            metadata_only: ask for the objects' metadata without what is in them.
            on_list: is called after each complete list, with whether versions went back.
            on_failure: is called for each request that failed.
        """
        self.synced = asyncio.Event()
        self.position = -1
        self.name = f"{kind.plural} in {namespace}" if namespace else kind.plural
        self._plural = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        self._transport = transport
        self._project = project
        self._on_change = on_change
        self._on_list = on_list
        self._on_failure = on_failure
        self._timing = timing or Timing()
        self._path = kind.path(namespace)
        self._selectors = {"labelSelector": labels} if labels else {}
        self._selectors |= {"fieldSelector": fields} if fields else {}
        self._accept = _ACCEPT_METADATA.format("") if metadata_only else _ACCEPT
        self._accept_list = _ACCEPT_METADATA.format("List") if metadata_only else _ACCEPT
        self._objects: dict[Key, T] = {}
        self._must_list = True
        self._listed_at = 0.0
        self._has_streams = True
        self._failures = 0
        self._logged: set[int] = set()

    def __getitem__(self, key: Key) -> T:
        return self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> NoReturn:
        """List and watch until cancelled.

        Raises:
            UnknownKindError: the server did not know the kind when it was listed first.
        """
        while True:
            try:
                await self._follow()
            except ApiError as error:
                if error.status == 404 and not self.synced.is_set():
                    raise UnknownKindError(
                        f"the API server has no {self._plural}; install the "
                        "CustomResourceDefinition, then start this again"
                    ) from error
                await self._timing.sleep(self._fail(error))

    async def _follow(self) -> None:
        """One list where it is needed, and one watch."""
        if self._timing.clock() - self._listed_at > self._timing.relist_seconds:
            self._must_list = True
        if self._failures and not self._must_list:
            await self._check_history()
        if not self._must_list:
            await self._watch(None)
        elif self._has_streams:
            try:
                await self._watch(_Listing())
            except ApiError as error:
                if not self._must_list:
                    raise  # the list is complete, it is the watch that failed
                if error.status not in _NO_STREAMS and not isinstance(error, SilentError):
                    raise
                _log.debug("%s are listed in pages from now on: %s", self.name, error)
                self._has_streams = False
        else:
            await self._list()

    async def _list(self) -> None:
        """List in pages."""
        listing: _Listing[T] = _Listing()
        version = 0
        pages = list_pages(self._transport, self._path, self._selectors, self._accept_list)
        async for items, latest in pages:
            version = latest
            for item in items:
                self._collect(listing, item)
        self._replace(listing.objects, version)

    async def _watch(self, listing: _Listing[T] | None) -> None:
        """Watch until the server ends it, from the last version or from the beginning."""
        timing = self._timing
        seconds = random.randint(*timing.watch_seconds)  # noqa: S311
        query = self._selectors | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        if listing is None:
            query["resourceVersion"] = str(self.position)
        else:  # with no version it is consistent: as if it were read from etcd
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        path = f"{self._path}?{urlencode(query)}"
        headers = {"Accept": self._accept}
        began = timing.clock()
        lines = self._transport.lines("GET", path, None, headers, timing.silence_seconds)
        try:
            async with aclosing(lines):
                async for line in lines:
                    event = parse_event(line)
                    if listing is None:
                        self._recover()
                        self._receive(event)
                    elif event.ends_list:
                        self._replace(listing.objects, event.resource_version)
                        listing = None
                    else:
                        self._collect(listing, event)
        except SilentError:
            if listing:
                raise
        else:
            if listing or timing.clock() - began < min(_SHORT_SECONDS, seconds - 1):
                raise ApiError(0, f"GET {path}: ended before its time")
        self._recover()

    async def _check_history(self) -> None:
        """After an outage, find out whether the server's history went back: then list again.

        A watch would wait in silence for versions that are yet to come.
        """
        path = f"{self._path}?{urlencode(self._selectors | {'limit': '1'})}"
        page = await self._transport.request("GET", path, accept=self._accept_list)
        _, version, _ = parse_page(page)
        self._must_list = version < self.position

    def _collect(self, listing: _Listing[T], event: Event) -> None:
        """Take up an event before the list is complete: from a cache that is catching up, changes
        may follow what was there."""
        known = listing.objects.get(event.key)
        if event.type == "BOOKMARK" or not _is_news(event, known, listing.position):
            return
        if event.type != "ADDED":
            listing.position = max(listing.position, event.resource_version)
        new = None if event.type == "DELETED" else self._project(event.body)
        if new is None:
            listing.objects.pop(event.key, None)
        else:
            listing.objects[event.key] = new

    def _replace(self, objects: Mapping[Key, T], version: int) -> None:
        """Make the cache equal to a complete list."""
        went_back, self.position = version < self.position, version
        self._must_list, self._listed_at = False, self._timing.clock()
        self._recover()
        for key in self._objects.keys() - objects.keys():
            self._update(key, None)
        for key, new in objects.items():
            self._update(key, new)
        self._on_list(went_back)
        self.synced.set()

    def _receive(self, event: Event) -> None:
        """Take up an event of a watch."""
        known = self._objects.get(event.key)
        is_news = _is_news(event, known, self.position)
        self.position = max(self.position, event.resource_version)
        if is_news and event.type != "BOOKMARK":
            self._update(event.key, None if event.type == "DELETED" else self._project(event.body))

    def _update(self, key: Key, new: T | None) -> None:
        old = self._objects.get(key)
        if old and (new is None or new.uid != old.uid):
            del self._objects[key]
            self._on_change(key, old, None)
            old = None
        if new and new != old:
            self._objects[key] = new
            self._on_change(key, old, new)

    def _fail(self, error: ApiError) -> float:
        """Count a failure, log the first of its kind in an outage. Returns seconds to wait."""
        self._failures += 1
        self._on_failure()
        if error.status == 410 or isinstance(error, GarbledError):
            self._must_list = True
        if error.status not in self._logged:
            self._logged.add(error.status)
            level = logging.INFO if error.status == 410 else logging.WARNING
            _log.log(level, "%s cannot be watched, trying again: %s", self.name, error)
        timing = self._timing
        pause = find_wait(self._failures, timing.first_pause, timing.last_pause)
        asked = min(error.retry_after, _LONGEST_RETRY_AFTER)
        return max(asked, pause * random.uniform(0.5, 1.0))  # noqa: S311

    def _recover(self) -> None:
        if self._failures > 1:
            _log.info("%s are watched again, after %d failures", self.name, self._failures)
        self._failures = 0
        self._logged.clear()


def _is_news(event: Event, known: Versioned | None, position: int) -> bool:
    """Whether an event is newer than what is known of its object, or of all objects."""
    since = known.resource_version if known else position
    is_deletion = event.type == "DELETED"  # old servers send the last version that there was
    return event.resource_version > since or (is_deletion and event.resource_version == since)
