"""The cluster's keys, certificates, tokens and kubeconfigs, made once and kept until a purge.

They outlive a `down`, so that a kubeconfig that someone copied still works after the next `up`.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from dev.commands import output
from dev.settings import (
    API_SERVICE_ADDRESS,
    API_URL,
    CLUSTER_DOMAIN,
    NODE_ADDRESS,
    NODE_NAME,
    Paths,
)

CONTEXT = "chatagent-dev"
DAYS = "3650"


@dataclass(frozen=True)
class User:
    """Someone who logs in by a token: the name and groups are what RBAC rules name."""

    file: str
    name: str
    groups: tuple[str, ...] = ()


ADMIN = User("admin", "chatagent-dev-admin", ("system:masters",))
CONTROLLER_MANAGER = User("controller-manager", "system:kube-controller-manager")
SCHEDULER = User("scheduler", "system:kube-scheduler")
PROXY = User("proxy", "system:kube-proxy")
KUBELET = User("kubelet", f"system:node:{NODE_NAME}", ("system:nodes",))
COREDNS = User("coredns", "chatagent-dev:coredns")
PROVISIONER = User("provisioner", "chatagent-dev:local-path-provisioner")
KWOK = User("kwok", "chatagent-dev:kwok", ("system:masters",))
USERS = (ADMIN, CONTROLLER_MANAGER, SCHEDULER, PROXY, KUBELET, COREDNS, PROVISIONER, KWOK)


def kubeconfig_of(paths: Paths, user: User) -> Path:
    return paths.credentials / f"{user.file}.kubeconfig"


def ensure(paths: Paths) -> str:
    """Made in a folder beside and moved in one step: there are all of them or none."""
    if paths.credentials.exists():
        return "reused"
    scratch = paths.credentials.with_suffix(".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o700)
    _make_certificates(scratch)
    tokens = {user.file: secrets.token_hex(16) for user in USERS}
    (scratch / "tokens.csv").write_text(token_file(tokens))
    for user in USERS:
        config = kubeconfig((scratch / "ca.crt").read_bytes(), user, tokens[user.file])
        (scratch / f"{user.file}.kubeconfig").write_text(config)
    for file in scratch.iterdir():
        file.chmod(0o600)
    scratch.rename(paths.credentials)
    return "made"


def token_file(tokens: dict[str, str]) -> str:
    """Lines of `token,user,uid,"group,…"`, as the API server's --token-auth-file wants them."""
    return "".join(
        f'{tokens[user.file]},{user.name},{user.file},"{",".join(user.groups)}"\n' for user in USERS
    )


def kubeconfig(authority: bytes, user: User, token: str) -> str:
    """Whole in one file, so that it can be copied. As JSON, which is YAML too."""
    encoded = base64.b64encode(authority).decode()
    cluster = {"server": API_URL, "certificate-authority-data": encoded}
    config: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user.name, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user.name}}],
    }
    return json.dumps(config, indent=2) + "\n"


def alternative_names() -> str:
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    names = [*service, f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "localhost", NODE_NAME]
    addresses = [NODE_ADDRESS, API_SERVICE_ADDRESS, "127.0.0.1"]
    return ",".join([f"DNS:{name}" for name in names] + [f"IP:{ip}" for ip in addresses])


def _make_certificates(folder: Path) -> None:
    for name in ("ca", "apiserver", "kubelet-client"):
        _new_key(folder / f"{name}.key")
    # fmt: off
    output([
        "openssl", "req", "-x509", "-new", "-sha256", "-key", folder / "ca.key", "-days", DAYS,
        "-subj", "/CN=chatagent-dev-ca", "-out", folder / "ca.crt",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
    ])
    # fmt: on
    _sign(folder, "apiserver", "/CN=kube-apiserver", "serverAuth", alternative_names())
    # What the API server shows to the kubelet, whose own authorization asks back for this group.
    _sign(folder, "kubelet-client", "/O=system:masters/CN=kube-apiserver", "clientAuth")
    _new_key(folder / "service-account.key")
    key = folder / "service-account.key"
    output(["openssl", "pkey", "-in", key, "-pubout", "-out", folder / "service-account.pub"])


def _new_key(path: Path) -> None:
    # fmt: off
    output([
        "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-out", path,
    ])
    # fmt: on


def _sign(folder: Path, name: str, subject: str, usage: str, names: str = "") -> None:
    request = folder / f"{name}.csr"
    extensions = folder / f"{name}.ext"
    alternative = f"subjectAltName={names}\n" if names else ""
    extensions.write_text(
        f"keyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n{alternative}"
    )
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    output(["openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request])
    # fmt: off
    output([
        "openssl", "x509", "-req", "-sha256", "-in", request, "-days", DAYS,
        "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial",
        "-extfile", extensions, "-out", certificate,
    ])
    # fmt: on
    request.unlink()
    extensions.unlink()
