"""A converted sentence-embedding model on ONNX Runtime. Pooling and norm are in the graph.

It is safe to call from several threads at once; each call uses `threads` of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from tokenizers import Tokenizer

from agent_runtime.domain import Matrix, TextKind
from agent_runtime.models.catalogue import Manifest
from agent_runtime.models.described import Described
from agent_runtime.models.onnx_session import open_session

BATCH = 32


class OnnxEmbedder(Described):
    """Reads `model.onnx` and `tokenizer.json` of a folder that the catalogue found."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int) -> None:
        self._session = open_session(folder, threads)
        self._counter = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._counter.no_truncation()
        self._counter.no_padding()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(manifest.max_tokens)
        self._tokenizer.enable_padding()
        super().__init__(manifest)

    def count_tokens(self, text: str) -> int:
        return len(self._counter.encode(text, add_special_tokens=False).ids)

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        """Embed in batches of similar length, so that little of a batch is padding."""
        texts = self._prompts.before(texts, kind)
        rows = np.empty((len(texts), self.dimension), np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            rows[batch] = self._run([texts[index] for index in batch])
        return rows

    def _run(self, texts: list[str]) -> Matrix:
        encodings = self._tokenizer.encode_batch(texts)
        inputs = {
            "input_ids": np.array([each.ids for each in encodings], np.int64),
            "attention_mask": np.array([each.attention_mask for each in encodings], np.int64),
        }
        return cast(Matrix, self._session.run(["embedding"], inputs)[0])
