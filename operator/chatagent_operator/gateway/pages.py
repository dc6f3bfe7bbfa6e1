"""The sidecar's HTTP endpoints on port 8405: probes, metrics, and the applied state."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from prometheus_client import generate_latest

from chatagent_operator.gateway.reach import find_reachable
from chatagent_operator.gateway.runtime_socket import HAProxyError
from chatagent_operator.gateway.synchroniser import Synchroniser

_STUCK_SECONDS = 30.0


def build_pages(synchroniser: Synchroniser) -> web.Application:
    """Build the sidecar's four endpoints. They expose nothing about a conversation."""

    async def livez(_: web.Request) -> web.Response:
        # A restart helps if the loop hangs; it does not if HAProxy or the API is unavailable.
        stuck = time.monotonic() - synchroniser.reconciled_at > _STUCK_SECONDS
        return web.Response(text="stuck" if stuck else "ok", status=503 if stuck else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready = synchroniser.applied
        body = {"ready": ready, "message": synchroniser.message}
        return web.json_response(body, status=200 if ready else 503)

    async def applied(_: web.Request) -> web.Response:
        try:
            now, revisions = await asyncio.gather(
                synchroniser.socket.read_state(), find_reachable(synchroniser.intent)
            )
        except HAProxyError as error:
            return web.json_response({"generation": None, "message": str(error)}, status=503)
        extra = {"reached": revisions, "message": synchroniser.message}
        return web.json_response(now.to_json() | extra)

    async def metrics(_: web.Request) -> web.Response:
        text = generate_latest(synchroniser.measures.registry)
        return web.Response(body=text, content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/applied", applied),
            web.get("/metrics", metrics),
        ]
    )
    return application
