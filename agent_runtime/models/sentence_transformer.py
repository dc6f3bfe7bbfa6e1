"""A sentence-embedding model in torch format, for images with a GPU.

Imported by wiring only where torch is installed; ONNX Runtime serves CPU images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sentence_transformers import SentenceTransformer

from agent_runtime.domain import Matrix
from agent_runtime.models.catalogue import Manifest

BATCH = 64


class SentenceTransformerEmbedder:
    """Loads the folder that `agent-runtime convert --format sentence-transformers` wrote."""

    def __init__(self, folder: Path, manifest: Manifest, device: str) -> None:
        self._model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        self._model.max_seq_length = manifest.max_tokens
        self._manifest = manifest

    @property
    def model(self) -> str:
        return self._manifest.name

    @property
    def dimension(self) -> int:
        return self._manifest.dimension

    @property
    def max_tokens(self) -> int:
        return self._manifest.max_tokens

    def reads(self, language: str) -> bool:
        return not self._manifest.languages or language in self._manifest.languages

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer.tokenize(text))

    def embed(self, texts: Sequence[str]) -> Matrix:
        rows = self._model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        )
        return cast(Matrix, rows)
