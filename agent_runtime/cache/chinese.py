"""The words of a Chinese question that count: its characters, without forms of politeness. Pure."""

from __future__ import annotations

import re

from agent_runtime.cache.tokens import tokens
from agent_runtime.text.language import HAN

_PAUSE = r"[\s,.!:，。！：、]*"
_ASKING = (
    r"请问(?:一下|下)?"
    r"|(?:你好|您好|嗨)(?:[\s,.!，。！、]+|(?=请问|麻烦|我想))"
    r"|(?:麻烦)?请?(?:你|您)?(?:能不能|能否|可不可以|可否|可以|能)?告诉我(?:一下)?"
    r"|我?(?:想要|想|需要)(?:知道|了解|问问|问|咨询)(?:一下|下)?"
    r"|(?:你|您)知道"
)
_OPENING = re.compile(rf"^{_PAUSE}(?:{_ASKING}){_PAUSE}")
# From the first of a run of marks: one that begins anew at each of them takes for ever.
_THANKS = re.compile(
    r"(?<![\s,.!?，。！？])[\s,.!?，。！？]++(?:谢谢|多谢|感谢)(?:你|您|了)?[\s.!。！]*$"
)
_PARTICLE = re.compile(r"(?:[吗啊呀]|(?<![毛花])呢)[\s.!?。！？]*$")
_PIECE = re.compile(rf"[{HAN}]|[^{HAN}]+")
MOST_OPENINGS = 4


def words(text: str) -> tuple[str, ...]:
    """Return each Chinese character and each other word, in order."""
    text = _THANKS.sub("", text.casefold())
    for _ in range(MOST_OPENINGS):
        text = _OPENING.sub("", text, count=1)
    text = _PARTICLE.sub("", text).replace("您", "你")
    found: list[str] = []
    for piece in _PIECE.findall(text):
        found += [piece] if re.match(f"[{HAN}]", piece) else tokens(_spaced(piece))
    return tuple(found)


def _spaced(piece: str) -> str:
    """Return what stands between Chinese characters, with its Chinese marks as space."""
    return re.sub(r"[，。！？；：、“”‘’（）《》「」【】…]", " ", piece)
