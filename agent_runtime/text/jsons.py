"""JSON as a text in a prompt: on one line, Chinese as it is."""

from __future__ import annotations

import json
from typing import Any


def as_text(value: Any) -> str:
    """Return a text unchanged and anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
