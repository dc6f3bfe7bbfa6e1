"""Pods are asked whether they are ready, and what they lack."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestServer

from chatagent_operator.core.names import ROLE_AGENT
from chatagent_operator.core.observed.facts import PodFacts
from chatagent_operator.core.observed.objects import Child, Observed
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.signals.http_client import Client
from chatagent_operator.signals.readiness import GOOD_SECONDS, Readiness

KEY = ("demo", "shop")
FOUND = {"shop-1": Trouble("IndexMissing", "")}
LOST: dict[str, object] = {
    "status": "ready",
    "degraded": ["retrieval"],
    "reasons": [{"reason": "IndexMissing"}],
}


def pods(is_ready: bool) -> Observed:
    facts = PodFacts(ready=is_ready, running=True, ip="127.0.0.1", trouble=None)
    child = Child("Pod", "shop-1", "u", ROLE_AGENT, "r", None, None, 1, facts)
    return Observed({("Pod", "shop-1"): child})


async def test_a_ready_pod_is_polled_seldom_unless_it_is_degraded() -> None:
    asked: list[str] = []
    answer: dict[str, object] = {"status": "ready"}
    now = 1000.0

    async def respond(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/readyz", respond)
    async with TestServer(app) as server, Client() as client:
        asking = Readiness(client, server.port or 0, lambda: now)

        async def ask(is_ready: bool = True) -> tuple[int, dict[str, Trouble]]:
            asked.clear()
            found = await asking.ask(KEY, pods(is_ready))
            return len(asked), dict(found)

        assert await ask(is_ready=False) == (1, {})
        assert await ask() == (0, {}), "it would not be ready if it lacked something"
        now += GOOD_SECONDS
        assert await ask() == (1, {})
        answer = LOST
        assert await ask() == (0, {}), "it lacked nothing a moment ago"
        assert await ask(is_ready=False) == (1, FOUND)
        assert await ask() == (0, {})
        now += GOOD_SECONDS
        assert await ask() == (1, FOUND)
        assert await ask() == (1, FOUND), "the end of it must not be missed"
        asking.forget(KEY)
        assert await ask() == (0, {})
