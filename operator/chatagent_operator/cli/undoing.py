"""`kubectl chatagent undo`: writes the fields of a previous revision into the spec."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from chatagent_operator.api.v1alpha1 import VersionedSpec
from chatagent_operator.cli import revisions
from chatagent_operator.cli.cluster import FIELD_MANAGER, JSON_PATCH, Cluster
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.result import Result, fixed_result
from chatagent_operator.cli.revisions import StoredRevision
from chatagent_operator.cli.view import read_status
from chatagent_operator.core import revision
from chatagent_operator.kube.errors import RejectedError

VERSIONED = tuple(VersionedSpec.model_fields)
"""The versioned fields of a spec."""
GITOPS = re.compile(r"argocd|kustomize-controller|helm|flux", re.IGNORECASE)
"""Field managers that revert drift from what is in Git, or in a release."""
TEST_FAILED = 422


async def undo_rollout(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Write a previous revision into the spec.

    Raises:
        CommandError: there is none, or it is the desired revision already.
    """
    name: str = arguments.name
    agent = await cluster.agent(name)
    status = read_status(agent)
    kept = revisions.read_revisions(await cluster.revisions(name))
    word: str | None = arguments.to_revision
    chosen = (
        revisions.find_revision(word, kept, status)
        if word
        else revisions.find_previous(status, kept)
    )
    current = _read_content(agent["spec"])
    operations = list(_build_operations(current, chosen))
    if not operations:
        hint = (
            "; roll it out again with `retry`" if chosen.revision == status.failed_revision else ""
        )
        raise CommandError(f"revision {chosen.revision} is already the desired revision{hint}")
    fields = [operation["path"].removeprefix("/spec/") for operation in operations]
    owners = sorted(set(_find_owners(agent["metadata"].get("managedFields") or (), fields)))
    generation = agent["metadata"]["generation"]
    guard = {"op": "test", "path": "/metadata/generation", "value": generation}
    try:
        await cluster.patch(name, [guard, *operations], JSON_PATCH)
    except RejectedError as error:
        if error.status == TEST_FAILED and "test" in error.message:
            raise CommandError(
                "the spec has been changed by someone else meanwhile; check it and try again"
            ) from None
        raise
    changes = list(revisions.find_changes(current, _desired_content(chosen)))
    document = {
        "namespace": cluster.namespace,
        "name": name,
        "revision": chosen.revision,
        "number": chosen.number,
        "changes": [
            {"path": f"spec.{each.path}", "before": each.before, "after": each.after}
            for each in changes
        ],
        "willBeRevertedBy": owners,
    }
    lines = [f"chatagent/{name}: the spec is rolled back to revision {chosen.revision}"]
    lines += [f"  spec.{each}" for each in changes]
    warning = (
        f"these fields are managed by {', '.join(owners)}, which will revert the change; "
        "change them in Git too, or suspend the synchronization of this ChatAgent first"
    )
    return fixed_result(document, "\n".join(lines), warning if owners else None)


def _read_content(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versioned part of a spec without defaults, as a revision stores it."""
    versioned = {field: spec[field] for field in VERSIONED if field in spec}
    try:
        return revision.build_revision(VersionedSpec.model_validate(versioned)).content
    except pydantic.ValidationError:
        return versioned  # an invalid spec can still be rolled back


def _desired_content(chosen: StoredRevision) -> dict[str, Any]:
    return {field: chosen.content[field] for field in VERSIONED if field in chosen.content}


def _build_operations(
    current: Mapping[str, Any], chosen: StoredRevision
) -> Iterator[dict[str, Any]]:
    """Build the JSON Patch operations. Fields that are equal are not touched."""
    desired = _desired_content(chosen)
    for field in VERSIONED:
        if current.get(field) == desired.get(field):
            continue
        if field in desired:
            yield {"op": "add", "path": f"/spec/{field}", "value": desired[field]}
        else:
            yield {"op": "remove", "path": f"/spec/{field}"}


def _find_owners(entries: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> Iterator[str]:
    """Find the managers that revert changes and own one of the fields."""
    for entry in entries:
        spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        manager = str(entry.get("manager", ""))
        if (
            manager != FIELD_MANAGER
            and GITOPS.search(manager)
            and any(f"f:{field}" in spec for field in fields)
        ):
            yield manager
