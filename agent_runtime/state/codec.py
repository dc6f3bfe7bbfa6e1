"""A session as bytes. What was written by another version, or by somebody else, is no session."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from agent_runtime.domain import Session

VERSION = 1
_SESSION = TypeAdapter(Session)


def encode(session: Session) -> bytes:
    """Return a session as JSON."""
    written = asdict(replace(session, loaded=None))
    del written["loaded"]
    document: dict[str, Any] = {"version": VERSION, "session": written}
    try:
        return orjson.dumps(document)
    except TypeError:
        # Half of a surrogate pair, or a whole number beyond 64 bits.
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def decode(data: bytes) -> Session | None:
    """Return the session, or None where it is not one of this version."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("version") != VERSION:
            return None
        return _SESSION.validate_python(document["session"])
    except (ValueError, KeyError, ValidationError, RecursionError):
        return None
