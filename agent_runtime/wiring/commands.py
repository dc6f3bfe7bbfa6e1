"""What the command line does, with everything put together."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path

from agent_runtime.config import AgentConfig
from agent_runtime.models.catalogue import names
from agent_runtime.settings import Environment, cpus
from agent_runtime.stores import open_index
from agent_runtime.wiring import models
from agent_runtime.wiring.compose import collection, compose


def serve(
    config: AgentConfig, environment: Environment, host: str, port: int, drain_seconds: float
) -> None:
    """Serve one revision until SIGTERM. Raises AgentError where it cannot start."""
    from agent_runtime.http.server import run
    from agent_runtime.wiring.served import served

    app, drain = served(compose(config, environment), environment)
    run(app, host, port, drain, drain_seconds)


def ingest(
    config: AgentConfig, environment: Environment, sources: Mapping[str, Path], wait_seconds: float
) -> dict[str, object]:
    """Bring the collection in line with the sources and return the report. Raises AgentError."""
    from agent_runtime.knowledge.ingest import Ingestion
    from agent_runtime.knowledge.preparing import recipe
    from agent_runtime.knowledge.progress import progress
    from agent_runtime.knowledge.sources import read_sources
    from agent_runtime.knowledge.waiting import outlast
    from agent_runtime.knowledge.worker import DocumentWorker

    where = collection(config, environment)
    chunking = config.retrieval.chunking
    embedder = models.embedder(config, environment.models, cpus(), environment.variables)
    originals, unread = read_sources(sources, recipe(chunking, embedder.passage_prompt))
    worker = DocumentWorker(models.counter(config, environment.models), chunking)

    async def work() -> dict[str, object]:
        index = open_index(where, environment.vector_store_token)
        try:
            with progress() as shown:
                ingestion = Ingestion(index, embedder, worker, shown)
                # What an interrupted run wrote stays, and the next one goes on from there.
                done = await outlast(lambda: ingestion.run(originals), wait_seconds)
        finally:
            worker.close()
            await index.close()
        skipped = [*unread, *done.skipped]
        return {
            "documents": done.documents,
            "chunks": done.chunks,
            "changed": done.changed,
            "indexVersion": done.index_version,
            "collection": where.collection,
            "skipped": [{"path": each.path, "reason": each.reason} for each in skipped],
        }

    return asyncio.run(work())


def convert(
    model: str, output: Path, format: str, query_prompt: str | None, passage_prompt: str | None
) -> str:
    """Convert a model for an image and return its name. Raises AgentError."""
    from agent_runtime.models.convert import convert as run

    return run(model, output, format, query_prompt, passage_prompt).name


def check(folder: Path) -> list[str]:
    """Load everything that serving and ingesting need, and name the models: a build's last step.

    Raises:
        ImportError: a package is missing from the image.
        AgentError: a model does not load.
    """
    for module in (
        "wiring.served",
        "knowledge.worker",
        "knowledge.progress",
        "knowledge.formats.docx",
        "knowledge.formats.html",
        "knowledge.formats.pdf",
        "stores.chroma",
        "stores.faiss",
        "stores.weaviate",
        "state.redis",
        "models.generators.openai",
        "models.generators.hf_inference",
        "models.generators.ctranslate2",
        "evaluation",
    ):
        importlib.import_module(f"agent_runtime.{module}")
    found = names(folder)
    for name in found:
        models.try_out(name, folder)
    return found
