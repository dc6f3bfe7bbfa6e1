"""Which embedder, reranker and generator stand behind an agent."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent_runtime.config import AgentConfig, EmbeddingPrompts, LLMConfig
from agent_runtime.domain import Matrix, TextKind, ToolResult
from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.llm.embedded import EmbeddedGenerator
from agent_runtime.models import estimate, generators
from agent_runtime.models.catalogue import find, find_cross_encoder, kind
from agent_runtime.models.tokens import TokenizerFile
from agent_runtime.ports import Embedder, Generator, Reranker, TokenCounter, Vectors

REMOTE = "openai/"
WARM_UP = "warm-up"


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
        model = load_model(name, models, threads, config.retrieval.embedding_prompts)
    longest = config.retrieval.chunking.max_tokens
    if longest > model.max_tokens:
        raise InvalidConfigError(
            f"pipeline.retrieval.chunking.maxTokens: {longest} is more than the "
            f"{model.max_tokens} tokens that {model.model!r} reads"
        )
    return model


def load_model(
    name: str, models: Path, threads: int, prompts: EmbeddingPrompts | None = None
) -> Embedder:
    """Load an embedding model of the image, with its own prompts unless others are given. Raises
    ModelNotFoundError or InvalidConfigError."""
    folder, manifest = find(models, name)
    given = prompts.model_dump(exclude_none=True) if prompts else {}
    manifest = manifest.model_copy(update={f"{kind}_prompt": given[kind] for kind in given})
    if manifest.format == "onnx":
        from agent_runtime.models.onnx import OnnxEmbedder

        return OnnxEmbedder(folder, manifest, threads)
    device = _torch_device(manifest.name)
    from agent_runtime.models.sentence_transformer import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(folder, manifest, device, threads)


def load_reranker(name: str, models: Path, threads: int) -> Reranker:
    """Load a cross-encoder of the image. Raises ModelNotFoundError or InvalidConfigError."""
    folder, manifest = find_cross_encoder(models, name)
    if manifest.format == "onnx":
        from agent_runtime.models.cross_encoder import OnnxReranker

        return OnnxReranker(folder, manifest, threads)
    device = _torch_device(manifest.name)
    from agent_runtime.models.cross_encoder_torch import TorchReranker

    return TorchReranker(folder, manifest, device, threads)


def try_out(name: str, models: Path) -> None:
    """Load a model of the image and use it once. Raises AgentError."""
    match kind(models, name):
        case "embedding":
            load_model(name, models, threads=1).embed(["loads"], "plain")
        case "cross-encoder":
            load_reranker(name, models, threads=1).score("loads", ["loads"])
        case "generator":
            config = LLMConfig(model=f"huggingface/{name}")
            asyncio.run(generators.load(config, models, None).warm_up())


def _torch_device(name: str) -> str:
    """Return where torch computes. Raises InvalidConfigError where there is no torch."""
    if importlib.util.find_spec("torch") is None:
        raise InvalidConfigError(f"{name!r} is in torch format and this image has no torch")
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def counter(config: AgentConfig, models: Path) -> TokenCounter:
    """Return what counts as the embedding model's tokenizer does, in any process."""
    name = config.retrieval.embedding_model
    if name.startswith(REMOTE):
        return estimate.estimates
    folder, _ = find(models, name)
    return TokenizerFile(folder / "tokenizer.json")


def generator(
    config: AgentConfig,
    models: Path,
    variables: Mapping[str, str],
    embeddings: Embedder | None,
    describe: Callable[[ToolResult, str], str],
) -> Generator:
    """Load or connect the generator of an agent. `describe` puts a tool's result into words.

    Raises:
        ModelNotFoundError: neither the image nor the Hub holds it.
        InvalidConfigError: the image cannot run it, or a key is missing.
    """
    if config.llm.model == "extractive":
        count = embeddings.count_tokens if embeddings else estimate.tokens
        return EmbeddedGenerator(config.llm, count, describe)
    key = variables.get(config.llm.api_key_env) if config.llm.api_key_env else None
    return generators.load(config.llm, models, key)


def reranker(config: AgentConfig, models: Path, threads: int) -> Reranker | None:
    """Load the reranker of an agent, if it has one. Raises ModelNotFoundError."""
    rerank = config.retrieval.rerank
    return load_reranker(rerank.model, models, threads) if rerank else None


async def warm_up(config: AgentConfig, vectors: Vectors | None, reranker: Reranker | None) -> None:
    """Use the models once before the first request is taken. One behind a URL costs money, and may
    come later; the index is not ready before it."""
    if vectors and not config.retrieval.embedding_model.startswith(REMOTE):
        await vectors.embed([WARM_UP], "query")
    if reranker:
        await asyncio.to_thread(reranker.score, WARM_UP, [WARM_UP] * 2)


class NoVectors:
    """For an agent that searches for nothing and has no embedding model: it reads no language, so
    that nobody asks it."""

    model = "none"

    def reads(self, language: str) -> bool:
        return False

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        raise ModelNotFoundError("this agent has no embedding model")


def needs_vectors(config: AgentConfig) -> bool:
    """Tell whether an agent cannot do without an embedding model."""
    return config.retrieval.when != "never" or config.cache.mode == "semantic"
