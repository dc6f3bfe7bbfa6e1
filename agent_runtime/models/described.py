"""What is said of an embedding model, and the prompts that it is to read before a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent_runtime.domain import TextKind
from agent_runtime.models.catalogue import Manifest


@dataclass(frozen=True, slots=True)
class Prompts:
    """What comes before a query and a passage; empty for a model that was trained without."""

    query: str
    passage: str

    def before(self, texts: Sequence[str], kind: TextKind) -> Sequence[str]:
        """Return the texts as the model is to read them."""
        prompt = {"query": self.query, "passage": self.passage, "plain": ""}[kind]
        return [prompt + text for text in texts] if prompt else texts


class Described:
    """What a manifest says of a model, for every embedder that serves one."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._prompts = Prompts(manifest.query_prompt, manifest.passage_prompt)

    @property
    def model(self) -> str:
        return self._manifest.name

    @property
    def dimension(self) -> int:
        return self._manifest.dimension

    @property
    def max_tokens(self) -> int:
        return self._manifest.max_tokens

    @property
    def passage_prompt(self) -> str:
        return self._prompts.passage

    def reads(self, language: str) -> bool:
        return not self._manifest.languages or language in self._manifest.languages
