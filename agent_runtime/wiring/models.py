"""Which embedder, reranker and generator stand behind an agent."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent_runtime.config import AgentConfig
from agent_runtime.domain import Matrix
from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models.catalogue import find
from agent_runtime.ports import Embedder, Vectors

REMOTE = "openai/"


def embedder(
    config: AgentConfig, models: Path, threads: int, variables: Mapping[str, str]
) -> Embedder:
    """Load the embedding model of an agent.

    Raises:
        ModelNotFoundError: the image does not hold it.
        EmbeddingsUnavailableError: the service behind it does not answer.
        InvalidConfigError: passages may be longer than it reads, or the image cannot run it.
    """
    name = config.retrieval.embedding_model
    if name.startswith(REMOTE):
        from agent_runtime.models.openai_embedder import OpenAIEmbedder

        model: Embedder = OpenAIEmbedder(config.retrieval, variables)
    else:
        model = load_model(name, models, threads)
    longest = config.retrieval.chunking.max_tokens
    if longest > model.max_tokens:
        raise InvalidConfigError(
            f"pipeline.retrieval.chunking.maxTokens: {longest} is more than the "
            f"{model.max_tokens} tokens that {model.model!r} reads"
        )
    return model


def load_model(name: str, models: Path, threads: int) -> Embedder:
    """Load a model of the image. Raises ModelNotFoundError or InvalidConfigError."""
    folder, manifest = find(models, name)
    if manifest.format == "onnx":
        from agent_runtime.models.onnx import OnnxEmbedder

        return OnnxEmbedder(folder, manifest, threads)
    if importlib.util.find_spec("sentence_transformers") is None:
        raise InvalidConfigError(
            f"{manifest.name!r} is in torch format and this image has no torch"
        )
    import torch

    from agent_runtime.models.sentence_transformer import SentenceTransformerEmbedder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return SentenceTransformerEmbedder(folder, manifest, device)


class NoVectors:
    """For an agent that searches for nothing and has no embedding model: it reads no language, so
    that nobody asks it."""

    model = "none"

    def reads(self, language: str) -> bool:
        return False

    async def embed(self, texts: Sequence[str]) -> Matrix:
        raise ModelNotFoundError("this agent has no embedding model")


def needs_vectors(config: AgentConfig) -> bool:
    """Tell whether an agent cannot do without an embedding model."""
    return config.retrieval.when != "never" or config.cache.mode == "semantic"


def is_batched(vectors: Vectors) -> bool:
    """Tell whether there is a model behind the vectors."""
    return not isinstance(vectors, NoVectors)
