"""Names that exist, so that generated requests get past the first look-up."""

from __future__ import annotations

from typing import Any, cast

import schemathesis


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    if isinstance(body, dict) and "model" in body:
        cast(dict[str, Any], body)["model"] = "agent"
    return body


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    if isinstance(path_parameters, dict) and "store_id" in path_parameters:
        cast(dict[str, Any], path_parameters)["store_id"] = "quickstart"
    return path_parameters
