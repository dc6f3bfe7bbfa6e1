"""Going back to an old revision: its fields are written into the spec, as a person would."""

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
from chatagent_operator.cli.result import Result, said
from chatagent_operator.cli.revisions import Kept
from chatagent_operator.cli.view import status_of
from chatagent_operator.core import revision
from chatagent_operator.kube.errors import RejectedError

VERSIONED = tuple(VersionedSpec.model_fields)
"""The fields of a spec that a revision is made of."""
GITOPS = re.compile(r"argocd|kustomize-controller|helm|flux", re.IGNORECASE)
"""Field managers that write again what stands in Git, or in a release."""
CHANGED_MEANWHILE = 422


async def undo(cluster: Cluster, arguments: argparse.Namespace) -> Result:
    """Write an old revision into the spec.

    Raises:
        CommandError: there is none, or the spec asks for it already.
    """
    name: str = arguments.name
    agent = await cluster.agent(name)
    status = status_of(agent)
    kept = revisions.kept(await cluster.revisions(name))
    word: str | None = arguments.to_revision
    chosen = revisions.find(word, kept, status) if word else revisions.before(status, kept)
    present = _present(agent["spec"])
    operations = list(_operations(present, chosen))
    if not operations:
        hint = "; `retry` tries it again" if chosen.revision == status.failed_revision else ""
        raise CommandError(f"the spec asks for revision {chosen.revision} already{hint}")
    fields = [operation["path"].removeprefix("/spec/") for operation in operations]
    owners = sorted(set(_owners(agent["metadata"].get("managedFields") or (), fields)))
    generation = agent["metadata"]["generation"]
    guard = {"op": "test", "path": "/metadata/generation", "value": generation}
    try:
        await cluster.patch(name, [guard, *operations], JSON_PATCH)
    except RejectedError as error:
        if error.status == CHANGED_MEANWHILE and "test" in error.message:
            raise CommandError(
                "the spec has just been changed by somebody else; look, and try again"
            ) from None
        raise
    changes = list(revisions.changes(present, _wanted(chosen)))
    document = {
        "namespace": cluster.namespace,
        "name": name,
        "revision": chosen.revision,
        "number": chosen.number,
        "changes": [
            {"path": f"spec.{each.path}", "before": each.before, "after": each.after}
            for each in changes
        ],
        "willBePutBackBy": owners,
    }
    lines = [f"chatagent/{name}: the spec asks for revision {chosen.revision} again"]
    lines += [f"  spec.{each}" for each in changes]
    warning = (
        f"{', '.join(owners)} wrote these fields and will put them back; change them in Git too, "
        "or stop its synchronisation of this ChatAgent first"
    )
    return said(document, "\n".join(lines), warning if owners else None)


def _present(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The versioned part of a spec without its defaults, as a revision keeps it."""
    versioned = {field: spec[field] for field in VERSIONED if field in spec}
    try:
        return revision.of(VersionedSpec.model_validate(versioned)).content
    except pydantic.ValidationError:
        return versioned  # it is not understood: all the more reason to go back


def _wanted(chosen: Kept) -> dict[str, Any]:
    return {field: chosen.content[field] for field in VERSIONED if field in chosen.content}


def _operations(present: Mapping[str, Any], chosen: Kept) -> Iterator[dict[str, Any]]:
    """What of the spec is written anew or removed. Fields that are the same are not touched."""
    wanted = _wanted(chosen)
    for field in VERSIONED:
        if present.get(field) == wanted.get(field):
            continue
        if field in wanted:
            yield {"op": "add", "path": f"/spec/{field}", "value": wanted[field]}
        else:
            yield {"op": "remove", "path": f"/spec/{field}"}


def _owners(entries: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> Iterator[str]:
    """Who, of those that write the same again and again, owns one of the fields."""
    for entry in entries:
        spec = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        manager = str(entry.get("manager", ""))
        if (
            manager != FIELD_MANAGER
            and GITOPS.search(manager)
            and any(f"f:{field}" in spec for field in fields)
        ):
            yield manager
