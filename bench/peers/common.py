"""What all contestants share: the passages, an embedding that costs next to nothing, the answer.

It runs in the peers' environments too, so it imports only the standard library and NumPy.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

DIMENSION = 384
TOP_K = 5
ANSWER = "Your order ships within one business day and arrives two to four days later [1]."
PROMPT = "Answer from the passages only.\n\n{context}\n\nQuestion: {question}\nAnswer:"


CANDIDATES = 4 * TOP_K
"""Candidates of each search where dense and lexical search are fused."""
HYBRID = os.environ.get("BENCH_RETRIEVAL") == "hybrid"
_WORD = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]")


def words(text: str) -> list[str]:
    """Return what lexical search compares: English words, Chinese characters."""
    return _WORD.findall(text.lower())


def passages() -> list[dict[str, str]]:
    """Return the passages, `{id, title, text}`, from the file that BENCH_PASSAGES names."""
    return json.loads(Path(os.environ["BENCH_PASSAGES"]).read_text(encoding="utf-8"))


def embed(texts: Sequence[str]) -> Any:
    """Return unit rows of float64, shape [texts, DIMENSION]: each word is a direction."""
    rows = np.zeros((len(texts), DIMENSION))
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % DIMENSION] += 1.0
        row[0] += 1e-3
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
