"""Which of the two languages that the runtime speaks itself a text is in."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["en", "zh"]

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HAN = re.compile(f"[{HAN}]")
_LATIN_WORD = re.compile(r"[A-Za-z]+")


def language_of(text: str) -> Language:
    """Tell Chinese from the rest: Chinese where its characters outnumber the Latin words.

    A Chinese question often holds English names, and a character is about half a word.
    """
    return "zh" if len(_HAN.findall(text)) > len(_LATIN_WORD.findall(text)) else "en"
