"""Which tool is chosen: of the example shop's, with the real embedding model.

What has to be chosen is in requests.yaml; what documents answer, or nothing, is in the quickstart's
questions. Run with `-s` to see the figures and each mistake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_runtime.config import ToolCallsConfig, load
from agent_runtime.domain import Matrix, TextKind, ToolSpec
from agent_runtime.models import catalogue
from agent_runtime.models.onnx import OnnxEmbedder
from agent_runtime.tools.routing import Router
from agent_runtime.tools.slots import Slots
from tests.contract.runtime.images import MODEL
from tests.contract.runtime.processes import REPOSITORY

TODAY = date(2026, 6, 15)
EXAMPLES = REPOSITORY / "examples"
ORDER: dict[str, Any] = {
    "type": "string",
    "description": "Order number: HG and ten digits.",
    "examples": ["HG1000000001"],
}
TICKET = {
    "type": "object",
    "properties": {
        "subject": {"type": "string"},
        "description": {"type": "string"},
        "customer_email": {"type": "string"},
        "order_id": ORDER,
    },
    "required": ["subject", "description", "customer_email"],
}
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "get_order_status": (
        "Where an order is: its status, carrier, expected day of delivery and items.",
        {"type": "object", "properties": {"order_id": ORDER}, "required": ["order_id"]},
    ),
    "create_ticket": ("File a request to customer service and return it with its number.", TICKET),
}


class InThread:
    """An embedder for the event loop."""

    def __init__(self, embedder: OnnxEmbedder) -> None:
        self._embedder = embedder
        self.model = embedder.model

    def reads(self, language: str) -> bool:
        return self._embedder.reads(language)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        return await asyncio.to_thread(self._embedder.embed, texts, kind)


@pytest.fixture(scope="module")
def vectors(models: Path) -> InThread:
    folder, manifest = catalogue.find(models, MODEL)
    return InThread(OnnxEmbedder(folder, manifest, 2))


@pytest.fixture(scope="module")
def specs() -> list[ToolSpec]:
    configs = {tool.name: tool for tool in load(EXAMPLES / "orders" / "agent.yaml").tools}
    return [
        ToolSpec(name, description, schema, configs[name].effect, configs[name].examples)
        for name, (description, schema) in KNOWN.items()
    ]


def cases() -> list[tuple[str, str | None, str]]:
    here = yaml.safe_load(Path(__file__).with_name("requests.yaml").read_text("utf-8"))
    asked = yaml.safe_load((EXAMPLES / "quickstart" / "questions.yaml").read_text("utf-8"))
    return [
        *((each["text"], each.get("tool"), each["split"]) for each in here["requests"]),
        *((each["question"], None, each["split"]) for each in asked["questions"]),
    ]


@pytest.mark.parametrize("split", ["dev", "test", "second", "third", "fourth"])
async def test_requests_reach_their_tool_and_questions_reach_none(
    vectors: InThread, specs: list[ToolSpec], split: str
) -> None:
    router = Router(vectors, Slots(), ToolCallsConfig().min_score)
    right = wrong = missed = 0
    for text, wanted, belongs in cases():
        if belongs != split:
            continue
        chosen = await router.choose(text, specs, TODAY)
        name = chosen.name if chosen else None
        right += name is not None and name == wanted
        wrong += name is not None and name != wanted
        missed += wanted is not None and name != wanted
        if name != wanted:
            ranked = await router.rank(text, specs, TODAY)
            print(
                f"{text}: {name}, not {wanted}", [(e.spec.name, round(e.score, 2)) for e in ranked]
            )
    precision, recall = right / (right + wrong), right / (right + missed)
    print(f"{split}: precision {precision:.3f}, recall {recall:.3f} of {right + missed}")
    assert precision >= 0.95
    assert recall >= 0.85
