"""What the bodies of all endpoints share: base model, texts, names, conversation ids.

Fields that mean nothing here are ignored, as clients send many; those that are here have the right
type or the request is refused.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from agent_runtime.errors import InvalidRequestError
from agent_runtime.settings import UNNAMED_REVISION

CONVERSATION = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ISSUED = re.compile(r"[a-z]+_([0-9a-f]{8})[0-9a-f]{24}(-.*)?")
_REVISION = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
MAX_QUESTION = 8000
"""Characters of one message that is searched for. A longer one is not a question."""
NO_NUL: dict[str, Any] = {"pattern": "^[^\\x00]*$"}


class Body(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(strict=True, use_attribute_docstrings=True)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "a NUL character cannot stand in a text")
    return text


Text = Annotated[str, AfterValidator(_without_nul), Field(json_schema_extra=NO_NUL)]
"""What people write. It may be as long as the body."""
Identifier = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,256}$")]
"""An id of somebody else's making."""
FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Short = Annotated[str, StringConstraints(max_length=200)]
MetadataKey = Annotated[str, StringConstraints(pattern=r"^[^\x00]{1,64}$")]
MetadataValue = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]
"""Up to 16 pairs of texts that a client keeps with an object."""


def issued(kind: str) -> str:
    """Return a new id that nobody can guess and that remembers when it was made."""
    return f"{kind}_{int(time.time()):08x}{uuid.uuid4().hex[:24]}"


def issued_conversation(revision: str) -> str:
    """Return the name of a new conversation. It ends in the revision that it began on, so that a
    gateway without a memory can send its turns there; to the runtime that means nothing, and a
    conversation may go on at any revision."""
    named = revision != UNNAMED_REVISION and _REVISION.fullmatch(revision)
    return issued("conv") + (f"-{revision}" if named else "")


def issued_at(id: str) -> int:
    """Return when an id was made, in seconds since 1970; 0 for an id of a client's own."""
    found = _ISSUED.fullmatch(id)
    return int(found[1], 16) if found else 0


def conversation_id(header: str | None, body: str | None, new: str) -> str:
    """Return the conversation's name: from the header, as gateways read it, else from the body,
    else the new one. Raises InvalidRequestError where it could not stand in a header."""
    given = header or body
    if given is None:
        return new
    if not CONVERSATION.fullmatch(given):
        raise InvalidRequestError(
            "conversation_id: 1 to 128 letters, digits and . _ : -", "conversation_id"
        )
    return given


def check_question(text: str, param: str) -> None:
    """Raise InvalidRequestError where a message is too long to be a question."""
    if len(text) > MAX_QUESTION:
        raise InvalidRequestError(
            f"{param}: the last user message is longer than {MAX_QUESTION} characters",
            param,
            "context_length_exceeded",
        )
