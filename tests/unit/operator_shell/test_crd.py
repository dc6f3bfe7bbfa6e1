"""The CRD is structural, explained, and what lies in the repository."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from chatagent_operator.api.crd import manifest
from chatagent_operator.generate import build_files
from tests.cluster.kubectl import ROOT

Schema = dict[str, Any]
PRINTED = "additionalPrinterColumns"


def walk(schema: Schema, path: str) -> Generator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from walk(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key], f"{path}[]")


def root() -> Schema:
    return manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_every_field_is_explained_and_typed() -> None:
    for part in ("spec", "status"):
        for path, schema in walk(root()["properties"][part], part):
            assert "$ref" not in schema, path
            assert "anyOf" not in schema, path
            assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
            assert isinstance(schema.get("exclusiveMinimum", True), bool), path
            assert isinstance(schema.get("exclusiveMaximum", True), bool), path
            if not path.endswith("[]"):
                assert schema.get("description"), f"{path} has no text for kubectl explain"


def test_generated_files_are_current() -> None:
    for path, text in build_files(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `make generate`"


def test_kubectl_get_tells_a_failed_rollout_from_one_that_completed() -> None:
    """The phase does not: after an abort the agent is as it should be."""
    columns = {each["name"]: each for each in manifest()["spec"]["versions"][0][PRINTED]}
    assert columns["Rollout"]["jsonPath"].endswith('[?(@.type=="Progressing")].reason')
    assert "priority" not in columns["Rollout"]
    assert columns["Message"]["priority"] == 1
