"""Counts words, and does on demand what a hostile document does to the process that reads it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence


def words(texts: Sequence[str]) -> list[int]:
    for text in texts:
        if "CRASH" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "BLOCK" in text:
            time.sleep(60)
        if "RAISE" in text:
            raise ValueError("raised")
        if "MEMORY" in text:
            bytearray(16 * 2**30)
    return [len(text.split()) for text in texts]


def broken(texts: Sequence[str]) -> list[int]:
    raise ImportError("no tokenizer")
