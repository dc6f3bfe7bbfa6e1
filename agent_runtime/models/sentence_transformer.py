"""A sentence-embedding model in torch format, for images with a GPU.

Imported by wiring only where torch is installed; ONNX Runtime serves CPU images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sentence_transformers import SentenceTransformer

from agent_runtime.domain import Matrix, TextKind
from agent_runtime.models import torch_threads
from agent_runtime.models.catalogue import Manifest
from agent_runtime.models.described import Described

BATCH = 64


class SentenceTransformerEmbedder(Described):
    """Loads the folder that `agent-runtime convert --format sentence-transformers` wrote."""

    def __init__(self, folder: Path, manifest: Manifest, device: str, threads: int) -> None:
        """`threads`: CPU threads for one call."""
        self._model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        self._model.max_seq_length = manifest.max_tokens
        self._threads = threads
        super().__init__(manifest)

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer.tokenize(text))

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        torch_threads.use(self._threads)
        rows = self._model.encode(
            list(self._prompts.before(texts, kind)),
            prompt="",  # nor the one that its folder calls the default
            batch_size=BATCH,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return cast(Matrix, rows)
