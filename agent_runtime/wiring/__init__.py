"""The composition root: which adapter stands behind which port, and nothing else.

Adapters are imported where they are chosen, since each brings packages that another image or
command does without.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent_runtime.config import AgentConfig
from agent_runtime.errors import InvalidConfigError
from agent_runtime.models.catalogue import find, names
from agent_runtime.ports import Embedder
from agent_runtime.settings import cpus
from agent_runtime.stores import address


def embedder(config: AgentConfig, models: Path, threads: int) -> Embedder:
    """Load the embedding model of an agent.

    Raises:
        ModelNotFoundError: the image does not hold it.
        InvalidConfigError: passages may be longer than it reads, or the image cannot run it.
    """
    model = load_model(config.retrieval.embedding_model, models, threads)
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


def serve(
    config: AgentConfig,
    store: str,
    token: str | None,
    models: Path,
    revision: str,
    host: str,
    port: int,
    drain_seconds: float,
) -> None:
    """Serve one revision until SIGTERM. Raises AgentError where it cannot start."""
    where = address.parse(store)
    model = embedder(config, models, threads=1)

    from agent_runtime.http.app import build_app
    from agent_runtime.http.chat import Chat
    from agent_runtime.http.health import Health
    from agent_runtime.http.server import run
    from agent_runtime.llm.extractive import ExtractiveGenerator
    from agent_runtime.pipeline import Pipeline
    from agent_runtime.retrieval.follower import IndexFollower
    from agent_runtime.retrieval.hybrid import HybridRetriever
    from agent_runtime.stores.chroma import ChromaIndex
    from agent_runtime.telemetry import Telemetry

    telemetry = Telemetry(revision)
    index = ChromaIndex(where, token)
    follower = IndexFollower(
        index, model, lambda new: telemetry.index_version(new.info.collection, new.info.version)
    )
    executor = ThreadPoolExecutor(cpus(), thread_name_prefix="embed")
    retriever = HybridRetriever(model, index, follower, executor, config.retrieval.top_k)
    pipeline = Pipeline(retriever, ExtractiveGenerator(config.llm), telemetry)
    health = Health(follower, revision)
    chat = Chat(pipeline, model.count_tokens, config.llm.model)
    app = build_app(chat, health, follower, telemetry, revision)
    run(app, host, port, health.drain, drain_seconds)


def ingest(
    config: AgentConfig,
    store: str,
    token: str | None,
    models: Path,
    sources: Mapping[str, Path],
    wait_seconds: float,
) -> dict[str, object]:
    """Bring the collection in line with the sources and return the report. Raises AgentError."""
    from agent_runtime.knowledge.ingest import ingest as run
    from agent_runtime.knowledge.ingest import recipe
    from agent_runtime.knowledge.progress import progress
    from agent_runtime.knowledge.sources import read_sources
    from agent_runtime.knowledge.waiting import wait_for
    from agent_runtime.stores.chroma import ChromaIndex

    where = address.parse(store)
    chunking = config.retrieval.chunking
    documents, skipped = read_sources(sources, recipe(chunking))
    model = embedder(config, models, threads=cpus())

    async def work() -> dict[str, object]:
        index = ChromaIndex(where, token)
        await wait_for(index.describe, wait_seconds)
        done = await run(documents, index, model, chunking, progress())
        return {
            "documents": done.documents,
            "chunks": done.chunks,
            "changed": done.changed,
            "indexVersion": done.index_version,
            "collection": where.collection,
            "skipped": [{"path": each.path, "reason": each.reason} for each in skipped],
        }

    return asyncio.run(work())


def convert(model: str, output: Path, format: str) -> str:
    """Convert a model for an image and return its name. Raises AgentError."""
    from agent_runtime.models.convert import convert as run

    return run(model, output, format).name


def check(models: Path) -> list[str]:
    """Load everything that serving and ingesting need, and name the models: a build's last step.

    Raises:
        ImportError: a package is missing from the image.
        AgentError: a model does not load.
    """
    for module in ("http.app", "knowledge.ingest", "llm.extractive", "stores.chroma"):
        importlib.import_module(f"agent_runtime.{module}")
    found = names(models)
    for name in found:
        load_model(name, models, threads=1).embed(["loads"])
    return found
