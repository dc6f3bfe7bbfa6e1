"""What makes no difference in how a question is written: width, case, space, the end mark. Pure."""

from __future__ import annotations

import re
import unicodedata

_SMALL = re.compile("([\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u215f\u2189]+)")
"""Powers, indices and fractions: NFKC would make 10² the number 102."""
_END = " .,;:!?…~。，；：！？～"


def folded(text: str) -> str:
    """Return the text in NFKC, except for small digits."""
    pieces = _SMALL.split(text)
    return "".join(
        piece if at % 2 else unicodedata.normalize("NFKC", piece) for at, piece in enumerate(pieces)
    )


def normal(question: str) -> str:
    """Return what two questions have in common that are the same word for word."""
    text = " ".join(folded(question).casefold().split())
    return text.rstrip(_END) or text
