"""`up`: everything in the order of what needs what. Each task finds out what is left to do, so a
run that was cut off at any point is finished by the next one."""

from __future__ import annotations

import os
import shutil
import urllib.error
from collections.abc import Callable, Iterable
from pathlib import Path

from dev import (
    addons,
    binaries,
    buildah,
    cgroups,
    components,
    containers,
    credentials,
    debian,
    golang,
    images,
    network,
    node,
    rootfs,
)
from dev.api import Api, resolves
from dev.binaries import Binary
from dev.commands import Argument, CommandRunner, tail
from dev.conditions import wait_for
from dev.errors import DevError
from dev.processes import Processes, Program
from dev.schedule import Note, Task
from dev.settings import (
    CLUSTER_DOMAIN,
    DNS_SERVICE_ADDRESS,
    NODE_NAME,
    PAUSE_IMAGE,
    Paths,
)

PATIENCE = 120.0
LEAST_DISK = 2 * 2**30
LONGEST_SOCKET = 100  # the kernel takes 107 bytes
KUBERNETES_DEFAULT = f"kubernetes.default.svc.{CLUSTER_DOMAIN}"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class Cluster:
    """The tasks of `up` and what they share."""

    def __init__(self, paths: Paths, runner: CommandRunner) -> None:
        self.paths = paths
        self.runner = runner
        self.processes = Processes(paths)
        self.builder = images.ImageBuilder(paths, runner)
        self._files: dict[str, str] = {}

    def tasks(self) -> list[Task]:
        toolchain_after = () if golang.venv_available() else ("packages",)
        return [
            Task("packages", self._packages),
            Task("Go", self._toolchain, toolchain_after),
            *self._builds(),
            Task("base image", self._base_image, ("packages",)),
            Task("network", self._network, ("packages",)),
            Task("credentials", lambda _: credentials.ensure(self.paths), ("packages",)),
            Task("configuration", self._configuration, ("credentials",)),
            Task("containerd", self._containerd, ("configuration", "network")),
            Task("pause image", self._pause_image, ("pause", "containerd")),
            Task("etcd", self._etcd, ("kubernetes", "network")),
            Task("API server", self._api_server, ("etcd", "configuration")),
            Task("controllers", self._controllers, ("API server",)),
            Task("scheduler", self._scheduler, ("API server",)),
            Task("kube-proxy", self._proxy, ("API server",)),
            Task("objects", self._objects, ("API server",)),
            Task("kubelet", self._kubelet, ("API server", "pause image")),
            Task("cluster DNS", self._dns, ("coredns", "objects", "kube-proxy")),
            Task("volumes", self._volumes, ("local-path-provisioner", "objects", "kubelet")),
            Task("node", self._node_ready, ("kubelet",)),
        ]

    def _builds(self) -> Iterable[Task]:
        """One after the other, each of them keeping all processors busy; what is needed first,
        first."""
        order = (
            binaries.PAUSE,
            binaries.KUBERNETES,
            binaries.COREDNS,
            binaries.LOCAL_PATH_PROVISIONER,
            binaries.HELM,
        )
        before = "Go"
        for binary in order:
            yield Task(binary.name, self._build(binary), (before,))
            before = binary.name

    def _build(self, binary: Binary) -> Callable[[Note], str]:
        def build(note: Note) -> str:
            built = golang.ensure_binary(binary, self.paths, self.runner, note)
            return "built" if built else "reused"

        return build

    def _packages(self, note: Note) -> str:
        return debian.ensure_packages(self.runner, self.paths.build_logs / "packages.log", note)

    def _toolchain(self, _: Note) -> str:
        fetched = golang.ensure_toolchain(self.paths, self.runner)[1]
        return "fetched" if fetched else "reused"

    def _base_image(self, note: Note) -> str:
        made = rootfs.ensure(self.paths, self.runner)
        return f"root file system {made}; image {self.builder.build(images.base(self.paths), note)}"

    def _network(self, _: Note) -> str:
        return network.ensure(self.paths)

    def _configuration(self, _: Note) -> str:
        cgroups.ensure(self.paths.cgroup)
        for folder in (self.paths.cluster, self.paths.run):
            folder.mkdir(parents=True, exist_ok=True)
        (self.paths.cluster / "volumes").mkdir(exist_ok=True)
        self._files = node.write(self.paths)
        return "written"

    def _containerd(self, _: Note) -> str:
        program = Program(
            "containerd",
            network.inside(self.paths, components.containerd(self.paths)),
            program_environment()
            | {name: os.environ[name] for name in PROXIES if name in os.environ},
            self._files["containerd.toml"],
        )
        done = self._ensure(program, lambda: containers.answers(self.paths))
        # Containers of a cluster that is gone would be taken for pods of this one.
        owner = self.paths.containerd / "cluster"
        identity = self._cluster_identity()
        if not owner.exists() or owner.read_text() != identity:
            containers.remove_containers(self.paths)
            owner.write_text(identity)
        return done

    def _cluster_identity(self) -> str:
        path = self.paths.cluster / "identity"
        if not path.exists():
            path.write_text(os.urandom(8).hex())
        return path.read_text()

    def _pause_image(self, note: Note) -> str:
        image = images.pause(self.paths)
        return f"{self.builder.build(image, note)} and {self.builder.load(image)}"

    def _etcd(self, _: Note) -> str:
        return self._start("etcd", components.etcd(self._programs(), self.paths))

    def _api_server(self, _: Note) -> str:
        argv = components.api_server(self._programs(), self.paths)
        program = Program("kube-apiserver", network.inside(self.paths, argv), program_environment())
        return self._ensure(program, Api(self.paths).is_ready)

    def _controllers(self, _: Note) -> str:
        argv = components.controller_manager(self._programs(), self.paths)
        return self._start("kube-controller-manager", argv)

    def _scheduler(self, _: Note) -> str:
        return self._start("kube-scheduler", components.scheduler(self._programs(), self.paths))

    def _proxy(self, _: Note) -> str:
        return self._start("kube-proxy", components.proxy(self._programs(), self.paths))

    def _objects(self, _: Note) -> str:
        api = Api(self.paths)
        for manifest in addons.manifests():
            _apply(api, manifest)
        return "applied"

    def _kubelet(self, _: Note) -> str:
        argv = components.kubelet(self._programs(), self.paths)
        return self._start("kubelet", argv, self._files["kubelet.json"])

    def _dns(self, _: Note) -> str:
        argv = components.coredns(self._programs(), self.paths)
        inputs = self._files["Corefile"]
        program = Program(
            "coredns", network.inside(self.paths, argv), program_environment(), inputs
        )
        return self._ensure(program, lambda: resolves(KUBERNETES_DEFAULT, DNS_SERVICE_ADDRESS))

    def _volumes(self, _: Note) -> str:
        argv = components.provisioner(self._programs(), self.paths, PAUSE_IMAGE)
        inputs = self._files["local-path.json"] + self._files["helper-pod.json"]
        return self._start("local-path-provisioner", argv, inputs)

    def _node_ready(self, _: Note) -> str:
        api = Api(self.paths)
        self._await("the node to be ready", "kubelet", lambda: api.node_is_ready(NODE_NAME))
        return "ready"

    def _programs(self) -> components.Programs:
        def located(binary: Binary) -> Path:
            return binaries.location(self.paths.binaries, binary)

        return components.Programs(
            located(binaries.KUBERNETES),
            located(binaries.COREDNS),
            located(binaries.LOCAL_PATH_PROVISIONER),
        )

    def _start(self, name: str, argv: list[Argument], inputs: str = "") -> str:
        argv = network.inside(self.paths, argv)
        return self.processes.ensure(Program(name, argv, program_environment(), inputs))

    def _ensure(self, program: Program, works: Callable[[], bool]) -> str:
        done = self.processes.ensure(program)
        self._await(f"{program.name} to answer", program.name, works)
        return done

    def _await(self, what: str, name: str, works: Callable[[], bool]) -> None:
        log = self.processes.log(name)

        def complain() -> str | None:
            if self.runner.cancelled:
                return "another task failed"
            if self.processes.running(name) is None:
                return f"{name} ended; the end of {log}:\n{tail(log)}"
            return None

        try:
            wait_for(what, works, PATIENCE, complain=complain)
        except DevError as late:
            raise DevError(f"{late}\n{log}") from late


def _apply(api: Api, manifest: addons.Manifest) -> None:
    """The first seconds of a new API server: its own namespaces come a moment later."""

    def applied() -> bool:
        try:
            api.apply(manifest)
        except urllib.error.HTTPError as error:
            if error.code not in {403, 404, 409, 500, 503}:
                raise DevError(
                    f"{manifest['metadata']['name']}: {error.read().decode()}"
                ) from error
            return False
        return True

    wait_for(f"{manifest['kind']} {manifest['metadata']['name']}", applied, timeout=30)


def program_environment() -> dict[str, str]:
    """Programs get none of the caller's environment: a proxy set there would be asked for the
    cluster's own addresses."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}
    if buildah.CA_BUNDLE.exists():
        environment["SSL_CERT_FILE"] = str(buildah.CA_BUNDLE)
    return environment


def prepare_state(paths: Paths) -> None:
    """Refuse a folder that may be someone else's: `down` empties it."""
    paths.state.mkdir(parents=True, exist_ok=True)
    foreign = [item.name for item in paths.state.iterdir() if item.name != paths.lock.name]
    if foreign and not paths.marker.exists():
        raise DevError(f"{paths.state} is not empty and no cluster made it; name another folder")
    if len(str(paths.containerd_socket)) > LONGEST_SOCKET:
        raise DevError(f"the path {paths.state} is too long for the sockets below it")
    for folder in (paths.state, paths.cache):
        folder.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(folder).free) < LEAST_DISK:
            raise DevError(f"{folder} needs a few GB, and {free // 2**20} MiB are free")
    paths.marker.touch()
    for trash in paths.state.glob("trash-*"):
        shutil.rmtree(trash)
