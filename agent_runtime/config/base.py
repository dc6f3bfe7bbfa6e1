"""What all parts of the configuration share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

FREE_FORM: dict[str, JsonValue] = {"x-kubernetes-preserve-unknown-fields": True}

JsonObject = Annotated[dict[str, Any], Field(json_schema_extra=FREE_FORM)]
"""A JSON object whose fields somebody else defines."""
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=253)]
"""Name of an environment variable, so that no secret stands in the configuration."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)]
PythonName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", max_length=512)]
"""`package.module:name`."""


def _alias(name: str) -> str:
    """Return a field's name outside: `base_url` is `baseURL`, as Kubernetes writes it."""
    return re.sub(r"Url$", "URL", to_camel(name))


class ConfigModel(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are errors, values are immutable."""

    model_config = ConfigDict(
        alias_generator=_alias,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )
