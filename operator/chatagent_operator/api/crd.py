"""The CRD, derived from the models: a structural schema with defaults, CEL rules and texts."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

from chatagent_operator.api.group import GROUP, KIND, PLURAL, VERSION
from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import MANAGED_ENGINES, MAX_NAME_LENGTH, ChatAgentSpec

Schema = dict[str, Any]

NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""Names of Services."""

_RESERVED = ("gateway", "routes", *MANAGED_ENGINES, "redis")
"""Ends of the names of children."""

RESERVED_PATTERN = f"-({'|'.join(_RESERVED)}|gateway-[0-9]+|[0-9a-f]{{8}})$"
"""Names that a child of another agent may have."""

_ROOT_RULES = [
    {
        "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
        "message": f"metadata.name must have at most {MAX_NAME_LENGTH} characters, "
        "since the names of pods are derived from it",
    },
    {
        "rule": f"self.metadata.name.matches('{NAME_PATTERN}')",
        "message": "metadata.name must consist of lower-case letters, digits and '-', "
        "and begin with a letter, since a Service is named after it",
    },
    {
        # An agent that exists keeps its name, whatever a later version reserves.
        "rule": "oldSelf.hasValue() || self.metadata.name != 'default' && "
        f"!self.metadata.name.matches('{RESERVED_PATTERN}')",
        "optionalOldSelf": True,
        "message": "metadata.name must not be default nor end in "
        f"{', '.join(f'-{name}' for name in _RESERVED)}, -gateway- and a number, or eight "
        "hexadecimal digits, since objects of other agents have such names; choose another name",
    },
]

_COLUMNS = [
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Phase", "string", ".status.phase", 0),
    ("Rollout", "string", '.status.conditions[?(@.type=="Progressing")].reason', 0),
    ("Stable", "string", ".status.stableRevision", 0),
    ("Canary", "string", ".status.canaryRevision", 0),
    ("Weight", "integer", ".status.rollout.weight", 0),
    ("URL", "string", ".status.url", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Failed", "string", ".status.failedRevision", 1),
    ("Message", "string", '.status.conditions[?(@.type=="Progressing")].message', 1),
]
"""Name, type, JSONPath and priority; columns of priority 1 are shown by `-o wide` only. The reason
of Progressing tells a rollout that failed or was aborted from one that completed; the phase does
not, since after an abort the agent is as it should be."""


def structural(model: type[BaseModel]) -> Schema:
    """Return the model's JSON Schema as a structural schema: no references, unions or nulls."""
    schema = model.model_json_schema(by_alias=True)
    return _inline(schema, cast(Schema, schema.get("$defs", {})))


def _inline(schema: Schema, definitions: Schema) -> Schema:
    if "$ref" in schema:
        target = definitions[str(schema["$ref"]).rsplit("/", 1)[-1]]
        own = {k: v for k, v in schema.items() if k != "$ref"}
        return _inline(target | own, definitions)
    if options := schema.get("anyOf"):
        chosen = [o for o in options if o.get("type") != "null"]
        own = {k: v for k, v in schema.items() if k != "anyOf"}
        if schema.get("x-kubernetes-int-or-string") or any(
            o.get("x-kubernetes-int-or-string") for o in chosen
        ):
            merged = {k: v for o in chosen for k, v in o.items() if k != "type"}
            return _keep(merged | own)
        (option,) = chosen
        return _inline(option | own, definitions)
    return _keep(_children(schema, definitions))


def _children(schema: Schema, definitions: Schema) -> Schema:
    result = dict(schema)
    if "properties" in schema:
        properties = cast(dict[str, Schema], schema["properties"])
        result["properties"] = {k: _inline(v, definitions) for k, v in properties.items()}
        result.pop("additionalProperties", None)
    elif isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _inline(schema["additionalProperties"], definitions)
    else:
        result.pop("additionalProperties", None)
    if "items" in schema:
        result["items"] = _inline(schema["items"], definitions)
    if "const" in schema:
        result["enum"] = [result.pop("const")]
    if isinstance(result.get("default"), dict) and "properties" in result:
        result["default"] = {}  # the defaults within fill it
    return result


def _keep(schema: Schema) -> Schema:
    # Null and empty defaults mean the same as an unset field and would clutter stored objects.
    dropped = {"title", "$defs", "anyOf"}
    if "default" in schema and (
        schema["default"] in (None, [], ())
        or (schema["default"] == {} and "properties" not in schema)
    ):
        dropped.add("default")
    result = {k: v for k, v in schema.items() if k not in dropped}
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in result:  # a number in JSON Schema, a flag in Kubernetes
            result |= {bound: result[exclusive], exclusive: True}
    if isinstance(text := result.get("description"), str):
        result["description"] = " ".join(text.split())
    return result


def manifest() -> Schema:
    """Return the CustomResourceDefinition."""
    spec = structural(ChatAgentSpec) | {"description": "Desired state of the agent."}
    status = structural(ChatAgentStatus) | {
        "description": "Observed state of the agent and its rollout.",
        # To tools that read kstatus an agent is not current before its first reconciliation.
        "default": {"observedGeneration": -1},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ca"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root(spec, status)},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path}
                        | ({"priority": priority} if priority else {})
                        for name, kind, path, priority in _COLUMNS
                    ],
                }
            ],
        },
    }


def _root(spec: Schema, status: Schema) -> Schema:
    return {
        "type": "object",
        "description": "A retrieval-augmented chat agent: its pods, its vector store with your "
        "documents, and a gateway that shifts traffic to new revisions gradually.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": _ROOT_RULES,
    }
