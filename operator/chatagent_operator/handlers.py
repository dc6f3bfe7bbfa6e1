"""kopf as the shell: it answers probes, handles signals, and starts and stops the operator.

What is watched is watched by our own reflectors (docs/adr/0010-own-reflector.md): a change only
marks an agent, and no agent is reconciled before everything that there is is known.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

import kopf

from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.core.names import Key
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import UnknownKindError
from chatagent_operator.kube.fence import Fence
from chatagent_operator.kube.rivals import Rivals
from chatagent_operator.kube.watches import Watches
from chatagent_operator.leadership import Leadership, make_election
from chatagent_operator.metrics import Metrics
from chatagent_operator.observe import Observer
from chatagent_operator.queue import KeyedQueue
from chatagent_operator.reconcile import Reconciler
from chatagent_operator.settings import Settings
from chatagent_operator.signals.analyst import Analyst
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.http_client import CONNECTIONS, Client
from chatagent_operator.signals.readiness import Readiness

_log = logging.getLogger(__name__)


class Shell:
    """What lives as long as the operator does: connections, watches, the queue.

    Attributes:
        failure: why the process had to end; None: it was asked to.
    """

    def __init__(self, settings: Settings, metrics: Metrics, stopped: asyncio.Event) -> None:
        """
        Args:
            settings: what the installation decides.
            metrics: what the operator reports of itself.
            stopped: kopf's stop flag, raised once another replica may lead, or a task died.
        """
        self.failure: BaseException | None = None
        self._settings = settings
        self._metrics = metrics
        self._stopped = stopped
        self._stopping: asyncio.Task[None] | None = None
        self._complete = asyncio.Event()
        """Set once everything that there is is known."""
        self._queue: KeyedQueue[Key] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Register every handler."""
        kopf.on.login(registry=registry)(_login)
        kopf.on.startup(registry=registry)(self.start)
        kopf.on.cleanup(registry=registry)(self.stop)

    async def start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """Configure kopf, connect, and begin to watch."""
        settings.posting.enabled = False  # Events are ours, one for each thing worth telling
        settings.scanning.disabled = True  # kopf watches nothing
        settings.networking.request_timeout = 30
        # A pool of connections for each signal: pods that hang must not make gateways lag.
        readiness, gateways, metrics = Client(), Client(), Client()
        prometheus = Client(connections_per_server=CONNECTIONS)
        self._clients = readiness, gateways, metrics, prometheus
        candidacy = self._settings.candidacy
        fence = Fence() if candidacy else None
        self._kube = await Kube.connect(fence=fence)
        self._watches = Watches(self._kube, self._settings.namespaces, self._mark, self._mark_soon)
        store = self._watches.store
        self._analyst = Analyst(
            metrics, prometheus, self._mark, self._token, registry=self._metrics.registry
        )
        observer = Observer(
            store,
            self._kube,
            Readiness(readiness),
            Gateways(gateways),
            self._analyst,
            self._settings.namespaces,
        )
        reconciler = Reconciler(
            store,
            self._watches.sources,
            self._kube,
            observer,
            self._analyst,
            self._settings.platform,
            self._metrics,
            Rivals(self._kube, candidacy.operator if candidacy else None),
        )
        self._queue = KeyedQueue(reconciler.reconcile, paused=True)
        self._metrics.export_agents(store.statuses)
        for watch in (*self._watches.run(), self._complete_view()):
            self._keep_running(watch)

        async def list_agents() -> list[Key]:
            observer.reset()  # another leader may have written meanwhile
            if election is None:
                return store.keys()
            agents = await self._kube.list_agents(self._settings.namespaces)
            for key, body in agents.items():
                store.wrote_agent(key, body)
            return list(agents)

        election = None
        if candidacy and fence:
            election = make_election(self._kube, candidacy, fence, self._settings.namespaces)
        self._leadership = Leadership(
            election, self._queue, self._analyst, list_agents, self._metrics
        )
        self._leadership.begin(self._complete, self._fail)
        # kopf would first cancel its own tasks, and the standby would wait for this replica
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._resign)

    def _resign(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._leadership.resign())
            self._stopping.add_done_callback(lambda _: self._stopped.set())

    async def stop(self, **_: Any) -> None:
        """Finish what is in progress and disconnect."""
        if self._queue:
            await self._leadership.resign()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._queue.close()
            await self._analyst.close()
            await self._kube.close()
            for client in self._clients:
                await client.close()

    async def _complete_view(self) -> None:
        await self._watches.wait_until_synced()
        await self._watches.read_sources()
        self._complete.set()
        await asyncio.Event().wait()

    def _keep_running(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what must not end: where it does, the process ends, to be started again."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self._fail(task.exception() or RuntimeError("a task of the operator ended"))

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        self._tasks.append(task)

    def _fail(self, error: BaseException) -> None:
        self.failure = error
        # What a person has to do is one sentence; only a fault of the operator has a traceback.
        known = isinstance(error, UnknownKindError)
        _log.critical("the operator ends: %s", error, exc_info=None if known else error)
        self._stopped.set()

    async def _token(self, key: Key, reference: SecretKeyRef) -> str | None:
        return await self._kube.secret(key[0], reference.name, reference.key)

    def _mark(self, key: Key) -> None:
        if self._queue:
            self._queue.mark(key)

    def _mark_soon(self, key: Key) -> None:
        if self._queue:
            self._queue.mark_soon(key)


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
