"""Uploads: multipart bodies with one file, which lies on disk once it is large."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import cast, get_args

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from agent_runtime.errors import InvalidRequestError, TooLargeError
from agent_runtime.http.documents.files import Purpose
from agent_runtime.http.middleware import MAX_UPLOAD

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff/\\]+")
MAX_NAME = 200
PURPOSES: tuple[str, ...] = get_args(Purpose)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came."""

    filename: str
    content: bytes
    purpose: Purpose
    wait: bool


async def read_upload(request: Request) -> Upload:
    """Read a multipart body.

    Raises:
        InvalidRequestError: a field is missing or wrong.
        TooLargeError: the file is larger than 20 MiB.
        HTTPException: it is no multipart body, or a broken one.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise HTTPException(415, f"the body has to be multipart/form-data, not {kind or 'unnamed'}")
    async with request.form(max_files=1, max_fields=20, max_part_size=65_536) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequestError("file: a file is needed", "file")
        purpose = form.get("purpose", "assistants")
        if purpose not in PURPOSES:
            raise InvalidRequestError(f"purpose: one of {', '.join(PURPOSES)}", "purpose")
        if file.size is not None and file.size > MAX_UPLOAD:
            raise TooLargeError(f"file: it is larger than {MAX_UPLOAD} bytes")
        content = await file.read()
        wait = str(form.get("wait", "")).lower() in ("true", "1")
        return Upload(clean(file.filename or ""), content, cast(Purpose, purpose), wait)


def clean(filename: str) -> str:
    """Return a file's name without folders and without what could do harm in a header."""
    name = PurePosixPath(PureWindowsPath(filename).name).name
    name = _UNPRINTABLE.sub("", name).strip().strip(".")
    if len(name) > MAX_NAME:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[: MAX_NAME - len(suffix) - 1]}{dot}{suffix}" if len(suffix) < 20 else name
    return name[:MAX_NAME] or "unnamed"
