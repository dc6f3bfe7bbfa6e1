"""Revisions: the versioned part of a spec, named by its hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chatagent_operator.api.v1alpha1 import VersionedSpec
from chatagent_operator.core import names


@dataclass(frozen=True)
class Revision:
    """A revision."""

    name: str
    """Hash of its spec: eight hexadecimal digits."""

    spec: VersionedSpec

    @property
    def content(self) -> dict[str, Any]:
        """The fields that differ from the defaults, as stored in the ControllerRevision."""
        return _content(self.spec)


def build_revision(spec: VersionedSpec) -> Revision:
    """Build the revision of a spec.

    Defaults are not part of the hash, so that a field that a later operator adds does not create
    a new revision of every agent.
    """
    return Revision(names.digest(_content(spec)), spec)


def restore_revision(name: str, content: Any) -> Revision:
    """Restore a revision from its content. It keeps its name, whatever its hash is now.

    Raises:
        pydantic.ValidationError: this operator cannot read the content.
    """
    return Revision(name, VersionedSpec.model_validate(content))


def name_collection(namespace: str, agent: str, revision: Revision) -> str:
    """Return the name of a revision's collection: one for each embedding model, prompt of its
    passages and chunking."""
    retrieval = revision.spec.pipeline.retrieval
    key = [retrieval.embedding_model, retrieval.chunking.model_dump(mode="json")]
    if (prompt := retrieval.embedding_prompts.passage) is not None:
        key.append(prompt)
    return f"{namespace}.{agent}.{names.digest(key)}"


def _content(spec: VersionedSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
