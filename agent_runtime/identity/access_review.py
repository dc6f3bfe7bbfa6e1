"""The Kubernetes API server decides who may use a tool. No answer means no."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from agent_runtime.domain import Principal
from agent_runtime.errors import IdentityUnavailableError
from agent_runtime.identity.api_server import ApiServer
from agent_runtime.identity.remembered import Remembered

log = logging.getLogger(__name__)

ALLOWED_SECONDS = 10.0
DENIED_SECONDS = 5.0
NO_ANSWER_SECONDS = 1.0
GROUP = "authorization.k8s.io"
UNAUTHENTICATED = "system:unauthenticated"


class AccessReviewAuthorizer:
    """Both the caller and the agent's own ServiceAccount must have the verb `invoke`."""

    def __init__(
        self,
        server: ApiServer,
        namespace: str,
        agent: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._agent = agent
        self._reviews: Remembered[bool | None] = Remembered(_seconds, clock)

    async def allowed(self, caller: Principal, tool: str) -> bool:
        answers = await asyncio.gather(self._caller(caller, tool), self._self(tool))
        return all(answer is True for answer in answers)

    async def _caller(self, caller: Principal, tool: str) -> bool | None:
        groups = (UNAUTHENTICATED,) if caller.anonymous else caller.groups
        key = repr(("user", caller.user, groups, tool)).encode("utf-8", "surrogatepass")
        spec: dict[str, object] = {"user": caller.user, "groups": list(groups)}
        return await self._reviews.get(key, lambda: self._ask("subjectaccessreviews", spec, tool))

    async def _self(self, tool: str) -> bool | None:
        key = repr(("self", tool)).encode("utf-8", "surrogatepass")
        return await self._reviews.get(key, lambda: self._ask("selfsubjectaccessreviews", {}, tool))

    async def _ask(self, resource: str, spec: dict[str, object], tool: str) -> bool | None:
        """Return the decision, or None where there is none."""
        attributes = {
            "namespace": self._namespace,
            "verb": "invoke",
            "group": "chatagent.dev",
            "resource": "tools",
            "name": f"{self._agent}.{tool}",
        }
        try:
            status = await self._server.review(
                GROUP, resource, {**spec, "resourceAttributes": attributes}
            )
        except IdentityUnavailableError as error:
            log.warning("tool %s is denied, since there is no answer: %s", tool, error)
            return None
        return status.get("allowed") is True and status.get("denied") is not True


def _seconds(answer: bool | None) -> float:
    if answer is None:
        return NO_ANSWER_SECONDS
    return ALLOWED_SECONDS if answer else DENIED_SECONDS
