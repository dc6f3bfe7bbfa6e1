"""Writes the status of an agent and the Events about it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from chatagent_operator.api.conditions import ConditionType
from chatagent_operator.api.status import ChatAgentStatus, KnowledgeStatus
from chatagent_operator.core.names import Key
from chatagent_operator.core.reporting import report_refused
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import NotFoundError, RejectedError
from chatagent_operator.kube.store import AgentRecord, Store

STATUS_SECONDS = 3.0
"""Between two writes of a status of which only details differ: while its pods start, one after the
other changes them."""

_DETAILS = frozenset(
    {
        ConditionType.WORKLOADS_READY,
        ConditionType.VECTOR_STORE_READY,
        ConditionType.INDEX_READY,
        ConditionType.CACHE_READY,
        ConditionType.GATEWAY_READY,
        ConditionType.RECONCILING,
    }
)
"""Conditions of the parts of an agent. Those of the whole say what follows from them."""

_log = logging.getLogger(__name__)


class Reporter:
    """Writes what changed, and details not more often than every few seconds."""

    def __init__(
        self,
        store: Store,
        kube: Kube,
        operator: str | None,
        now: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            operator: namespace and name of this operator's Lease, which each status names.
        """
        self._store = store
        self._kube = kube
        self._now = now
        self._clock = clock
        self._operator = operator
        self._reported: dict[Key, float] = {}
        """When each agent's status was last written."""

    def forget(self, key: Key) -> None:
        """Forget an agent that was deleted."""
        self._reported.pop(key, None)

    async def report(
        self,
        key: Key,
        record: AgentRecord,
        previous: ChatAgentStatus,
        status: ChatAgentStatus,
        events: tuple[EventRecord, ...],
        *,
        at_once: bool = False,
    ) -> float | None:
        """Write the status if it changed, then the Events. One that is lost is not repeated.

        Returns the seconds after which it is to be written, where only details differ.

        Raises:
            RejectedError: the API server does not accept the status, as with the CRD of another
                version. The previous one says so.
        """
        status = status.model_copy(update={"operator": self._operator})
        if status != previous:
            since = self._clock() - self._reported.get(key, -STATUS_SECONDS)
            may_wait = since < STATUS_SECONDS and not events and not at_once
            if may_wait and _differ_in_details(previous, status):
                return STATUS_SECONDS - since
            try:
                await self._write(key, record, status)
            except NotFoundError:
                return None  # its children are deleted with it, and the watch reports it
            except RejectedError as error:
                _log.error("%s: the API server rejected its status: %s", key, error.message)
                refused = report_refused(previous, error.message, self._now())
                if refused != previous:
                    await self._write(key, record, refused)
                raise
        for event in events:
            _log.info("%s: %s: %s", key, event.reason, event.message)
            await self._kube.create_event(*key, record.uid, event)
        return None

    async def _write(self, key: Key, record: AgentRecord, status: ChatAgentStatus) -> None:
        content = status.model_dump(mode="json", by_alias=True)
        body = await self._kube.write_status(*key, content, record.uid, record.resource_version)
        self._store.wrote_agent(key, body)
        self._reported[key] = self._clock()


def _differ_in_details(previous: ChatAgentStatus, status: ChatAgentStatus) -> bool:
    """Nothing but how far the parts of the agent are differs: no decision, and no answer to whether
    it is ready or needs attention."""

    def reduce(status: ChatAgentStatus) -> ChatAgentStatus:
        conditions = tuple(
            condition.model_copy(update={"message": "", "last_transition_time": ""})
            for condition in status.conditions
            if condition.type not in _DETAILS
        )
        rollout = status.rollout.model_copy(update={"message": ""})
        details = {"knowledge": KnowledgeStatus(), "replicas": None}
        return status.model_copy(update={"conditions": conditions, "rollout": rollout, **details})

    return reduce(previous) == reduce(status)
