"""A converted cross-encoder on ONNX Runtime: how well a passage answers a question.

The activation is in the graph; truncation and padding are in the tokenizer file. It is safe to call
from several threads at once; each call uses `threads` of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from agent_runtime.models.catalogue import CrossEncoderManifest
from agent_runtime.models.onnx_session import open_session

BATCH = 16
_FIELDS = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
}


class OnnxReranker:
    """Reads `model.onnx` and `tokenizer.json` of a folder that the catalogue found."""

    def __init__(self, folder: Path, manifest: CrossEncoderManifest, threads: int) -> None:
        self._session = open_session(folder, threads)
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._manifest = manifest

    @property
    def model(self) -> str:
        return self._manifest.name

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score in batches of similar length, so that little of a batch is padding. Shape [n]."""
        scores = np.empty(len(texts), np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            pairs = [(question, texts[index]) for index in batch]
            scores[batch] = self._run(self._tokenizer.encode_batch(pairs))
        return scores

    def _run(self, encodings: Sequence[Encoding]) -> NDArray[np.float32]:
        inputs = {
            name: np.array([getattr(each, _FIELDS[name]) for each in encodings], np.int64)
            for name in self._inputs
        }
        return np.asarray(self._session.run(["score"], inputs)[0], np.float32)
