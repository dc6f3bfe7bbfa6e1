"""How much an encoder-decoder reads beside what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_runtime.config.llm import LLMConfig
from agent_runtime.models.generators.batches import Engine
from agent_runtime.models.generators.codec import Codec
from agent_runtime.models.generators.local import LocalGenerator

TRAINED = 512
"""Tokens that T5 and its kin were trained to read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`tokens` that it was made to read. `relative`: it can read more, less well."""

    tokens: int
    relative: bool

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Reading:
        """Take it from a model's config.json."""
        positions = described.get("n_positions") or described.get("max_position_embeddings")
        relative = "relative_attention_num_buckets" in described
        return cls(int(positions or TRAINED), relative)

    def generator(self, config: LLMConfig, codec: Codec, engine: Engine) -> LocalGenerator:
        """Put a generator together: it reads `tokens` and writes what the configuration says."""
        writes = config.sampling.max_tokens
        reads = self.tokens
        if config.context_tokens is not None:
            reads = max(1, config.context_tokens - writes)
            reads = reads if self.relative else min(reads, self.tokens)
        longest = reads + writes if self.relative else reads
        return LocalGenerator(config, codec, engine, reads, writes, longest)
