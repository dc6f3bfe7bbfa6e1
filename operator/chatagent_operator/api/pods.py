"""Settings of pods and references to other objects: the parts of the spec that have the form and
the meaning that they have in Kubernetes itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from agent_runtime.config import ConfigModel

DnsLabel = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]
Quantity = Annotated[
    int | str,
    Field(
        union_mode="left_to_right",
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        },
    ),
]
RawObject = Annotated[
    dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
]


class ResourceRequirements(ConfigModel):
    """CPU, memory and devices of a container, as in a Pod."""

    requests: dict[str, Quantity] = {}
    """Minimum that the scheduler reserves for the container, such as `cpu: 500m`."""

    limits: dict[str, Quantity] = {}
    """Maximum that the container may use, such as `nvidia.com/gpu: 1`."""


class EnvVar(ConfigModel):
    """An environment variable."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            json_schema_extra={
                "x-kubernetes-validations": [
                    {
                        "rule": "!self.startsWith('AGENT_')",
                        "message": "names that begin with AGENT_ are reserved for the operator; "
                        "choose another name",
                    }
                ]
            },
        ),
    ]
    """Name of the variable. Names that begin with `AGENT_` are reserved for the operator."""

    value: str | None = None
    """Value of the variable."""

    value_from: RawObject | None = None
    """Source of the value: `secretKeyRef`, `configMapKeyRef`, `fieldRef` or `resourceFieldRef`, as
    in a Pod."""


class Toleration(ConfigModel):
    """A taint that the pods tolerate, as in a Pod."""

    key: str | None = None
    """Key of the taint. If it is empty and the operator is `Exists`, every taint is tolerated."""

    operator: Literal["Exists", "Equal"] = "Equal"
    """`Exists` matches any value of the taint; `Equal` compares `value`."""

    value: str | None = None
    """Value of the taint."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. If it is empty, every effect is tolerated."""

    toleration_seconds: int | None = None
    """How long a `NoExecute` taint is tolerated, in seconds. If it is empty, there is no limit."""


class LocalObjectReference(ConfigModel):
    """Reference to an object in the namespace of the ChatAgent."""

    name: ObjectName
    """Name of the object."""


class SecretKeyRef(ConfigModel):
    """Reference to a key of a Secret in the namespace of the ChatAgent."""

    name: ObjectName
    """Name of the Secret."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the Secret."""


class PodPlacement(ConfigModel):
    """Where pods run, and what they are labelled with."""

    labels: Annotated[dict[str, str], Field(max_length=50)] = {}
    """More labels of the pods. Those that the operator sets cannot be changed."""

    annotations: Annotated[dict[str, str], Field(max_length=50)] = {}
    """More annotations of the pods."""

    node_selector: dict[str, str] = {}
    """Labels that a node must have for the pods to be scheduled on it."""

    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=20)] = ()
    """Taints that the pods tolerate. A pod that requests GPUs also tolerates the taint that is
    named after that resource; it need not be listed."""

    affinity: RawObject | None = None
    """Affinity and anti-affinity, as in a Pod."""

    topology_spread_constraints: Annotated[tuple[RawObject, ...], Field(max_length=10)] = ()
    """How the pods are spread over nodes and zones, as in a Pod. Default for agent and gateway:
    over both, as far as there is room."""

    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""


class PodSettings(PodPlacement):
    """Settings of the agent's pods other than image and resources. Labels, annotations and
    placement also apply to the Jobs that run its image, where these do not set their own."""

    env: Annotated[tuple[EnvVar, ...], Field(max_length=100)] = ()
    """Environment variables of the container."""

    env_from: Annotated[tuple[RawObject, ...], Field(max_length=20)] = ()
    """Secrets and ConfigMaps whose keys become environment variables, as in a Pod."""

    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods. Default: for pods that request a GPU the operator's setting
    `gpuRuntimeClass`, for other pods none."""

    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=10)] = ()
    """Secrets with the credentials for pulling the image."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""

    service_account_name: ObjectName | None = None
    """ServiceAccount of the pods. Default: one that is created for the agent, is named after it and
    has no permissions."""

    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """How long a pod that is being terminated may take to finish the answers in progress, in
    seconds."""
