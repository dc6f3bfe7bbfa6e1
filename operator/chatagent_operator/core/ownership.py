"""Decides whose an existing object is: the agent's own, one to adopt, or that of another owner.

An object that is not the agent's is never written, for it would be deleted with the agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from chatagent_operator.core import names
from chatagent_operator.core.observed.trouble import Trouble

Metadata = Mapping[str, Any]


def find_obstacle(kind: str, desired: Metadata, found: Metadata) -> Trouble | None:
    """Return why an existing object cannot become the desired one; None: it is the agent's, or an
    orphan of an agent of its name, which is adopted.

    Args:
        desired: the metadata that it should have, with the agent as its controller.
        found: its metadata.
    """
    what, agent = f"{kind} {found['name']}", _find_controller(desired)
    if found.get("deletionTimestamp"):
        finalizers = ", ".join(found.get("finalizers") or []) or "none"
        message = (
            f"{what} is being deleted (its finalizers: {finalizers}); "
            "it is created again once it is gone"
        )
        return Trouble("Terminating", message)
    owners = found.get("ownerReferences") or []
    if any(owner.get("uid") == agent["uid"] for owner in owners):
        return None
    if not owners and _is_orphan(desired, found):
        return None
    owner = _find_controller(found) or next(iter(owners), {})
    if (owner.get("kind"), owner.get("name")) == (agent["kind"], agent["name"]):
        message = (
            f"{what} belongs to a deleted {agent['kind']} {agent['name']} with the UID "
            f"{owner.get('uid')}; it is created once that one is garbage-collected"
        )
        return Trouble("NameTaken", message)
    manager = (found.get("labels") or {}).get(names.MANAGED_BY_LABEL)
    if owner:
        whose = f"is owned by {owner.get('kind')} {owner.get('name')}"
    else:
        whose = f"has no owner, and is managed by {manager}" if manager else "has no owner"
    message = f"{what} exists already and {whose}; delete it, or give the agent another name"
    return Trouble("NameTaken", message)


def build_claim(desired: Metadata, found: Metadata) -> dict[str, Any] | None:
    """Return the change of an object's metadata that makes it the agent's; None: it is already.

    Nothing else is changed: the pods of an adopted Deployment must not be restarted.
    """
    labels = found.get("labels") or {}
    missing = {key: value for key, value in desired["labels"].items() if labels.get(key) != value}
    (owner,), owners = desired["ownerReferences"], found.get("ownerReferences") or []
    is_owned = any(each["uid"] == owner["uid"] and each.get("controller") for each in owners)
    if is_owned and not missing:
        return None
    kept = [each for each in owners if each["uid"] != owner["uid"]]
    # As it was when it was judged: another owner may claim it at the same time.
    claim = {"uid": found["uid"], "resourceVersion": found["resourceVersion"], "labels": missing}
    return claim if is_owned else claim | {"ownerReferences": [*kept, owner]}


def find_references(manifest: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return kind and name of the ServiceAccount, ConfigMaps and Secrets that the pods of a
    workload use."""
    template = (manifest.get("spec") or {}).get("template") or {}
    return frozenset(_find_references(template.get("spec") or {}))


def _find_references(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for each in cast(list[Any], value):
            yield from _find_references(each)
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            match key, inner:
                case "serviceAccountName", str():
                    yield "ServiceAccount", inner
                case "secretName", str():
                    yield "Secret", inner
                case (("configMap" | "configMapKeyRef" | "configMapRef"), {"name": str(name)}):
                    yield "ConfigMap", name
                case (("secret" | "secretKeyRef" | "secretRef"), {"name": str(name)}):
                    yield "Secret", name
                case _:
                    yield from _find_references(inner)


def _find_controller(metadata: Metadata) -> Mapping[str, Any]:
    owners = metadata.get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), {})


def _is_orphan(desired: Metadata, found: Metadata) -> bool:
    """Whether the operator made it for an agent of this name, which was deleted without it."""
    labels = found.get("labels") or {}
    keys = (names.MANAGED_BY_LABEL, names.AGENT_LABEL)
    return all(labels.get(key) == desired["labels"][key] for key in keys)
