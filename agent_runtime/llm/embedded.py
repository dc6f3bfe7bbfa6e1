"""The embedded generator as the pipeline sees it: `extractive` for documents, plain words for the
results of tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from agent_runtime.config import LLMConfig
from agent_runtime.domain import Finish, Piece, Prompt, ToolResult, Usage
from agent_runtime.llm.extractive import ExtractiveGenerator, refusal

UNLIMITED = 10_000_000
"""Tokens: it compares sentence by sentence."""


class EmbeddedGenerator:
    """Needs no model but the embeddings that are there already."""

    model = "extractive"
    calls_tools = False
    cites = True
    reads_history = False
    context_tokens = UNLIMITED

    def __init__(
        self,
        config: LLMConfig,
        count_tokens: Callable[[str], int],
        describe: Callable[[ToolResult, str], str],
    ) -> None:
        """`count_tokens` is for the usage; `describe` puts a result into words of a language."""
        self._config = config
        self._extractive = ExtractiveGenerator(config)
        self._count = count_tokens
        self._describe = describe

    def count_tokens(self, text: str) -> int:
        """Nothing is counted against a budget that has no end."""
        return 0

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Piece | Finish]:
        written: list[str] = []
        async with aclosing(self._pieces(prompt)) as pieces:
            async for piece in pieces:
                written.append(piece.text)
                yield piece
        asked, said = self._count(prompt.question.asked), self._count("".join(written))
        yield Finish("stop", Usage(asked, said))

    async def warm_up(self) -> None:
        """There is nothing to load."""

    async def aclose(self) -> None:
        """There is nothing to give back."""

    async def _pieces(self, prompt: Prompt) -> AsyncGenerator[Piece]:
        if prompt.results:
            language = prompt.question.language
            yield Piece("\n\n".join(self._describe(each, language) for each in prompt.results))
        elif prompt.evidence is None:
            yield Piece(refusal(prompt.question.asked, self._config), refusal=True)
        else:
            async for piece in self._extractive.generate(prompt.evidence):
                yield piece
