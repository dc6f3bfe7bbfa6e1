"""AgentConfig: the one contract between a person, the operator and the runtime.

The same model is `spec.pipeline` of a ChatAgent, the file that `agent-runtime serve` reads, and
what the operator hashes into a revision. It must import nothing but pydantic and the standard
library (and PyYAML to read a file), since the operator imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

DEFAULT_EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class ConfigModel(BaseModel):
    """camelCase outside, snake_case inside; unknown fields are errors, values are immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class ChunkingConfig(ConfigModel):
    """How documents are cut into the passages that are searched."""

    max_tokens: Annotated[int, Field(ge=32, le=1024)] = 160
    """Longest passage, in tokens of the embedding model. Passages end at headings, paragraphs
    and sentences before they reach it."""

    overlap_sentences: Annotated[int, Field(ge=0, le=5)] = 1
    """Sentences that a passage repeats from the end of the one before it."""


class RetrievalConfig(ConfigModel):
    """How passages are found. Dense and lexical search are fused by rank."""

    embedding_model: Annotated[str, Field(min_length=1, max_length=200)] = DEFAULT_EMBEDDING_MODEL
    """Name of a sentence-embedding model that is baked into the image, as on the Hugging Face Hub.
    Another model builds an index of its own."""

    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    """Passages given to the generator."""

    chunking: ChunkingConfig = ChunkingConfig()
    """How documents are cut into passages. A change builds an index of its own."""


class LLMConfig(ConfigModel):
    """What writes the answer."""

    model: Literal["extractive"] = "extractive"
    """`extractive` answers with the sentences of the retrieved passages that match the question
    best, quoted and cited, and says so when nothing matches. It needs no download."""

    max_sentences: Annotated[int, Field(ge=1, le=10)] = 3
    """Most sentences in an answer."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0.35
    """Lowest match between the question and a sentence (0 to 1) that counts as an answer."""

    no_answer: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Reply when no sentence matches. Absent: a sentence in the language of the question."""


class AgentConfig(ConfigModel):
    """The pipeline of an agent: retrieval, then the generator."""

    retrieval: RetrievalConfig = RetrievalConfig()
    """How passages are found."""

    llm: LLMConfig = LLMConfig()
    """What writes the answer."""


def load(path: Path) -> AgentConfig:
    """Read an AgentConfig from a YAML file.

    Raises:
        OSError: the file cannot be read.
        yaml.YAMLError: it is not YAML.
        pydantic.ValidationError: a field is wrong; the error names it.
    """
    return AgentConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
