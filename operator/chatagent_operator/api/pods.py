"""What is said of pods and of objects beside a ChatAgent: the parts of the spec that are as in
Kubernetes itself."""

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
    """CPU, memory and devices of a container."""

    requests: dict[str, Quantity] = {}
    """What the scheduler sets aside, such as `cpu: 500m`."""

    limits: dict[str, Quantity] = {}
    """What the container may use at most, such as `nvidia.com/gpu: 1`."""


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
                        "message": "names that begin with AGENT_ belong to the operator",
                    }
                ]
            },
        ),
    ]
    """Name of the variable. Names that begin with `AGENT_` belong to the operator."""

    value: str | None = None
    """Its value."""

    value_from: RawObject | None = None
    """Where the value comes from: `secretKeyRef`, `configMapKeyRef`, `fieldRef` or
    `resourceFieldRef`, as in a Pod."""


class Toleration(ConfigModel):
    """A taint that the pods tolerate, as in a Pod."""

    key: str | None = None
    """Key of the taint. Absent with `Exists`: every taint."""

    operator: Literal["Exists", "Equal"] = "Equal"
    """`Equal` compares `value` too."""

    value: str | None = None
    """Value of the taint."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: every effect."""

    toleration_seconds: int | None = None
    """How long `NoExecute` is tolerated, in seconds. Absent: for ever."""


class LocalObjectReference(ConfigModel):
    """Names an object in the ChatAgent's own namespace."""

    name: ObjectName
    """Name of the object."""


class SecretKeyRef(ConfigModel):
    """Names a key of a Secret in the ChatAgent's own namespace."""

    name: ObjectName
    """Name of the Secret."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the Secret."""


class PodSettings(ConfigModel):
    """What the pods of the agent need beyond image and resources."""

    env: Annotated[tuple[EnvVar, ...], Field(max_length=100)] = ()
    """Environment variables."""

    env_from: Annotated[tuple[RawObject, ...], Field(max_length=20)] = ()
    """Secrets and ConfigMaps whose keys become environment variables, as in a Pod."""

    node_selector: dict[str, str] = {}
    """Labels that a node must have."""

    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=20)] = ()
    """Taints that the pods tolerate. A pod that asks for GPUs tolerates the taint of that
    resource's name without being told."""

    affinity: RawObject | None = None
    """Affinity and anti-affinity, as in a Pod."""

    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the pods. Absent: the operator's setting for GPU pods, none for others."""

    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""

    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=10)] = ()
    """Secrets for pulling the image."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""

    service_account_name: ObjectName | None = None
    """ServiceAccount of the pods. Absent: one without rights, named after the agent."""

    termination_grace_period_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """How long a pod may finish its open conversations after it was told to stop, in seconds."""
