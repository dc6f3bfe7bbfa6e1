"""Writes that the API server refused, or could not carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A write that failed, and is tried again."""

    reason: str
    message: str
    role: str = ""
    """Of the object; empty: not known, since it was to be deleted."""

    revision: str | None = None
    is_transient: bool = False
    """Whether the API server may accept the same write the next time."""


Refusals = Mapping[tuple[str, str], Refusal]
"""By kind and name."""
