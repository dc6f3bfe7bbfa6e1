"""The quickstart's documents as passages, cut by the runtime itself, without a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import yaml

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, Document
from agent_runtime.knowledge.chunking import chunk

REPOSITORY = Path(__file__).resolve().parents[1]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
TOKEN = re.compile(r"[\u3400-\u9fff]|[a-z0-9]{1,6}|[^\w\s]", re.IGNORECASE)


def count_tokens(texts: Sequence[str]) -> list[int]:
    """Count about as many tokens in each text as a sentence embedding model's tokenizer."""
    return [len(TOKEN.findall(text)) for text in texts]


def chunks() -> list[Chunk]:
    """Return about 400 passages of the quickstart's documents."""
    documents: list[Document] = []
    for file in sorted((QUICKSTART / "knowledge").glob("*.md")):
        text = file.read_text(encoding="utf-8")
        title = text.partition("\n")[0].removeprefix("# ")
        documents.append(Document("shop", file.name, title, text, "bench"))
    return [each for doc in documents for each in chunk(doc, count_tokens, ChunkingConfig())]


def write_passages(file: Path) -> int:
    """Write what the peers search, `[{id, title, text}]`, and return how many there are."""
    found = [
        {"id": each.key.id, "title": each.title, "text": f"{each.title}\n{each.text}"}
        for each in chunks()
    ]
    file.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return len(found)


def questions(limit: int = 5000) -> list[str]:
    """Return the hand-written questions, each time with another number, so that none is asked
    twice: nothing that was computed for an earlier one can be taken."""
    listed = yaml.safe_load((QUICKSTART / "questions.yaml").read_text(encoding="utf-8"))
    asked = cycle(each["question"] for each in listed["questions"])
    return [f"{question} ({number})" for number, question in enumerate(islice(asked, limit))]
