"""The questions answered of late in one scope, with their vectors: where alike ones are sought."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import numpy as np
import orjson

from agent_runtime.domain import Matrix, Vector

KEEP = 256
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A question that has an answer under `key`."""

    key: str
    question: str
    vector: Vector


def encode(entry: Entry) -> bytes:
    """Return an entry as JSON; the vector loses what a cosine does not need."""
    scaled = np.rint(entry.vector / (np.abs(entry.vector).max() or 1) * 127).astype(np.int8)
    vector = base64.b64encode(scaled.tobytes()).decode()
    return orjson.dumps([VERSION, entry.key, entry.question, vector])


def decode(data: bytes) -> Entry | None:
    """Return the entry, or None where the bytes are something else."""
    try:
        version, key, question, vector = orjson.loads(data)
        row = np.frombuffer(base64.b64decode(vector, validate=True), np.int8).astype(np.float32)
    except (ValueError, TypeError, binascii.Error):
        return None
    length = float(np.linalg.norm(row))
    if version != VERSION or not isinstance(key, str) or not isinstance(question, str):
        return None
    return Entry(key, question, row / length) if length else None


class Recent:
    """What one process has read of a scope's log, newest first."""

    def __init__(self) -> None:
        self.total = 0
        self._entries: list[Entry] = []
        self._alike: list[Entry] = []
        self._matrix: Matrix = np.empty((0, 0), np.float32)

    def read(self, after: int, total: int, new: list[bytes]) -> None:
        """Take over what was added after so many. `total` is how many were ever added: where it is
        less, the log was begun again. Look-ups may be answered in another order than asked."""
        again = total < after
        if not again and total <= self.total:
            return
        known = [] if again else self._entries
        entries = [entry for entry in map(decode, new) if entry is not None] + known
        by_key = {entry.key: entry for entry in reversed(entries)}
        self._entries = list(reversed(by_key.values()))[:KEEP]
        self._matrix = np.empty((0, 0), np.float32)
        self.total = total

    def near(self, vector: Vector, least: float, most: int) -> list[Entry]:
        """Return the entries whose cosine with the vector is at least so much, nearest first."""
        if self._matrix.shape[1] != len(vector):
            self._alike = [each for each in self._entries if each.vector.shape == vector.shape]
            rows = [entry.vector for entry in self._alike]
            self._matrix = np.stack(rows) if rows else np.empty((0, len(vector)), np.float32)
        cosines = self._matrix @ vector
        nearest = np.argsort(-cosines)[:most]
        return [self._alike[at] for at in nearest if cosines[at] >= least]
