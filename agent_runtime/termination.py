"""The container's last words: one JSON object that the kubelet copies into the pod's status.

The operator reads `reason` and `message` from there, so they never need the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

LIMIT = 4096
"""Bytes that the kubelet keeps."""

log = logging.getLogger(__name__)


def write(path: Path | None, report: Mapping[str, object]) -> None:
    """Write a report. A file that cannot be written is logged: it must not hide the outcome."""
    if path is None:
        return
    try:
        path.write_text(encode(report), encoding="utf-8")
    except OSError as error:
        log.warning("cannot write %s: %s", path, error)


def encode(report: Mapping[str, object]) -> str:
    """Return JSON of at most LIMIT bytes: lists lose their end first, then texts."""
    kept = dict(report)
    while len((text := json.dumps(kept, ensure_ascii=False)).encode()) > LIMIT:
        longest = max(kept, key=lambda name: len(json.dumps(kept[name], ensure_ascii=False)))
        value = kept[longest]
        if isinstance(value, (list, tuple, str)) and len(value) > 1:
            kept[longest] = value[: len(value) // 2]
        else:
            del kept[longest]
    return text
