"""Bytes as text: byte order marks, UTF-8, what a page declares, and the two Chinese encodings.

A guess counts only where the outcome is plausible: nearly every byte string is some GB18030 text.
"""

from __future__ import annotations

import codecs
import re

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.text.language import HAN

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": "cp1252"}
"""What browsers read these names as."""
_COMMON = {"gb18030": ("gb2312", 0xB0, 0xD7), "big5": ("big5", 0xA4, 0xC6)}
"""Lead bytes of each standard's level 1, the characters in common use."""
PLAUSIBLE = 0.9
"""Least share of common characters among the Chinese ones."""
CHINESE = 0.3
"""Least share of Chinese characters among the letters."""
_HAN = re.compile(f"[{HAN}]")
_LETTER = re.compile(r"[^\W\d_]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def decode(content: bytes, declared: str | None = None) -> str:
    """Return the text with line feeds only. `declared` is a charset that the document names.

    Raises:
        UnreadableDocumentError: it is binary, or in an encoding that cannot be told.
    """
    text = _decoded(content, declared)
    if "\0" in text or len(_CONTROL.findall(text)) > len(text) / 100:
        raise UnreadableDocumentError("binary, not text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(content: bytes, declared: str | None) -> str:
    for mark, name in _MARKS:
        if content.startswith(mark):
            text = _strict(content[len(mark) :], name)
            if text is None:
                raise UnreadableDocumentError(f"not the {name.upper()[:6]} that it begins as")
            return text
    for name in ("utf-8", _known(declared)):
        if name and (text := _strict(content, name)) is not None:
            return text
    found = {name: text for name in _COMMON if (text := _strict(content, name)) is not None}
    best = max(found, key=lambda name: _plausibility(found[name], name), default=None)
    if best is None or _plausibility(found[best], best) < PLAUSIBLE:
        wrong = "binary, not text" if b"\0" in content else "not UTF-8"
        raise UnreadableDocumentError(wrong)
    return found[best]


def _strict(content: bytes, name: str) -> str | None:
    try:
        return content.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _known(declared: str | None) -> str | None:
    """Return the codec of a declared charset; None where it is none of text."""
    try:
        found = codecs.lookup(declared or "")
    except (LookupError, ValueError):
        return None
    text = getattr(found, "_is_text_encoding", True) and not found.name.startswith("utf-7")
    return _SUPERSETS.get(found.name, found.name) if text else None


def _plausibility(text: str, name: str) -> float:
    """Return the share of common characters; 0 where too little of the text is Chinese."""
    han = _HAN.findall(text)
    if not han or len(han) < CHINESE * len(_LETTER.findall(text)):
        return 0.0
    standard, first, last = _COMMON[name]
    leads = [each.encode(standard, "replace")[0] for each in han]
    return sum(first <= lead <= last for lead in leads) / len(leads)
