"""A client of the API server for the few calls that `up` makes; people and scripts use kubectl."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import urllib.parse
import urllib.request
from typing import Any, cast

from dev.settings import API_URL, Paths

# Where objects of each kind live; what has a namespace is told by the object.
PLURALS = {
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/{namespace}clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/{namespace}clusterrolebindings",
    "EndpointSlice": "apis/discovery.k8s.io/v1/{namespace}endpointslices",
    "Namespace": "api/v1/{namespace}namespaces",
    "Node": "api/v1/{namespace}nodes",
    "Service": "api/v1/{namespace}services",
    "ServiceAccount": "api/v1/{namespace}serviceaccounts",
    "StorageClass": "apis/storage.k8s.io/v1/{namespace}storageclasses",
}
FIELD_MANAGER = "chatagent-dev"


def object_path(manifest: dict[str, Any]) -> str:
    metadata = manifest["metadata"]
    namespace = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
    collection = PLURALS[manifest["kind"]].format(namespace=namespace)
    return f"/{collection}/{metadata['name']}"


class Api:
    """Errors are urllib's own; a body is whatever the server says, as parsed JSON."""

    def __init__(self, paths: Paths) -> None:
        kubeconfig = json.loads(paths.kubeconfig.read_text())
        self._token = str(kubeconfig["users"][0]["user"]["token"])
        context = ssl.create_default_context(cafile=str(paths.credentials / "ca.crt"))
        # No proxy, whatever the environment says: the address is on this machine.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def request(self, method: str, path: str, body: object = None, kind: str = "") -> Any:
        request = urllib.request.Request(API_URL + path, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            request.add_header("Content-Type", kind or "application/json")
        with self._opener.open(request, data=content, timeout=10) as response:
            text = response.read().decode()
        is_json = response.headers.get_content_type() == "application/json"
        return json.loads(text) if is_json else text

    def apply(self, manifest: dict[str, Any]) -> None:
        query = urllib.parse.urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        path = f"{object_path(manifest)}?{query}"
        self.request("PATCH", path, manifest, "application/apply-patch+yaml")

    def merge(self, path: str, patch: object) -> None:
        self.request("PATCH", path, patch, "application/merge-patch+json")

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz") == "ok"
        except (OSError, ValueError):
            return False

    def node_is_ready(self, name: str) -> bool:
        try:
            node = self.request("GET", f"/api/v1/nodes/{name}")
        except OSError:
            return False
        conditions = cast("list[dict[str, str]]", node["status"].get("conditions", []))
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def resolves(name: str, server: str) -> bool:
    """Whether a DNS server has an address for a name. Asked by hand: the host's own resolver would
    ask the host's servers."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(0.5)
        try:
            connection.sendto(query, (server, 53))
            answer = connection.recv(512)
        except OSError:
            return False
    _, flags, _, answers = struct.unpack(">4H", answer[:8])
    return flags & 0xF == 0 and answers > 0
