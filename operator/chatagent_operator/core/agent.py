"""An agent, the platform that it runs on, and the metadata that its objects share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chatagent_operator.api.group import API_VERSION, KIND
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names
from chatagent_operator.core.revision import Revision, build_revision

Manifest = dict[str, Any]

PORT = 8080
"""Port of the agent's pods."""

RESTRICTED_POD: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Platform:
    """Settings of the operator's installation that apply to every agent."""

    images: Mapping[str, str]
    """By the names that components give them, beside `operator`."""

    gpu_runtime_class: str | None = None
    cluster_domain: str = "cluster.local"
    image_pull_secrets: tuple[str, ...] = ()
    image_pull_policy: str = "IfNotPresent"


@dataclass(frozen=True)
class Agent:
    """A ChatAgent as read from the API server."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: ChatAgentSpec
    restarted_at: str | None = None
    """When a user last restarted its pods. It is no part of the spec, so that it neither creates a
    revision nor differs from what is in Git."""

    digests: dict[str, tuple[tuple[str, str, str], ...]] = field(
        default_factory=dict[str, tuple[tuple[str, str, str], ...]], compare=False, repr=False
    )
    """Kind, name and digest of objects that depend on nothing but the agent and the platform, by
    role: remembered, since they are the same in each reconciliation."""

    @cached_property
    def revision(self) -> Revision:
        """The revision that the spec desires."""
        return build_revision(self.spec.versioned())

    def child(
        self,
        api_version: str,
        kind: str,
        name: str,
        role: str,
        revision: str | None = None,
        **body: Any,
    ) -> Manifest:
        """Build a child with its labels and its owner reference."""
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": names.labels(self.name, role, revision),
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": KIND,
                        "name": self.name,
                        "uid": self.uid,
                        "controller": True,
                    }
                ],
            },
            **body,
        }


def build_service_account(agent: Agent, name: str, role: str) -> Manifest:
    """Return a ServiceAccount whose token is mounted only where a pod requests it."""
    return agent.child("v1", "ServiceAccount", name, role, automountServiceAccountToken=False)


def build_pull_secrets(platform: Platform) -> Manifest:
    """Return the Secrets for pulling the operator's own images, as a part of a pod."""
    secrets = [{"name": name} for name in platform.image_pull_secrets]
    return {"imagePullSecrets": secrets} if secrets else {}
