"""What pods of ChatAgents answer over HTTP, for pods that are kwok's and run nothing.

`python -m bench.operator_scale.standin CREDENTIALS` is a process of its own. A gateway's sidecar
says that the newest routes are in force, as soon as it has seen them, and that it reaches every
revision in them; an agent's pod says that it is ready and has answered nothing yet. Which pod is
asked is known by the address that the question came to.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web

from bench.operator_scale.client import Client, Object
from bench.operator_scale.cluster import NAMESPACE

GATEWAY_PORT, AGENT_PORT = 8405, 8080
AGENT, ROLE, REVISION = (f"chatagent.dev/{name}" for name in ("agent", "role", "revision"))
METRICS = """\
process_start_time_seconds{{revision="{revision}"}} 1
agent_requests_total{{revision="{revision}",code="200"}} 0
"""


class Pods:
    """Which pod has which address, and the routes of each agent."""

    def __init__(self) -> None:
        self._pods: dict[str, tuple[str, dict[str, str]]] = {}
        self._addresses: dict[str, str] = {}
        self._routes: dict[str, Object] = {}

    async def watch_pods(self, client: Client) -> None:
        """Follow the pods of gateways and agents."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        async for kind, pod in client.watch(path, f"{ROLE} in (agent,gateway)"):
            name = pod["metadata"]["name"]
            if kind == "DELETED":
                address = self._addresses.pop(name, "")
                if self._pods.get(address, ("", {}))[0] == name:  # it may be another pod's by now
                    del self._pods[address]
            elif address := pod["status"].get("podIP"):
                self._addresses[name] = address
                self._pods[address] = name, pod["metadata"]["labels"]

    async def watch_routes(self, client: Client) -> None:
        """Follow what gateways are told."""
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
        async for kind, found in client.watch(path, f"{ROLE}=gateway"):
            agent = found["metadata"]["labels"][AGENT]
            if kind != "DELETED" and "routes.json" in (found.get("data") or {}):
                self._routes[agent] = json.loads(found["data"]["routes.json"])

    async def applied(self, request: web.Request) -> web.Response:
        """What a gateway's sidecar says is in force."""
        routes = self._routes.get(self._asked(request).get(AGENT, ""))
        if routes is None:
            return web.json_response({"generation": None, "message": "no routes"}, status=503)
        reached = [backend["revision"] for backend in routes["backends"]]
        told = {"generation": routes["generation"], "reached": reached, "message": ""}
        return web.json_response(routes | told)

    async def metrics(self, request: web.Request) -> web.Response:
        """An agent's."""
        return web.Response(text=METRICS.format(revision=self._asked(request).get(REVISION, "")))

    async def ready(self, _: web.Request) -> web.Response:
        """Everybody is."""
        return web.json_response({"ready": True})

    def _asked(self, request: web.Request) -> dict[str, str]:
        address = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        return self._pods.get(address, ("", {}))[1]


async def serve(client: Client) -> None:
    """Answer for all pods until the process ends."""
    pods = Pods()
    application = web.Application()
    application.add_routes(
        [
            web.get("/applied", pods.applied),
            web.get("/metrics", pods.metrics),
            web.get("/readyz", pods.ready),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    for port in (GATEWAY_PORT, AGENT_PORT):
        await web.TCPSite(runner, "0.0.0.0", port, backlog=4096).start()  # noqa: S104
    async with client:
        await asyncio.gather(pods.watch_pods(client), pods.watch_routes(client))


if __name__ == "__main__":
    asyncio.run(serve(Client(Path(sys.argv[1]))))
