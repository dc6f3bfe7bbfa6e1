"""AgentConfig: the one contract between a person, the operator and the runtime.

The same model is `spec.pipeline` of a ChatAgent, the file that `agent-runtime serve` reads, and
what the operator hashes into a revision. It must import nothing but pydantic and the standard
library (and PyYAML to read a file), since the operator imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, field_validator

from agent_runtime.config.base import ConfigModel, EnvName, HttpUrl, JsonObject, PythonName
from agent_runtime.config.cache import CacheConfig
from agent_runtime.config.dialogue import DialogueConfig, IntentConfig
from agent_runtime.config.identity import (
    IdentityConfig,
    OidcIssuer,
    StaticKey,
    TokenReviewConfig,
)
from agent_runtime.config.llm import LLMConfig, SamplingConfig
from agent_runtime.config.retrieval import (
    DEFAULT_EMBEDDING_MODEL,
    ChunkingConfig,
    EmbeddingPrompts,
    RerankConfig,
    RetrievalConfig,
)
from agent_runtime.config.tools import (
    AccessConfig,
    HttpTool,
    McpTool,
    ToolCallsConfig,
    ToolConfig,
)

__all__ = [
    "DEFAULT_EMBEDDING_MODEL",
    "AccessConfig",
    "AgentConfig",
    "CacheConfig",
    "ChunkingConfig",
    "ConfigModel",
    "CustomStepConfig",
    "DialogueConfig",
    "EmbeddingPrompts",
    "EnvName",
    "HttpTool",
    "HttpUrl",
    "IdentityConfig",
    "IntentConfig",
    "JsonObject",
    "LLMConfig",
    "LimitsConfig",
    "McpTool",
    "OidcIssuer",
    "PythonName",
    "RerankConfig",
    "RetrievalConfig",
    "SamplingConfig",
    "StaticKey",
    "TokenReviewConfig",
    "ToolCallsConfig",
    "ToolConfig",
    "load",
]


class CustomStepConfig(ConfigModel):
    """A step of your own, a Python class of the image."""

    python: PythonName
    """The class, `package.module:Name`. It is made with `parameters` and called with the state of
    the turn."""

    after: Literal["dialogue", "retrieval", "tools", "llm"] = "retrieval"
    """The step that it follows."""

    parameters: JsonObject = {}
    """Arguments of the class."""


class LimitsConfig(ConfigModel):
    """How much work is taken on at once. What is over it is refused early with 429."""

    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Turns that are worked on at the same time in one pod."""

    queue: Annotated[int, Field(ge=0, le=100_000)] = 256
    """Turns that may wait for that in one pod."""

    queue_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long a turn may wait, in seconds."""


class AgentConfig(ConfigModel):
    """The pipeline of an agent: dialogue, retrieval, tools, then the generator."""

    dialogue: DialogueConfig = DialogueConfig()
    """How a conversation is followed."""

    retrieval: RetrievalConfig = RetrievalConfig()
    """How passages are found."""

    tools: Annotated[
        tuple[ToolConfig, ...],
        Field(
            max_length=100,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = ()
    """What the agent can do besides answering."""

    tool_calls: ToolCallsConfig = ToolCallsConfig()
    """Limits on what one turn may do with tools."""

    llm: LLMConfig = LLMConfig()
    """What writes the answer."""

    cache: CacheConfig = CacheConfig()
    """Answers that are given again."""

    identity: IdentityConfig = IdentityConfig()
    """Who asks, and what they may do."""

    limits: LimitsConfig = LimitsConfig()
    """How much work is taken on at once."""

    steps: Annotated[tuple[CustomStepConfig, ...], Field(max_length=20)] = ()
    """Steps of your own between those of the pipeline."""

    @field_validator("tools")
    @classmethod
    def _named_once(cls, tools: tuple[ToolConfig, ...]) -> tuple[ToolConfig, ...]:
        seen: set[str] = set()
        for tool in tools:
            if tool.name in seen:
                raise ValueError(f"two tools are named {tool.name!r}")
            seen.add(tool.name)
        return tools


def load(path: Path) -> AgentConfig:
    """Read an AgentConfig from a YAML file.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: it is not YAML.
        pydantic.ValidationError: a field is wrong; the error names it.
    """
    return AgentConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
