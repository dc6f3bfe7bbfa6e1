"""Answers that are given again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent_runtime.config.base import ConfigModel


class CacheConfig(ConfigModel):
    """Answers that are given again, to the same question over the same documents by somebody with
    the same rights. An answer that used a tool is never kept."""

    mode: Literal["exact", "semantic", "off"] = "exact"
    """`exact` compares the question word for word, apart from case, width and white space.
    `semantic` also takes a question that asks the same in the same order with other words for
    asking; never one whose names, numbers, negations or order differ."""

    ttl_seconds: Annotated[int, Field(ge=1, le=2_592_000)] = 3600
    """How long an answer is kept, in seconds."""

    min_similarity: Annotated[float, Field(ge=0.5, le=1)] = 0.92
    """For `semantic`: lowest cosine between the questions."""
