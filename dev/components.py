"""The command line of each of the cluster's programs. Pure: nothing is read or started here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dev import credentials as users
from dev.commands import Argument
from dev.settings import (
    API_PORT,
    ETCD_URL,
    NODE_ADDRESS,
    NODE_NAME,
    POD_CIDR,
    SERVICE_CIDR,
    Paths,
)

PROVISIONER_NAME = "rancher.io/local-path"
PROVISIONER_NAMESPACE = "local-path-storage"


@dataclass(frozen=True)
class Programs:
    """Where the built programs lie."""

    kubernetes: Path
    coredns: Path
    provisioner: Path

    def named(self, name: str) -> Path:
        return self.kubernetes.parent / name


def flags(values: dict[str, object]) -> list[Argument]:
    return [f"--{name}={value}" for name, value in values.items()]


def etcd(programs: Programs, paths: Paths) -> list[Argument]:
    # Without fsync: a machine that loses power may lose this cluster, and every write is faster.
    options: dict[str, object] = {
        "name": NODE_NAME,
        "data-dir": paths.cluster / "etcd",
        "listen-client-urls": ETCD_URL,
        "advertise-client-urls": ETCD_URL,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "unsafe-no-fsync": "true",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
        "quota-backend-bytes": 4 * 2**30,
        "log-level": "warn",
    }
    return [programs.named("etcd"), *flags(options)]


def api_server(programs: Programs, paths: Paths) -> list[Argument]:
    keys = paths.credentials
    options: dict[str, object] = {
        "etcd-servers": ETCD_URL,
        "bind-address": "0.0.0.0",
        "advertise-address": NODE_ADDRESS,
        "secure-port": API_PORT,
        "service-cluster-ip-range": SERVICE_CIDR,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "token-auth-file": keys / "tokens.csv",
        "client-ca-file": keys / "ca.crt",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "kubelet-client-certificate": keys / "kubelet-client.crt",
        "kubelet-client-key": keys / "kubelet-client.key",
        # By address: the node's name is not in any DNS that the API server could ask.
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": keys / "service-account.pub",
        "service-account-signing-key-file": keys / "service-account.key",
        "v": 1,
    }
    return [programs.named("kube-apiserver"), *flags(options)]


def controller_manager(programs: Programs, paths: Paths) -> list[Argument]:
    keys = paths.credentials
    kubeconfig = users.kubeconfig_of(paths, users.CONTROLLER_MANAGER)
    options: dict[str, object] = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": keys / "service-account.key",
        "root-ca-file": keys / "ca.crt",
        "cluster-signing-cert-file": keys / "ca.crt",
        "cluster-signing-key-file": keys / "ca.key",
        "cluster-cidr": POD_CIDR,
        "cert-dir": paths.run / "controller-manager",
        "v": 1,
    }
    return [programs.named("kube-controller-manager"), *flags(options)]


def scheduler(programs: Programs, paths: Paths) -> list[Argument]:
    kubeconfig = users.kubeconfig_of(paths, users.SCHEDULER)
    options: dict[str, object] = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "cert-dir": paths.run / "scheduler",
        "v": 1,
    }
    return [programs.named("kube-scheduler"), *flags(options)]


def containerd(paths: Paths) -> list[Argument]:
    return ["/usr/bin/containerd", "--config", paths.configuration / "containerd.toml"]


def kubelet(programs: Programs, paths: Paths) -> list[Argument]:
    options: dict[str, object] = {
        "config": paths.configuration / "kubelet.json",
        "kubeconfig": users.kubeconfig_of(paths, users.KUBELET),
        "root-dir": paths.cluster / "kubelet",
        "cert-dir": paths.run / "kubelet",
        "hostname-override": NODE_NAME,
        "node-ip": NODE_ADDRESS,
        "v": 1,
    }
    return [programs.named("kubelet"), *flags(options)]


def proxy(programs: Programs, paths: Paths) -> list[Argument]:
    # The conntrack limits are the host's; the node may not set them, and 0 means "do not".
    options: dict[str, object] = {
        "kubeconfig": users.kubeconfig_of(paths, users.PROXY),
        "hostname-override": NODE_NAME,
        "proxy-mode": "iptables",
        "cluster-cidr": POD_CIDR,
        "bind-address": NODE_ADDRESS,
        "conntrack-max-per-core": 0,
        "conntrack-tcp-timeout-established": 0,
        "conntrack-tcp-timeout-close-wait": 0,
        "iptables-min-sync-period": "0s",
        "v": 1,
    }
    return [programs.named("kube-proxy"), *flags(options)]


def coredns(programs: Programs, paths: Paths) -> list[Argument]:
    return [programs.coredns, "-conf", paths.configuration / "Corefile"]


def provisioner(programs: Programs, paths: Paths, helper_image: str) -> list[Argument]:
    options: dict[str, object] = {
        "config": paths.configuration / "local-path.json",
        "kubeconfig": users.kubeconfig_of(paths, users.PROVISIONER),
        "namespace": PROVISIONER_NAMESPACE,
        "provisioner-name": PROVISIONER_NAME,
        "helper-image": helper_image,
        "helper-pod-file": paths.configuration / "helper-pod.json",
    }
    return [programs.provisioner, "start", *flags(options)]


def kwok(program: Path, paths: Paths) -> list[Argument]:
    options: dict[str, object] = {
        "config": paths.configuration / "kwok-stages.yaml",
        "kubeconfig": users.kubeconfig_of(paths, users.KWOK),
        "manage-all-nodes": "false",
        "manage-nodes-with-label-selector": "type=kwok",
        "node-ip": NODE_ADDRESS,
        "cidr": "10.244.128.0/17",
        "node-lease-duration-seconds": 40,
    }
    return [program, *flags(options)]
