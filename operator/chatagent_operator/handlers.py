"""kopf as the shell: it logs in, watches and shuts down. Its handlers only mark agents as dirty.

Indices hold small projections of everything watched; they are full before the first handler runs,
so that no decision is made on half a picture.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import aiohttp
import kopf

from chatagent_operator.api.group import GROUP, KIND, PLURAL, VERSION
from chatagent_operator.api.pods import SecretKeyRef
from chatagent_operator.core import kinds, names
from chatagent_operator.core.names import Key
from chatagent_operator.core.observed.objects import Child, project
from chatagent_operator.kube.audit import Audit
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.fence import Fence
from chatagent_operator.kube.store import AgentRecord, Index, Source, Store, record, source
from chatagent_operator.leadership import Leadership, make_election
from chatagent_operator.metrics import Metrics
from chatagent_operator.observe import Observer
from chatagent_operator.queue import KeyedQueue
from chatagent_operator.reconcile import Reconciler
from chatagent_operator.settings import Settings
from chatagent_operator.signals.analyst import Analyst
from chatagent_operator.signals.gateway import Gateways
from chatagent_operator.signals.readiness import Readiness

CHILDREN = {kind.name: (kind.group, kind.version, kind.plural) for kind in kinds.CHILDREN}
_AGENTS = "agents"
_SOURCES = "sources"


class Shell:
    """What lives as long as the operator does: connections, the queue, the view of the cluster."""

    def __init__(self, settings: Settings, metrics: Metrics, stopped: asyncio.Event) -> None:
        """
        Args:
            settings: what the installation decides.
            metrics: what the operator tells of itself.
            stopped: kopf's stop flag, raised once another replica may lead.
        """
        self._settings = settings
        self._metrics = metrics
        self._stopped = stopped
        self._stopping: asyncio.Task[None] | None = None
        self._complete = asyncio.Event()
        """kopf runs no handler before its indices are full."""
        self._queue: KeyedQueue[Key] | None = None
        self._store: Store | None = None

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Register every handler."""
        kopf.on.login(registry=registry)(_login)
        kopf.on.startup(registry=registry)(self.start)
        kopf.on.cleanup(registry=registry)(self.stop)
        agents = (GROUP, VERSION, PLURAL)
        kopf.index(*agents, id=_AGENTS, registry=registry)(_index_agent)
        kopf.on.event(*agents, registry=registry)(self.agent_changed)
        kopf.index("", "v1", "configmaps", id=_SOURCES, registry=registry)(_index_source)
        kopf.on.event("", "v1", "configmaps", id="source", registry=registry)(self.source_changed)
        for kind, resource in CHILDREN.items():
            selection: dict[str, Any] = {
                "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY},
                "registry": registry,
            }
            kopf.index(*resource, id=kind, **selection)(_index_child(kind))
            kopf.on.event(*resource, id=f"child-{kind}", **selection)(self._child_changed(kind))

    async def start(self, settings: kopf.OperatorSettings, **kwargs: Any) -> None:
        """Configure kopf and connect."""
        settings.posting.enabled = False  # Events are ours, one for each thing worth telling
        settings.scanning.disabled = True  # the CRD is there before the operator is
        settings.watching.inactivity_timeout = 75
        settings.networking.request_timeout = 30
        self._session = aiohttp.ClientSession()
        candidacy = self._settings.candidacy
        fence = Fence() if candidacy else None
        self._kube = await Kube.connect(fence=fence)
        # kopf looks for the kind once and never again: better to end and be started again
        await self._kube.require_crd(next(iter(self._settings.namespaces), None))
        children: dict[str, Index] = {kind: kwargs[kind] for kind in CHILDREN}
        self._store = Store(kwargs[_AGENTS], kwargs[_SOURCES], children)
        self._analyst = Analyst(
            self._session, self._mark, self._token, registry=self._metrics.registry
        )
        reconciler = Reconciler(
            self._store,
            self._kube,
            Observer(
                self._store,
                self._kube,
                Readiness(self._session),
                Gateways(self._session),
                self._analyst,
            ),
            self._analyst,
            self._settings.platform,
            self._metrics,
        )
        self._queue = KeyedQueue(reconciler.reconcile, paused=True)
        audit = Audit(
            self._kube, self._store, (KIND, *CHILDREN), self._settings.namespaces, self._mark
        )
        self._auditing = asyncio.create_task(audit.run())
        election = make_election(self._kube, candidacy, fence) if candidacy and fence else None
        self._leadership = Leadership(
            election, self._queue, self._analyst, self._store.keys, self._metrics
        )
        self._leadership.begin(self._complete, self._stopped.set)
        # kopf would first wait for its watches to end, and the standby for this replica
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._resign)

    def _resign(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._leadership.resign())
            self._stopping.add_done_callback(lambda _: self._stopped.set())

    async def stop(self, **_: Any) -> None:
        """Finish what is under way and disconnect."""
        if self._queue:
            await self._leadership.resign()
            self._auditing.cancel()
            await asyncio.gather(self._auditing, return_exceptions=True)
            await self._queue.close()
            await self._analyst.close()
            await self._kube.close()
            await self._session.close()

    async def agent_changed(self, namespace: str | None, name: str, **_: Any) -> None:
        """A ChatAgent is new, changed or gone."""
        self._complete.set()
        self._mark((namespace or "", name))

    async def source_changed(self, namespace: str | None, name: str, **_: Any) -> None:
        """A ConfigMap changed: somebody may read documents or questions from it."""
        self._complete.set()
        for key in self._store.readers(namespace or "", name) if self._store else ():
            self._mark(key)

    def _child_changed(self, kind: str) -> Any:
        async def changed(
            event: kopf.RawEvent, namespace: str | None, name: str, labels: kopf.Labels, **_: Any
        ) -> None:
            self._complete.set()
            if agent := labels.get(names.AGENT_LABEL):
                key = (namespace or "", agent)
                if event["type"] == "DELETED" and self._store:
                    self._store.deleted_child(key, kind, name)
                self._mark(key)

        return changed

    async def _token(self, key: Key, reference: SecretKeyRef) -> str | None:
        return await self._kube.secret(key[0], reference.name, reference.key)

    def _mark(self, key: Key) -> None:
        if self._queue:
            self._queue.mark(key)


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _index_agent(
    namespace: str | None, name: str, body: kopf.Body, **_: Any
) -> dict[Key, AgentRecord]:
    return {(namespace or "", name): record(body)}


def _index_source(namespace: str | None, body: kopf.Body, **_: Any) -> dict[str, Source]:
    return {namespace or "": source(body)}


def _index_child(kind: str) -> Any:
    def index(
        namespace: str | None, body: kopf.Body, labels: kopf.Labels, **_: Any
    ) -> dict[Key, Child]:
        child = project(kind, body)
        # an empty mapping takes the object out of the index; None would leave its old state there
        if child is None:
            return {}
        return {(namespace or "", labels[names.AGENT_LABEL]): child}

    return index
