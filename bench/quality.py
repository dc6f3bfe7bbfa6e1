"""How good extractive answers are over each vector store and each embedding model.

`python -m bench.quality` starts each store on this machine, indexes the quickstart's documents
with each embedding model, asks all of the quickstart's questions one after another in this process,
and writes a table. `--output` names the file, which is bench/results/quality-DATE.md otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from agent_runtime import settings
from agent_runtime.config import AgentConfig
from agent_runtime.domain import Matrix, TextKind
from agent_runtime.evaluation import questions
from agent_runtime.evaluation.judging import Judged
from agent_runtime.evaluation.questions import Question
from agent_runtime.evaluation.report import Report, summarize
from agent_runtime.evaluation.runner import run
from agent_runtime.knowledge.ingest import Ingestion
from agent_runtime.knowledge.preparing import recipe
from agent_runtime.knowledge.progress import progress
from agent_runtime.knowledge.sources import read_sources
from agent_runtime.knowledge.worker import DocumentWorker
from agent_runtime.ports import Embedder
from agent_runtime.settings import Environment
from agent_runtime.stores import open_index
from agent_runtime.stores.address import parse
from agent_runtime.wiring import models
from agent_runtime.wiring.compose import compose
from agent_runtime.wiring.evaluation import asking
from bench.corpus import QUICKSTART
from bench.stores import running
from tests.contract.runtime.images import MODEL, TORCH, both_formats
from tests.contract.runtime.processes import Agent

RESULTS = Path(__file__).parent / "results"
STORES = ("chroma", "faiss", "weaviate")
EMBEDDINGS = {
    "onnx": "ONNX, int8",
    "torch": "sentence-transformers, fp32",
    "url": "`/v1/embeddings`",
    "url-all": "`/v1/embeddings`, `languages` not given",
}
TARGETS = {"hit5": 0.95, "cited": 0.9, "refused": 0.9}
PACKAGES = (
    "chromadb", "faiss-cpu", "weaviate-client", "onnxruntime", "sentence-transformers", "torch",
    "openai", "bm25s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    store: str
    embedding: str
    report: Report
    judged: Sequence[Judged]

    def name(self) -> str:
        return f"{self.store} | {EMBEDDINGS[self.embedding]}"


class Remembering:
    """An embedding model that embeds each text once: stores get the same vectors."""

    def __init__(self, model: Embedder) -> None:
        self._model = model
        self._known: dict[TextKind, dict[str, Any]] = {}
        self.model, self.dimension = model.model, model.dimension
        self.max_tokens, self.passage_prompt = model.max_tokens, model.passage_prompt

    def reads(self, language: str) -> bool:
        return self._model.reads(language)

    def count_tokens(self, text: str) -> int:
        return self._model.count_tokens(text)

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        known = self._known.setdefault(kind, {})
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, self._model.embed(new, kind), strict=True))
        return np.array([known[text] for text in texts], np.float32)


@contextmanager
def serving_embeddings(image: Path, folder: Path) -> Generator[str]:
    """Serve the ONNX model as `/v1/embeddings`, by the runtime itself. Yields the base URL."""
    (folder / "agent.yaml").write_text("retrieval: {when: never}\n")
    agent = Agent(folder, image, "chroma://127.0.0.1:1/none")
    agent.start()
    try:
        agent.becomes(ready=True)
        yield f"{agent.base}/v1"
    finally:
        agent.stop()


def retrieval(embedding: str, url: str) -> Mapping[str, object]:
    remote = {"embeddingModel": f"openai/{MODEL}", "baseURL": url}
    return {
        "onnx": {"embeddingModel": MODEL},
        "torch": {"embeddingModel": TORCH},
        "url": {**remote, "languages": ["en"]},
        "url-all": remote,
    }[embedding]


async def index(config: AgentConfig, environment: Environment, embedder: Embedder) -> None:
    chunking = config.retrieval.chunking
    made = recipe(chunking, embedder.passage_prompt)
    originals, _ = read_sources({"help-centre": QUICKSTART / "knowledge"}, made)
    worker = DocumentWorker(models.counter(config, environment.models), chunking)
    where = open_index(parse(config.retrieval.vector_store or ""))
    try:
        with progress() as shown:
            done = await Ingestion(where, embedder, worker, shown).run(originals)
        assert not done.skipped
    finally:
        worker.close()
        await where.close()


async def ask(
    config: AgentConfig, environment: Environment, asked: Sequence[Question]
) -> list[Judged]:
    runtime = compose(config, environment)
    try:
        await runtime.start()
        runtime.ready()
        return await run(asked, asking(runtime))
    finally:
        await runtime.stop()


def measured(
    stores: Sequence[str], embeddings: Sequence[str], asked: Sequence[Question]
) -> Iterator[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image = folder / "image"
        both_formats(image)
        url = stack.enter_context(serving_embeddings(image, folder))
        addresses = {each: stack.enter_context(running(each, folder)) for each in stores}
        environment = replace(settings.read(os.environ), models=image, vector_store=None)
        for embedding in embeddings:
            embedder: Embedder | None = None
            for store in stores:
                section = {**retrieval(embedding, url), "vectorStore": addresses[store](embedding)}
                config = AgentConfig.model_validate({"retrieval": section})
                if embedder is None:
                    made = models.embedder(config, image, settings.cpus(), environment.variables)
                    embedder = Remembering(made)
                asyncio.run(index(config, environment, embedder))
                judged = asyncio.run(ask(config, environment, asked))
                print(f"{store}, {embedding}: done", file=sys.stderr, flush=True)
                yield Row(store, embedding, summarize(judged), judged)


def table(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| Store | Embeddings | hit@5 | MRR | cited | cited, dev half | cited, test half | facts "
        "| grounded | refused | injected | p50 | p95 |"
    )
    yield f"|---|---|{'---:|' * 11}"
    bounds = [f"≥ {TARGETS[name]}" if name in TARGETS else "" for name in ("hit5", "", "cited")]
    yield f"| *wanted* | | {' | '.join(bounds)} | | | | | ≥ {TARGETS['refused']} | 0 | | ≤ 200 ms |"
    for row in rows:
        every, halves = row.report.all, [row.report.groups[half] for half in ("dev", "test")]
        shares = [every.hit5, every.mrr, every.cited, *(half.cited for half in halves)]
        shares += [every.facts, every.grounded, every.refused]
        cells = " | ".join("–" if share is None else f"{share:.3f}" for share in shares)
        times = f"{every.p50:.0f} ms | {every.p95:.0f} ms"
        yield f"| {row.name()} | {cells} | {every.injected} | {times} |"


def by_language(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table of what differs between the languages, over the first store."""
    yield "| Embeddings | Language | hit@5 | MRR | cited | facts | refused |"
    yield f"|---|---|{'---:|' * 5}"
    for row in rows:
        if row.store != rows[0].store:
            continue
        for language in ("en", "zh"):
            of = row.report.groups[language]
            shares = (of.hit5, of.mrr, of.cited, of.facts, of.refused)
            cells = " | ".join("–" if share is None else f"{share:.3f}" for share in shares)
            yield f"| {EMBEDDINGS[row.embedding]} | {language} | {cells} |"


def others(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how many replies differ from those of the first row, and on what questions."""
    first = {each.question.id: each for each in rows[0].judged}
    for row in rows[1:]:
        changed = [each for each in row.judged if each.text != first[each.question.id].text]
        worse = [each for each in changed if _right(first[each.question.id]) and not _right(each)]
        better = [each for each in changed if _right(each) and not _right(first[each.question.id])]
        names = [f"worse: {_ids(worse)}"] * bool(worse) + [f"better: {_ids(better)}"] * bool(better)
        yield f"- {row.name().replace(' |', ',')}: {len(changed)}{''.join(f'; {n}' for n in names)}"


def _right(each: Judged) -> bool:
    return bool(each.cited or each.refused)


def _ids(judged: Sequence[Judged]) -> str:
    return ", ".join(each.question.id for each in judged)


def document(rows: Sequence[Row], asked: Sequence[Question], load: float) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    counts: Mapping[str, int] = {
        kind: sum(each.kind == kind for each in asked)
        for kind in ("fact", "follow-up", "unanswerable", "injection")
    }
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    documents = len(list((QUICKSTART / "knowledge").glob("*.md")))
    lines = [
        "# Quality of extractive answers, for each store and embedding model",
        "",
        f"{date.today()}, `{' '.join(['python -m bench.quality', *sys.argv[1:]])}`: {len(asked)} "
        f"hand-written questions ({kinds}) on {documents} documents in English and Chinese, asked "
        f"one after another in one process; stores and `/v1/embeddings` on the same machine. "
        f"{platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} before: the times "
        f"are upper bounds. Python {platform.python_version()}, {versions}, Weaviate 1.35.2. "
        f"All models are {MODEL}.",
        "",
        *table(rows),
        "",
        "The method was tuned on the dev half and on `bench/calibration.yaml`. Of the test half "
        "only sums were looked at, a few times while the method grew: it is not quite untouched, "
        "and it is what to expect of another shop's documents. [How to evaluate](../../docs/"
        "evaluation.md) says what each measure is.",
        "",
        f"By language, over {rows[0].store}:",
        "",
        *by_language(rows),
        "",
        f"Replies that differ from those of {rows[0].name().replace(' |', ',')}; "
        "worse and better by the right source cited or refused:",
        "",
        *others(rows),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", nargs="+", default=list(STORES), choices=STORES)
    parser.add_argument(
        "--embeddings", nargs="+", default=list(EMBEDDINGS), choices=list(EMBEDDINGS)
    )
    parser.add_argument("--output", type=Path, default=RESULTS / f"quality-{date.today()}.md")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    asked = questions.load(QUICKSTART / "questions.yaml")
    rows = list(measured(options.stores, options.embeddings, asked))
    options.output.write_text(document(rows, asked, load), encoding="utf-8")
    print(options.output)


if __name__ == "__main__":
    main()
