"""How passages are found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent_runtime.config.base import ConfigModel, EnvName, HttpUrl

DEFAULT_EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class ChunkingConfig(ConfigModel):
    """How documents are cut into the passages that are searched."""

    max_tokens: Annotated[int, Field(ge=32, le=1024)] = 160
    """Longest passage, in tokens of the embedding model. Passages end at headings, paragraphs
    and sentences before they reach it."""

    overlap_sentences: Annotated[int, Field(ge=0, le=5)] = 1
    """Sentences that a passage repeats from the end of the one before it."""


class RerankConfig(ConfigModel):
    """A cross-encoder that reads question and passage together and puts the best first."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of a cross-encoder that is baked into the image, as on the Hugging Face Hub."""

    candidates: Annotated[int, Field(ge=2, le=100)] = 20
    """Passages that it reads for each question."""


class EmbeddingPrompts(ConfigModel):
    """What an embedding model reads before a text, as its card says. A space at the end is part of
    it."""

    query: Annotated[str, Field(max_length=2000)] | None = None
    """Before a question, such as `query: `."""

    passage: Annotated[str, Field(max_length=2000)] | None = None
    """Before a passage, such as `passage: `. A change builds an index of its own."""


class RetrievalConfig(ConfigModel):
    """How passages are found. Dense and lexical search are fused by rank."""

    embedding_model: Annotated[str, Field(min_length=1, max_length=200)] = DEFAULT_EMBEDDING_MODEL
    """Name of a sentence-embedding model that is baked into the image, as on the Hugging Face Hub;
    or `openai/NAME` for a model behind `baseURL`. Another model builds an index of its own."""

    base_url: HttpUrl | None = None
    """Where `openai/NAME` is served, up to and with `/v1`."""

    api_key_env: EnvName | None = None
    """Environment variable with the key for `baseURL`."""

    embedding_prompts: EmbeddingPrompts = EmbeddingPrompts()
    """Prompts of the embedding model. Absent: those that a model of the image was converted with;
    none for `openai/NAME`."""

    languages: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...], Field(max_length=100)
    ] = ()
    """Languages that an `openai/NAME` model reads, as ISO 639-1 codes. Absent: all. For a model of
    the image its card says it."""

    vector_store: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """Address of the collection, such as `chroma://HOST:PORT/COLLECTION`. The flag
    `--vector-store` and the variable AGENT_VECTOR_STORE take precedence; a ChatAgent says it in
    `spec.vectorStore`."""

    when: Literal["auto", "always", "never"] = "auto"
    """`auto` searches unless the intent of the message says that there is nothing to search for."""

    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    """Passages given to the generator."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Passages whose cosine with the question is lower are left out, unless lexical search found
    them too. 0 keeps all."""

    rerank: RerankConfig | None = None
    """A second look at the best passages. Absent: the fused ranking stands."""

    chunking: ChunkingConfig = ChunkingConfig()
    """How documents are cut into passages. A change builds an index of its own."""
