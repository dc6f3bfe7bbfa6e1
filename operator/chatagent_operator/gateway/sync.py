"""The gateway's sidecar: `python -m chatagent_operator.gateway.sync`.

It watches the agent's routes ConfigMap and reconciles HAProxy with it. It writes nothing to the API
server and restarts nothing. Only this module reads the environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from kubernetes.aio import client, config

from chatagent_operator.core.kinds import CONFIG_MAP
from chatagent_operator.core.names import Key
from chatagent_operator.core.routing.haproxy import GatewaySettings
from chatagent_operator.core.routing.routes import ROUTES_KEY
from chatagent_operator.gateway.ending import Ending
from chatagent_operator.gateway.measures import Measures
from chatagent_operator.gateway.pages import build_pages
from chatagent_operator.gateway.runtime_socket import RuntimeSocket
from chatagent_operator.gateway.synchroniser import Synchroniser
from chatagent_operator.kube.connection import Connection
from chatagent_operator.kube.reflector import Reflector, Timing

_DEFAULTS = GatewaySettings()
WATCH = Timing(watch_seconds=(20, 20), silence_seconds=25.0, first_pause=0.1, last_pause=5.0)
"""Shorter than the operator's: an abort must not wait long on a connection that died silently."""


@dataclass(frozen=True)
class ConfigMapKey:
    """One text in one ConfigMap."""

    namespace: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class RoutesText:
    """The routes as the operator wrote them."""

    uid: str
    resource_version: int
    text: str | None


@dataclass(frozen=True)
class SidecarSettings:
    """Where the intent and HAProxy are, and the address of the sidecar's endpoints."""

    routes: ConfigMapKey
    socket: RuntimeSocket
    host: str
    port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SidecarSettings:
        """Read the settings. Raises KeyError if ROUTES_NAMESPACE or ROUTES_CONFIGMAP is not set."""
        return cls(
            routes=ConfigMapKey(
                environment["ROUTES_NAMESPACE"], environment["ROUTES_CONFIGMAP"], ROUTES_KEY
            ),
            socket=RuntimeSocket(
                environment.get("HAPROXY_SOCKET", _DEFAULTS.socket),
                environment.get("HAPROXY_SLOTS_MAP", _DEFAULTS.slots_map),
            ),
            host=environment.get("LISTEN_HOST", ""),
            port=int(environment.get("LISTEN_PORT", "8405")),
        )


async def run_sidecar(settings: SidecarSettings, api: client.ApiClient) -> None:
    """Run the sidecar until cancelled, or until one of its tasks fails."""
    measures = Measures()
    synchroniser = Synchroniser(settings.socket, measures)
    reflector = follow(
        api, settings.routes, synchroniser.set_intent, measures.errors.labels("api").inc
    )
    runner = web.AppRunner(build_pages(synchroniser), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host or None, settings.port).start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(synchroniser.run())
            tasks.create_task(reflector.run())
    finally:
        await runner.cleanup()


def follow(
    api: client.ApiClient,
    target: ConfigMapKey,
    offer: Callable[[str | None], object],
    on_failure: Callable[[], object],
    timing: Timing = WATCH,
) -> Reflector[RoutesText]:
    """Follow one text of one ConfigMap.

    Args:
        offer: is called with the text, now and after every change; None: it is gone.
        on_failure: is called for each request that failed.
    """

    def project(body: Mapping[str, Any]) -> RoutesText:
        metadata = body["metadata"]
        text = (body.get("data") or {}).get(target.key)
        return RoutesText(metadata["uid"], int(metadata["resourceVersion"]), text)

    def change(key: Key, old: RoutesText | None, new: RoutesText | None) -> None:
        offer(new.text if new else None)

    return Reflector(
        Connection(api),
        CONFIG_MAP,
        project,
        change,
        namespace=target.namespace,
        fields=f"metadata.name={target.name}",
        on_failure=on_failure,
        timing=timing,
    )


async def run_until(
    stopped: asyncio.Event, ending: Ending, settings: SidecarSettings, api: client.ApiClient
) -> None:
    """Run the sidecar until `stopped` is set and HAProxy may be stopped."""
    async with asyncio.TaskGroup() as tasks:
        sidecar = tasks.create_task(run_sidecar(settings, api))
        await stopped.wait()
        await ending.wait()
        sidecar.cancel()


async def _main() -> None:
    settings = SidecarSettings.from_environment(os.environ)
    configuration = client.Configuration()
    config.load_incluster_config(client_configuration=configuration)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with client.ApiClient(configuration) as api_client:
        await run_until(stopped, Ending(settings.socket), settings, api_client)


def main() -> None:
    """Run the sidecar until SIGTERM, or in a terminating pod until all requests have ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_main())


if __name__ == "__main__":
    main()
