"""GET /livez, /readyz and /metrics.

The operator reads `reason` and `message` of a /readyz that is 503, and of one that is 200 the
`reasons` why parts of the agent are `degraded`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from agent_runtime.domain import IndexInfo
from agent_runtime.errors import AgentError
from agent_runtime.telemetry import Telemetry


class Health:
    """Whether this process should get requests."""

    def __init__(
        self,
        ready: Callable[[], IndexInfo | None],
        revision: str,
        degraded: Callable[[], Mapping[str, tuple[str, str]]] = dict,
    ) -> None:
        """
        Args:
            ready: returns the index in use, None for an agent without one; or raises the AgentError
                that keeps it from serving.
            revision: which one this is.
            degraded: returns the parts that it does without while it serves, each with reason and
                message.
        """
        self._ready = ready
        self._revision = revision
        self._degraded = degraded
        self._draining = False

    def drain(self) -> None:
        """From now on the process only finishes what it began."""
        self._draining = True

    def readiness(self) -> tuple[int, dict[str, object]]:
        """Return the status code and body of /readyz."""
        if self._draining:
            return _unready("Draining", "the runtime is stopping")
        try:
            info = self._ready()
        except AgentError as error:
            return _unready(error.reason, str(error))
        index: dict[str, object] = {}
        if info is not None:
            index = {
                "collection": info.collection,
                "documents": info.documents,
                "indexVersion": info.version,
            }
        degraded = self._degraded()
        reasons = [
            {"part": part, "reason": reason, "message": message}
            for part, (reason, message) in degraded.items()
        ]
        told = {"degraded": [*degraded], "reasons": reasons}
        return 200, {"ready": True, "revision": self._revision, **index, **told}


def _unready(reason: str, message: str) -> tuple[int, dict[str, object]]:
    return 503, {"ready": False, "reason": reason, "message": message}


def health_routes(health: Health, telemetry: Telemetry, router: APIRouter) -> None:
    """Add the routes for the kubelet, the operator and Prometheus."""

    async def livez() -> Response:
        return PlainTextResponse("ok")

    async def readyz() -> Response:
        code, body = health.readiness()
        return JSONResponse(body, code)

    async def metrics() -> Response:
        return Response(telemetry.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    for path, handler, summary in (
        ("/livez", livez, "Whether the process is alive"),
        ("/readyz", readyz, "Whether it should get requests; reason and message say why not"),
        ("/metrics", metrics, "Metrics for Prometheus"),
    ):
        router.add_api_route(
            path, handler, tags=["Health"], summary=summary, include_in_schema=False
        )
