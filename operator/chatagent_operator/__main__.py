"""`chatagent-operator`: run the operator until it receives SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from typing import Any, cast

import kopf
import prometheus_client
import uvloop

from chatagent_operator.handlers import Shell
from chatagent_operator.metrics import Metrics
from chatagent_operator.settings import SettingsError, from_environment


def main() -> None:
    """Run the operator."""
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"chatagent-operator: {error}")
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for chatty in ("aiohttp.access", "kopf.objects"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    prometheus_client.start_http_server(settings.metrics_port)
    registry = kopf.OperatorRegistry()
    stopped = asyncio.Event()
    shell = Shell(settings, Metrics(prometheus_client.REGISTRY), stopped)
    shell.register(registry)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        kopf.run(
            loop=runner.get_loop(),
            registry=registry,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            standalone=True,
            stop_flag=stopped,
            identity=cast(Any, socket.gethostname()),  # the default is a user's name: there is none
            liveness_endpoint=f"http://0.0.0.0:{settings.probe_port}/healthz",
        )
    if shell.failure:
        sys.exit(f"chatagent-operator: {shell.failure}")


if __name__ == "__main__":
    main()
