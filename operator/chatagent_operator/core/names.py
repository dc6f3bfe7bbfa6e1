"""Names and labels of the objects of an agent.

No two agents have an object of the same kind and name: each kind's names end differently, in what
no agent's own name ends in (`api.crd.RESERVED_PATTERN`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chatagent_operator.api.group import GROUP

Key = tuple[str, str]
"""Namespace and name of an object."""

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "chatagent-operator"
AGENT_LABEL = f"{GROUP}/agent"
ROLE_LABEL = f"{GROUP}/role"
REVISION_LABEL = f"{GROUP}/revision"

APPLIED_ANNOTATION = f"{GROUP}/applied"
"""Digest of what the operator last applied to a child. Equal digests need no write."""

ROUTES_ANNOTATION = f"{GROUP}/routes"
"""Generation of the routes that an HTTPRoute was built from."""

PASSWORD_ANNOTATION = f"{GROUP}/password"
"""When the password of Redis was written that the pods of a template read, if it is not the
first one."""

COMMAND_ANNOTATION = f"{GROUP}/command"
"""A user's command: JSON with `id`, `action` and the `revision` that it applies to."""

RESTARTED_ANNOTATION = f"{GROUP}/restartedAt"
"""When a user last restarted the pods: on the ChatAgent, and on the template of its pods."""

CONTENT_KEY = "revision.json"
"""Key of a revision's ConfigMap with its content, from which its ControllerRevision is restored."""

ROLE_AGENT = "agent"
ROLE_GATEWAY = "gateway"
ROLE_INGESTION = "ingestion"
ROLE_EVALUATION = "evaluation"
ROLE_VECTOR_STORE = "vector-store"
ROLE_CACHE = "cache"


def digest(value: Any, length: int = 8) -> str:
    """Compute the hexadecimal digest of a JSON value. It does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def revision(agent: str, revision: str) -> str:
    """Name of the ControllerRevision, ConfigMap, Deployment and Service of a revision."""
    return f"{agent}-{revision}"


def gateway(agent: str) -> str:
    """Name of the StatefulSet, ConfigMap, ServiceAccount, Role and RoleBinding of the gateway."""
    return f"{agent}-gateway"


def routes(agent: str) -> str:
    """Name of the ConfigMap with the routes of the gateway."""
    return f"{agent}-routes"


def vector_store(agent: str, engine: str = "chroma") -> str:
    """Name of the StatefulSet and Service of the managed store."""
    return f"{agent}-{engine}"


def redis(agent: str) -> str:
    """Name of the StatefulSet, Service and Secret of the managed Redis."""
    return f"{agent}-redis"


def ingestion(agent: str, content: str) -> str:
    """Name of the Job that indexes one content of the knowledge sources."""
    return f"{agent}-ingest-{content}"


def evaluation(agent: str, content: str) -> str:
    """Name of the Job that asks two revisions the same questions, and of the ConfigMap with its
    report.

    Args:
        content: more digits than a revision has, which else could have the same name in an agent
            that is named after this one.
    """
    return f"{agent}-eval-{content}"


def labels(agent: str, role: str, revision: str | None = None) -> dict[str, str]:
    """Build the labels of a child."""
    result = {
        "app.kubernetes.io/name": "chatagent",
        "app.kubernetes.io/instance": agent,
        "app.kubernetes.io/component": role,
        MANAGED_BY_LABEL: MANAGED_BY,
        AGENT_LABEL: agent,
        ROLE_LABEL: role,
    }
    return result | ({REVISION_LABEL: revision} if revision else {})


def selector(agent: str, role: str, revision: str | None = None) -> dict[str, str]:
    """Build the labels that select the pods of a child. They never change."""
    result = {AGENT_LABEL: agent, ROLE_LABEL: role}
    return result | ({REVISION_LABEL: revision} if revision else {})
