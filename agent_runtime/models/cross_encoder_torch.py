"""A cross-encoder in torch format, for images with a GPU.

Imported by wiring only where torch is installed; ONNX Runtime serves CPU images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from agent_runtime.models import torch_threads
from agent_runtime.models.catalogue import CrossEncoderManifest

BATCH = 64


class TorchReranker:
    """Loads the folder that `agent-runtime convert --format sentence-transformers` wrote."""

    def __init__(
        self, folder: Path, manifest: CrossEncoderManifest, device: str, threads: int
    ) -> None:
        """`threads`: CPU threads for one call."""
        self._encoder = CrossEncoder(
            str(folder), device=device, local_files_only=True, max_length=manifest.max_tokens
        )
        self._manifest = manifest
        self._threads = threads

    @property
    def model(self) -> str:
        return self._manifest.name

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one score for each text, the higher the better. Shape [n]."""
        if not texts:
            return np.empty(0, np.float32)
        torch_threads.use(self._threads)
        pairs = [(question, text) for text in texts]
        scores = self._encoder.predict(pairs, batch_size=BATCH, show_progress_bar=False)
        return np.asarray(scores, np.float32)
