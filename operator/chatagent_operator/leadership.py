"""What a leader does and a standby does not: reconcile agents and measure their revisions.

A standby watches like the leader, so that its view of the cluster is complete when it takes over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from chatagent_operator.core.names import Key
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.election import Election
from chatagent_operator.kube.errors import ApiError
from chatagent_operator.kube.fence import Fence, read_clock
from chatagent_operator.kube.lease import Lease
from chatagent_operator.kube.rivals import annotate_namespaces
from chatagent_operator.metrics import Metrics
from chatagent_operator.queue import KeyedQueue
from chatagent_operator.settings import Candidacy

GRACE_SECONDS = 0.5
"""How long work in progress may continue when the operator is stopped, before it is cancelled.

Another replica does it again: what is cut off harms as little as a killed process does."""

LIST_RETRY_SECONDS = 1.0
"""Between two tries of a new leader to list the ChatAgents."""

_log = logging.getLogger(__name__)


class Measuring(Protocol):
    """Measures revisions in the background."""

    async def close(self) -> None:
        """End what is being measured."""
        ...


class Leadership:
    """Starts and stops the work of a leader."""

    def __init__(
        self,
        election: Election | None,
        queue: KeyedQueue[Key],
        measuring: Measuring,
        list_agents: Callable[[], Awaitable[Iterable[Key]]],
        metrics: Metrics,
    ) -> None:
        """
        Args:
            election: None: this is the only replica, and always the leader.
            queue: paused.
            measuring: stopped with the queue; reconciling starts it.
            list_agents: returns the agents that a new leader must reconcile, as they are now.
            metrics: reports whether this replica leads.
        """
        self._election = election
        self._queue = queue
        self._measuring = measuring
        self._list_agents = list_agents
        self._starting: asyncio.Task[None] | None = None
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._fail: Callable[[BaseException], object] = lambda error: None
        self._is_resigning = False

    def begin(self, complete: asyncio.Event, fail: Callable[[BaseException], object]) -> None:
        """Compete for the lead in the background.

        Args:
            complete: set once the view of the cluster is complete; nothing happens before.
            fail: called where an error of the operator's own ended that; the process must end.
        """

        self._fail = fail
        self._task = asyncio.create_task(self._run(complete))
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    async def resign(self) -> None:
        """Finish or cancel the work in progress, then let another replica lead. May be repeated."""
        self._is_resigning = True
        await self._stop(GRACE_SECONDS)  # still the leader: work in progress may write
        task, self._task = self._task, None
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if self._election:
                await self._election.release()

    async def _run(self, complete: asyncio.Event) -> None:
        await complete.wait()
        if self._election:
            await self._election.run(self._start, self._stop)
        else:
            _log.info("POD_NAMESPACE is not set: no leader is elected, run one replica only")
            self._start()

    def _start(self) -> None:
        if self._is_resigning:
            return
        self._metrics.set_leader(True)
        self._starting = asyncio.create_task(self._reconcile_all())
        self._starting.add_done_callback(self._end)

    async def _reconcile_all(self) -> None:
        """Start the queue with every agent: the previous leader may have died half-way, and the
        watches of this replica may be behind what it wrote."""
        while True:
            try:
                keys = await self._list_agents()
                break
            except ApiError as error:
                _log.warning("the ChatAgents cannot be listed, trying again: %s", error)
                await asyncio.sleep(LIST_RETRY_SECONDS)
        for key in keys:
            self._queue.mark(key)
        self._queue.start()

    async def _stop(self, grace: float = 0) -> None:
        self._metrics.set_leader(False)
        if self._starting:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        await self._queue.pause(grace)
        await self._measuring.close()


def make_election(
    kube: Kube, candidacy: Candidacy, fence: Fence, namespaces: Sequence[str] = ()
) -> Election:
    """Return the election that these settings describe."""
    watched = annotate_namespaces(namespaces)
    lease = Lease(kube, candidacy.namespace, candidacy.lease, read_clock, annotations=watched)
    return Election(lease, candidacy.operator, candidacy.identity, fence)
