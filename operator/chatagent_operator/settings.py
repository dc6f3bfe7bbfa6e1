"""The operator's own settings. The environment is read here and nowhere else."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from chatagent_operator.core.agent import Platform
from chatagent_operator.core.children import COMPONENTS


class SettingsError(ValueError):
    """A setting is missing or invalid. The message names it."""


@dataclass(frozen=True)
class Candidacy:
    """How this replica takes part in the election of the leader."""

    namespace: str
    lease: str
    """Name of the Lease."""

    identity: str
    """Identity of this process. A restarted container is another candidate."""

    @property
    def operator(self) -> str:
        """Namespace and name of the Lease: what the replicas of one operator have in common."""
        return f"{self.namespace}/{self.lease}"


@dataclass(frozen=True)
class Settings:
    """Settings of one installation of the operator."""

    platform: Platform
    namespaces: tuple[str, ...]
    """Namespaces to watch. Empty: all."""

    probe_port: int
    metrics_port: int
    log_level: str
    candidacy: Candidacy | None
    """None: this is the only replica, and no leader is elected."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a setting is missing or invalid.
    """

    def words(name: str) -> tuple[str, ...]:
        return tuple(environment.get(name, "").replace(",", " ").split())

    def needed(name: str) -> str:
        if not (value := environment.get(name)):
            raise SettingsError(f"{name} is not set; set it as the chart does")
        return value

    def port(name: str, default: int) -> int:
        text = environment.get(name, str(default))
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise SettingsError(f"{name} must be a port from 1 to 65535, not {text!r}")
        return int(text)

    images = sorted({name for component in COMPONENTS for name in component.images})
    return Settings(
        platform=Platform(
            images={name: needed(f"{name.upper()}_IMAGE") for name in ("operator", *images)},
            gpu_runtime_class=environment.get("GPU_RUNTIME_CLASS") or None,
            cluster_domain=environment.get("CLUSTER_DOMAIN") or "cluster.local",
            image_pull_secrets=words("IMAGE_PULL_SECRETS"),
            image_pull_policy=environment.get("IMAGE_PULL_POLICY") or "IfNotPresent",
        ),
        namespaces=words("WATCH_NAMESPACES"),
        probe_port=port("PROBE_PORT", 8080),
        metrics_port=port("METRICS_PORT", 9090),
        log_level=environment.get("LOG_LEVEL", "INFO").upper(),
        candidacy=_candidacy(environment),
    )


def _candidacy(environment: Mapping[str, str]) -> Candidacy | None:
    if not (namespace := environment.get("POD_NAMESPACE")):
        return None
    pod = environment.get("POD_NAME") or socket.gethostname()
    identity = f"{pod}_{secrets.token_hex(4)}"
    return Candidacy(namespace, environment.get("LEASE_NAME") or "chatagent-operator", identity)
