"""A pod with the runtime image: serving, indexing or evaluating.

All inputs of such a pod are in `RuntimePod`: its template, and the digest that identifies the
current Deployment or Job, are built from the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chatagent_operator.api.pods import PodPlacement, ResourceRequirements
from chatagent_operator.core import names
from chatagent_operator.core.agent import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Agent,
    Manifest,
    Platform,
)
from chatagent_operator.core.children.placement import (
    build_metadata,
    build_placement,
    override_placement,
)
from chatagent_operator.core.revision import Revision, name_collection
from chatagent_operator.core.servers import Servers
from chatagent_operator.core.view.view import View

CONFIG_FILE = "agent.yaml"
CONFIG_PATH = "/etc/chatagent"


@dataclass(frozen=True)
class RuntimePod:
    """The inputs of the pods of one revision."""

    agent: Agent
    revision: Revision
    servers: Servers
    platform: Platform
    password: str | None = None
    """When the password of Redis was written, if it changed since the pods started."""

    @classmethod
    def for_revision(cls, revision: Revision, view: View) -> RuntimePod:
        """Return the pod of a revision."""
        return cls(view.agent, revision, view.servers, view.platform)

    @property
    def inputs(self) -> list[Any]:
        """The inputs as JSON, without the platform and the rendering: a change of the operator's
        version or settings must not restart serving pods."""
        store, redis = self.servers.store, self.servers.redis
        token = store.token.model_dump(mode="json") if store.token else None
        password = redis.password.model_dump(mode="json") if redis.password else None
        # A managed Redis does not count: an operator that adds it must not restart pods.
        external = [] if redis.is_managed else [redis.url, password]
        query = [store.query] if store.query else []
        changed = [{"password": self.password}] if self.password else []
        return [self.revision.name, store.url, token, *external, *query, *changed]

    def build_template(
        self,
        role: str,
        container: Manifest,
        volumes: tuple[Manifest, ...] = (),
        mounts: tuple[Manifest, ...] = (),
        placement: PodPlacement | None = None,
    ) -> Manifest:
        """Return the pod template, with the revision's pod settings.

        Args:
            placement: settings of a Job's pod, which replace those of the revision.
        """
        agent, revision = self.agent, self.revision
        pod = revision.spec.pod
        placement = override_placement(pod, placement) if placement else pod
        spec: Manifest = {
            "serviceAccountName": pod.service_account_name or agent.name,
            "automountServiceAccountToken": role == names.ROLE_AGENT and needs_api_server(revision),
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
            "securityContext": RESTRICTED_POD,
            "containers": [
                {
                    "image": revision.spec.image,
                    "imagePullPolicy": pod.image_pull_policy,
                    "env": self._build_environment(role),
                    "envFrom": list(pod.env_from),
                    "securityContext": RESTRICTED_CONTAINER,
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "config", "mountPath": CONFIG_PATH, "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                        *mounts,
                    ],
                    **container,
                }
            ],
            "volumes": [
                {
                    "name": "config",
                    "configMap": {"name": names.revision(agent.name, revision.name)},
                },
                {"name": "tmp", "emptyDir": {}},
                *volumes,
            ],
            **self._build_placement(placement, serves=role == names.ROLE_AGENT),
        }
        labels = names.labels(agent.name, role, revision.name)
        annotations = {names.PASSWORD_ANNOTATION: self.password} if self.password else None
        return {"metadata": build_metadata(labels, placement, annotations), "spec": spec}

    def _build_environment(self, role: str) -> list[Manifest]:
        own: list[Manifest] = [
            {"name": "AGENT_NAME", "value": f"{self.agent.namespace}/{self.agent.name}"},
            {"name": "AGENT_REVISION", "value": self.revision.name},
        ]
        if role != names.ROLE_EVALUATION:  # it asks over HTTP, and must not wait for a Secret
            own += self._build_addresses()
        theirs = [
            variable.model_dump(mode="json", by_alias=True, exclude_none=True)
            for variable in self.revision.spec.pod.env
        ]
        return theirs + own

    def _build_addresses(self) -> list[Manifest]:
        store, redis = self.servers.store, self.servers.redis
        place = name_collection(self.agent.namespace, self.agent.name, self.revision)
        own: list[Manifest] = [
            {"name": "AGENT_VECTOR_STORE", "value": f"{store.url}/{place}{store.query}"},
            {"name": "AGENT_REDIS", "value": redis.url},
        ]
        secrets = {"AGENT_VECTOR_STORE_TOKEN": store.token, "AGENT_REDIS_PASSWORD": redis.password}
        for name, key in secrets.items():
            if key:
                reference = key.model_dump(mode="json", by_alias=True)
                if key == redis.password and redis.is_managed:
                    reference["optional"] = True  # no pod waits for Redis or its password
                own.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
        return own

    def _build_placement(self, placement: PodPlacement, serves: bool) -> Manifest:
        pod = self.revision.spec.pod
        selector = names.selector(self.agent.name, names.ROLE_AGENT, self.revision.name)
        placed = build_placement(placement, spread=selector if serves else None)
        taints = find_gpu_taints(self.revision.spec.resources)
        tolerations = placed.get("tolerations", []) + [
            {"key": name, "operator": "Exists", "effect": "NoSchedule"} for name in taints
        ]
        default_class = self.platform.gpu_runtime_class if taints else None
        optional: Mapping[str, Any] = {
            "tolerations": tolerations,
            "runtimeClassName": (pod.runtime_class_name or default_class) if serves else None,
            "imagePullSecrets": [{"name": secret.name} for secret in pod.image_pull_secrets],
        }
        return placed | {key: value for key, value in optional.items() if value}


def needs_api_server(revision: Revision) -> bool:
    """Return whether the pods send TokenReviews or SubjectAccessReviews to the API server."""
    identity = revision.spec.pipeline.identity
    return identity.token_review is not None or identity.decision == "subjectAccessReview"


def find_gpu_taints(resources: ResourceRequirements) -> list[str]:
    """Return the keys of the taints on nodes that have the requested GPUs.

    NVIDIA's resources have many names (`nvidia.com/gpu`, `nvidia.com/mig-1g.5gb`), their nodes one
    taint; others name the taint like the resource.
    """
    requested = [name for name, amount in resources.limits.items() if str(amount) != "0"]
    nvidia = {"nvidia.com/gpu" for name in requested if name.startswith("nvidia.com/")}
    others = {name for name in requested if "/" in name and "gpu" in name}
    return sorted(nvidia | {name for name in others if not name.startswith("nvidia.com/")})
