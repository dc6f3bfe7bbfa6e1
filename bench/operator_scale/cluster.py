"""A control plane without a node: etcd, API server, controllers, scheduler and kwok.

The programs, their command lines and their credentials are those of the cluster in `dev`; here is
what differs: an audit log, fewer controllers, and no limit of a client's own. It runs in a network
namespace of its own (see `isolation`), so that its addresses may be the same.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.operator_scale.audit import AuditLog
from dev import binaries, components, credentials
from dev.api import Api
from dev.cluster import program_environment
from dev.commands import Argument, output, tail
from dev.conditions import wait_for
from dev.credentials import ADMIN, CONTEXT, User
from dev.errors import DevError
from dev.extras import fake_node
from dev.processes import Processes, Program
from dev.settings import Paths

NAMESPACE = "bench"
NODES = 10
USER = User(
    "contestant",
    f"system:serviceaccount:{NAMESPACE}:contestant",
    ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"),
)
"""Who every contestant is. Not an administrator, whose requests the API server never queues."""

CONTROLLERS = (
    "deployment-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
)
UNLIMITED: dict[str, object] = {"kube-api-qps": 5000, "kube-api-burst": 5000}
WORKERS = 10
"""Of each controller, so that one slow object does not keep the others."""

AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": [USER.name]},
        {
            "level": "Metadata",
            "users": [ADMIN.name],
            "verbs": ["create", "patch"],
            "resources": [{"group": "chatagent.dev"}, {"group": "argoproj.io"}],
        },
        {"level": "None"},
    ],
}


class Cluster:
    """One control plane with empty storage, as a context manager."""

    def __init__(self, cache: Path, state: Path) -> None:
        """
        Args:
            cache: where `dev` keeps what it builds.
            state: an empty folder.
        """
        self.paths = Paths(cache, state)
        self.processes = Processes(self.paths)
        self.audit = AuditLog(self.paths.logs / "audit.log")
        self._started: list[str] = []

    @property
    def kubeconfig(self) -> Path:
        """The contestant's."""
        return credentials.kubeconfig_of(self.paths, USER)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> None:
        paths = self.paths
        for folder in (paths.cluster, paths.run, paths.configuration, paths.logs):
            folder.mkdir(parents=True)
        credentials.ensure(paths)
        self._add_user()
        kubernetes = binaries.location(paths.binaries, binaries.KUBERNETES)
        programs = components.Programs(kubernetes, kubernetes, kubernetes)  # no DNS, no volumes
        self._run("etcd", components.etcd(programs, paths))
        policy = paths.configuration / "audit.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        audited = {"audit-policy-file": policy, "audit-log-path": self.audit.path}
        rotated: dict[str, object] = {"audit-log-maxsize": 2000}
        argv = [*components.api_server(programs, paths), *components.flags(audited | rotated)]
        self._run("kube-apiserver", argv)
        self._await("an answer of the API server", "kube-apiserver", Api(paths).is_ready)
        workers = ("deployment", "replicaset", "statefulset", "job", "service-endpoint")
        chosen: dict[str, object] = {f"concurrent-{each}-syncs": WORKERS for each in workers}
        chosen["controllers"] = ",".join(CONTROLLERS)
        argv = [
            *components.controller_manager(programs, paths),
            *components.flags(UNLIMITED | chosen),
        ]
        self._run("kube-controller-manager", argv)
        argv = [*components.scheduler(programs, paths), *components.flags(UNLIMITED)]
        self._run("kube-scheduler", argv)
        self._kwok()
        self._objects()

    def _kwok(self) -> None:
        binary = binaries.location(self.paths.binaries, binaries.KWOK)
        (self.paths.configuration / "kwok-stages.yaml").write_text(output([binary, "stages"]))
        self._run("kwok", components.kwok(binary, self.paths))

    def _objects(self) -> None:
        api = Api(self.paths)
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        rbac = "rbac.authorization.k8s.io"
        binding: dict[str, Any] = {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "contestant"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": USER.name}],
        }
        api.apply(binding)
        for number in range(NODES):
            node = fake_node(name := f"kwok-{number}")
            del node["spec"]
            api.apply(node)
            # A new node has a taint until the controller that watches nodes takes it away; there
            # is none, so that no node is lost where all processors are busy.
            api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
        for number in range(NODES):
            name = f"kwok-{number}"
            self._await(f"node {name}", "kwok", lambda name=name: api.node_is_ready(name))
        accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        self._await(
            "a service account for pods",
            "kube-controller-manager",
            lambda: bool(api.request("GET", accounts)["items"]),
        )

    def _add_user(self) -> None:
        token = secrets.token_hex(16)
        groups = ",".join(USER.groups)
        with (self.paths.credentials / "tokens.csv").open("a") as tokens:
            tokens.write(f'{token},{USER.name},{USER.file},"{groups}"\n')
        config = credentials.kubeconfig(
            (self.paths.credentials / "ca.crt").read_bytes(), USER, token
        )
        found = json.loads(config)
        found["contexts"] = [
            {
                "name": CONTEXT,
                "context": {**found["contexts"][0]["context"], "namespace": NAMESPACE},
            }
        ]
        self.kubeconfig.write_text(json.dumps(found))
        self.kubeconfig.chmod(0o600)

    def _run(self, name: str, argv: list[Argument]) -> None:
        self._started.append(name)
        self.processes.ensure(Program(name, argv, program_environment()))

    def _await(self, what: str, program: str, holds: Any) -> None:
        def complain() -> str | None:
            if self.processes.running(program) is None:
                return f"{program} ended:\n{tail(self.processes.log(program))}"
            return None

        try:
            wait_for(what, holds, 90, complain=complain)
        except DevError as late:
            raise DevError(f"{late}\n{tail(self.processes.log(program))}") from late

    def _stop(self) -> None:
        """What asks first: a program whose API server is gone only writes that it is."""
        for name in reversed(self._started):
            self.processes.stop(name, patience=3)
        self._started.clear()
