"""Renders the configuration files of containerd, its network plugins, the kubelet and CoreDNS."""

from __future__ import annotations

import json
from pathlib import Path

from dev import credentials as users
from dev.settings import (
    CLUSTER_DOMAIN,
    DNS_SERVICE_ADDRESS,
    NODE_ADDRESS,
    PAUSE_IMAGE,
    POD_SUBNET,
    Paths,
)

Json = dict[str, object]


def containerd_toml(paths: Paths) -> str:
    # restrict_oom_score_adj: root without CAP_SYS_RESOURCE may not lower a score, and without this
    # no sandbox starts there. The namespaces of pods are mounted below our own state folder.
    return f"""\
version = 2
root = "{paths.containerd}"
state = "{paths.run / "containerd"}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = "{paths.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{paths.configuration / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def network_plugins(paths: Paths) -> Json:
    """A routed link for each pod rather than a bridge: traffic between two pods by way of a Service
    then always passes the node's rules, whether or not the kernel filters bridges."""
    return {
        "cniVersion": "0.4.0",
        "name": "chatagent-dev",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_SUBNET}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(paths.cluster / "addresses"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet_configuration(paths: Paths, resolver: Path) -> Json:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.credentials / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{paths.cgroup}",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "resolvConf": str(resolver),
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        # Images are loaded, not pulled: one that the kubelet removed would not come back.
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "registryPullQPS": 50,
        "registryBurst": 100,
        "podLogsDir": str(paths.cluster / "pod-logs"),
        "volumePluginDir": str(paths.cluster / "volume-plugins"),
    }


def corefile(paths: Paths, resolver: Path) -> str:
    """Other names go to the servers that the host asks."""
    kubeconfig = users.kubeconfig_of(paths, users.COREDNS)
    return f"""\
.:53 {{
    bind {NODE_ADDRESS}
    errors
    ready {NODE_ADDRESS}:8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig} {users.CONTEXT}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    forward . {resolver}
    cache 5
    loadbalance
}}
"""


def provisioner_configuration(paths: Paths) -> Json:
    return {
        "nodePathMap": [
            {
                "node": "DEFAULT_PATH_FOR_NON_LISTED_NODES",
                "paths": [str(paths.cluster / "volumes")],
            }
        ],
        "setupCommand": "/volume",
        "teardownCommand": "/volume",
        "cmdTimeoutSeconds": 60,
    }


def helper_pod() -> Json:
    container = {"name": "volume", "image": PAUSE_IMAGE, "imagePullPolicy": "IfNotPresent"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "volume"},
        "spec": {"priorityClassName": "system-node-critical", "containers": [container]},
    }


def find_resolver() -> Path:
    """The host's DNS servers. A stub on the host's loopback cannot be reached from the node."""
    behind_stub = Path("/run/systemd/resolve/resolv.conf")
    return behind_stub if behind_stub.exists() else Path("/etc/resolv.conf")


def render(paths: Paths) -> dict[str, str]:
    """All files by their name below the configuration folder."""
    resolver = find_resolver()
    documents: dict[str, Json] = {
        "cni/10-chatagent-dev.conflist": network_plugins(paths),
        "kubelet.json": kubelet_configuration(paths, resolver),
        "local-path.json": provisioner_configuration(paths),
        "helper-pod.json": helper_pod(),
    }
    files = {name: json.dumps(document, indent=2) + "\n" for name, document in documents.items()}
    return files | {
        "containerd.toml": containerd_toml(paths),
        "Corefile": corefile(paths, resolver),
    }


def write(paths: Paths) -> dict[str, str]:
    files = render(paths)
    for name, text in files.items():
        path = paths.configuration / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    return files
