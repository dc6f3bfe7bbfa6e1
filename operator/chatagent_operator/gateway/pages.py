"""What the sidecar tells about itself on port 8405: probes, metrics, and what is in force."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from prometheus_client import generate_latest

from chatagent_operator.gateway.reach import reached
from chatagent_operator.gateway.runtime_socket import HAProxyError
from chatagent_operator.gateway.synchroniser import Synchroniser

_STUCK_SECONDS = 30.0


def build_pages(synchroniser: Synchroniser) -> web.Application:
    """The sidecar's four pages. They answer no question about a conversation."""

    async def livez(_: web.Request) -> web.Response:
        # A restart helps where the loop hangs; it does not help where HAProxy or the API is away.
        stuck = time.monotonic() - synchroniser.looked_at > _STUCK_SECONDS
        return web.Response(text="stuck" if stuck else "ok", status=503 if stuck else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready = synchroniser.applied
        told = {"ready": ready, "message": synchroniser.message}
        return web.json_response(told, status=200 if ready else 503)

    async def applied(_: web.Request) -> web.Response:
        try:
            now, revisions = await asyncio.gather(
                synchroniser.socket.in_force(), reached(synchroniser.intent)
            )
        except HAProxyError as error:
            return web.json_response({"generation": None, "message": str(error)}, status=503)
        told = {"reached": revisions, "message": synchroniser.message}
        return web.json_response(now.to_json() | told)

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
