"""The parts that an agent is put together from, each a piece of YAML, and their combinations.

The same names stand for the same parts everywhere: in an image that holds the embedding model in
both formats and each tiny generator in both, an agent is nothing but its YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import yaml

from tests.contract.runtime.combinations.talk import SYSTEM, TOOL
from tests.contract.runtime.images import MODEL, TORCH

STORES = ("chroma", "faiss", "weaviate")
EMBEDDINGS = ("onnx", "torch", "url")
GENERATORS = ("extractive", "t5", "llama", "t5-int8", "llama-int8", "openai", "hf-inference")
REMOTE = ("openai", "hf-inference")
Kind = Literal["extractive", "taught", "random"]


@dataclass(frozen=True)
class Combination:
    """A store, an embedding model and a generator, by their names here."""

    store: str
    embedding: str
    generator: str

    def __str__(self) -> str:
        return f"{self.store}-{self.embedding}-{self.generator}"

    @property
    def kind(self) -> Kind:
        """What can be expected of the generator: `taught` ones know the suite by heart."""
        if self.generator == "extractive":
            return "extractive"
        return "random" if "t5" in self.generator else "taught"


def everything() -> list[Combination]:
    return [Combination(*parts) for parts in product(STORES, EMBEDDINGS, GENERATORS)]


@dataclass(frozen=True)
class Places:
    """Where things are: what differs between machines, and is no part of an agent."""

    collection: str
    """Address of the collection."""
    embeddings: str
    """A server with `/embeddings`."""
    completions: str
    """A server with `/chat/completions`."""
    served: str
    """The name of its model."""


def retrieval(embedding: str, url: str) -> dict[str, Any]:
    return {
        "onnx": {"embeddingModel": MODEL},
        "torch": {"embeddingModel": TORCH},
        "url": {
            "embeddingModel": f"openai/{MODEL}",
            "baseURL": url,
            "languages": ["en"],
        },
    }[embedding]


def llm(generator: str, places: Places) -> dict[str, Any]:
    # A taught model knows the questions without passages around them.
    taught = {
        "systemPrompt": SYSTEM,
        "promptTemplate": "{question}",
        "contextTokens": 1000,
        "sampling": {"maxTokens": 80},
    }
    remote = {"baseURL": places.completions, **taught}
    return {
        "extractive": {"model": "extractive"},
        "t5": {"model": "huggingface/tiny/t5", "sampling": {"maxTokens": 24}},
        "t5-int8": {"model": "huggingface/int8/t5", "sampling": {"maxTokens": 24}},
        "llama": {"model": "huggingface/tiny/llama", **taught},
        "llama-int8": {"model": "huggingface/int8/llama", **taught},
        "openai": {"model": f"openai/{places.served}", **remote},
        "hf-inference": {"model": f"hf-inference/{places.served}", **remote},
    }[generator]


def as_yaml(combination: Combination, places: Places) -> str:
    """Return the agent. Answers are not kept, so that each one is made anew."""
    found = retrieval(combination.embedding, places.embeddings)
    told = {
        "retrieval": {"vectorStore": places.collection, **found},
        "tools": [TOOL],
        "llm": llm(combination.generator, places),
        "cache": {"mode": "off"},
    }
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
