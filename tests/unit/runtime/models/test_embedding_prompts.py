"""Prompts before queries and passages: from the model's folder, the command or the configuration.

A tiny model with random weights is converted both ways.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_runtime.config import AgentConfig, RetrievalConfig
from agent_runtime.domain import Matrix, TextKind
from agent_runtime.models.catalogue import find
from agent_runtime.models.openai_embedder import OpenAIEmbedder
from agent_runtime.ports import Embedder
from agent_runtime.wiring.models import embedder
from tests.contract.runtime.models.servers import Exchange, serving

REPOSITORY = Path(__file__).resolve().parents[4]
TEXTS = ["when will my order ship", "returns are free"]

MAKE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast
from agent_runtime.models.convert import convert
from agent_runtime.wiring.models import load_model

folder = Path(sys.argv[1])
bare = folder / "bare"
bare.mkdir()
words = "[PAD] [UNK] [CLS] [SEP] [MASK] when will my order ship returns are free ask tell :".split()
(bare / "vocab.txt").write_text("\\n".join(words))
BertTokenizerFast(str(bare / "vocab.txt"), model_max_length=64).save_pretrained(bare)
torch.manual_seed(1)
BertModel(BertConfig(
    vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=64, max_position_embeddings=64, initializer_range=0.3,
)).save_pretrained(bare)
texts = ["when will my order ship", "returns are free"]
for name, prompts, default in (
    ("org/plain", {}, None),
    ("org/asking", {"query": "ask : ", "document": "tell : "}, "query"),
    ("org/passages", {"document": "ask : ", "passage": "tell : "}, None),
    ("intfloat/multilingual-e5-small", {}, None),
):
    read = Transformer(str(bare))
    source = folder / "source" / name
    SentenceTransformer(
        modules=[read, Pooling(read.get_embedding_dimension())], prompts=prompts,
        default_prompt_name=default, device="cpu",
    ).save_pretrained(str(source))
    convert(str(source), folder / "onnx")
    convert(str(source), folder / "torch", "sentence-transformers")
    model = load_model(name, folder / "torch", 1)
    rows = {kind: model.embed(texts, kind) for kind in ("plain", "query")}
    alone = rows if name == "org/plain" else alone  # the same weights
    assert np.allclose(rows["plain"], alone["plain"], atol=1e-5), name
    asks = name in ("org/asking", "intfloat/multilingual-e5-small")
    assert np.allclose(rows["query"], rows["plain"], atol=1e-5) != asks, name
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder."""
    folder = tmp_path_factory.mktemp("prompts")
    subprocess.run([sys.executable, "-c", MAKE, str(folder)], cwd=REPOSITORY, check=True)
    return folder / "onnx"


def _load(image: Path, name: str, **fields: Any) -> Embedder:
    retrieval = {"embeddingModel": name, "chunking": {"maxTokens": 32}, **fields}
    return embedder(AgentConfig.model_validate({"retrieval": retrieval}), image, 1, {})


def _same(one: Matrix, other: Matrix) -> bool:
    return np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "prompts"),
    [
        ("org/plain", ("", "")),
        ("org/asking", ("ask : ", "tell : ")),
        ("org/passages", ("", "tell : ")),
        ("intfloat/multilingual-e5-small", ("query: ", "passage: ")),
    ],
)
def test_a_manifest_keeps_the_prompts_of_its_model(
    image: Path, name: str, prompts: tuple[str, str]
) -> None:
    _, manifest = find(image, name)
    assert (manifest.query_prompt, manifest.passage_prompt) == prompts


def test_a_prompt_is_read_before_each_text_of_its_kind(image: Path) -> None:
    model = _load(image, "org/asking")
    assert model.passage_prompt == "tell : "
    prompts: dict[TextKind, str] = {"query": "ask : ", "passage": "tell : "}
    for kind, prompt in prompts.items():
        put = model.embed([prompt + text for text in TEXTS], "plain")
        assert _same(model.embed(TEXTS, kind), put)
        assert not _same(model.embed(TEXTS, "plain"), put)


def test_a_model_without_prompts_knows_no_kinds(image: Path) -> None:
    model = _load(image, "org/plain")
    assert model.passage_prompt == ""
    plain = model.embed(TEXTS, "plain")
    assert _same(model.embed(TEXTS, "query"), plain)
    assert _same(model.embed(TEXTS, "passage"), plain)


def test_a_configuration_says_it_instead_of_the_manifest(image: Path) -> None:
    model = _load(image, "org/asking", embeddingPrompts={"passage": "free : "})
    assert model.passage_prompt == "free : "
    put = model.embed(["free : " + text for text in TEXTS], "plain")
    assert _same(model.embed(TEXTS, "passage"), put)
    assert _same(model.embed(TEXTS, "query"), model.embed(["ask : " + t for t in TEXTS], "plain"))
    assert _load(image, "org/asking", embeddingPrompts={"passage": ""}).passage_prompt == ""


def test_the_command_says_it_instead_of_the_model(image: Path, tmp_path: Path) -> None:
    source = str(image.parent / "source" / "org" / "asking")
    command = [sys.executable, "-W", "ignore", "-m", "agent_runtime", "convert", source]
    options = ["--output", str(tmp_path), "--query-prompt", "free : ", "--passage-prompt", ""]
    subprocess.run([*command, *options], cwd=REPOSITORY, check=True, capture_output=True)
    _, manifest = find(tmp_path, "org/asking")
    assert (manifest.query_prompt, manifest.passage_prompt) == ("free : ", "")


@pytest.mark.parametrize(
    ("prompts", "sent"),
    [
        ({}, [["a", " "]] * 3),
        ({"query": "q: ", "passage": "p: "}, [["q: a", "q: "], ["p: a", "p: "], ["a", " "]]),
    ],
)
async def test_a_service_gets_the_configured_prompts(
    prompts: dict[str, str], sent: list[list[str]]
) -> None:
    seen: list[list[str]] = []

    async def answer(exchange: Exchange) -> None:
        seen.append(exchange.body["input"])
        data = [
            {"object": "embedding", "index": at, "embedding": [1.0, 0.0]}
            for at, _ in enumerate(exchange.body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        await exchange.answer(200, {"object": "list", "model": "e", "data": data, "usage": usage})

    async with serving(answer) as url:
        values = {"embeddingModel": "openai/e", "baseURL": url, "embeddingPrompts": prompts}
        model = OpenAIEmbedder(RetrievalConfig.model_validate(values), {})
        assert await asyncio.to_thread(lambda: model.dimension) == 2
        seen.clear()
        for kind in ("query", "passage", "plain"):
            await asyncio.to_thread(model.embed, ["a", ""], kind)
        model.close()
    assert seen == sent
    assert model.passage_prompt == prompts.get("passage", "")
