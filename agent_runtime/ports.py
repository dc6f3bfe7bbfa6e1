"""What the pipeline needs from the outside, as Protocols; adapters live in models/ and stores/.

No adapter is imported here. Only `wiring` chooses one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent_runtime.domain import (
    Answer,
    ChunkKey,
    EmbeddedChunk,
    Evidence,
    Finish,
    Hit,
    IndexedChunk,
    IndexInfo,
    Json,
    Matrix,
    Piece,
    Principal,
    Prompt,
    Session,
    TextKind,
    ToolCall,
    ToolSpec,
    Vector,
)


class Embedder(Protocol):
    """A sentence-embedding model. Its methods block: call them in a thread."""

    @property
    def model(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longest text it reads, in tokens; the rest is cut off."""
        ...

    def reads(self, language: str) -> bool:
        """Tell whether the model was trained on a language (ISO 639-1)."""
        ...

    @property
    def passage_prompt(self) -> str:
        """What it puts before each passage; an index is made with it."""
        ...

    def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        """Return one unit row of float32 for each text."""
        ...

    def count_tokens(self, text: str) -> int:
        """Count tokens without the special ones, with no limit on the length."""
        ...


class TokenCounter(Protocol):
    """Counts as an embedding model's tokenizer does. Picklable: another process may do it."""

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text without the special ones."""
        ...


class IndexReader(Protocol):
    """A collection, to be searched. Every method raises VectorStoreUnavailableError."""

    @property
    def local(self) -> bool:
        """Whether it searches in this process, with what it has loaded."""
        ...

    async def describe(self) -> IndexInfo | None:
        """Return what the collection says of itself, or None where there is no such collection."""
        ...

    async def search(self, vector: Vector, limit: int) -> list[Hit]:
        """Return the nearest chunks, best first. Raises IndexMissingError."""
        ...

    def read(self) -> AsyncIterator[list[IndexedChunk]]:
        """Yield all chunks in pages. Raises IndexMissingError."""
        ...

    def vectors(self, ids: Sequence[str]) -> AsyncIterator[tuple[Sequence[str], Matrix]]:
        """Yield the vectors of chunks in pages; of those that are there. Raises
        IndexMissingError."""
        ...


class IndexWriter(Protocol):
    """A collection, to be changed by one writer. All methods raise VectorStoreUnavailableError."""

    async def open(self, embedding_model: str, dimension: int) -> IndexInfo:
        """Create the collection unless it exists."""
        ...

    def stored_keys(
        self, source: str | None = None, path: str | None = None
    ) -> AsyncIterator[list[ChunkKey]]:
        """Yield the keys of chunks in pages: of all, of a source, or of one document of it."""
        ...

    async def begin(self) -> None:
        """Note in the collection that changes follow, so that a crash does not hide them."""
        ...

    async def upsert(self, chunks: Sequence[EmbeddedChunk]) -> None: ...

    async def delete(self, ids: Sequence[str]) -> None: ...

    async def publish(self, version: int, documents: int, sources: str | None = None) -> None:
        """Tell readers that a new version is complete. None leaves `sources` as they are."""
        ...


class Reranker(Protocol):
    """A model that reads a question and a passage together. It blocks: call it in a thread."""

    @property
    def model(self) -> str: ...

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one score for each text, the higher the better. Shape [n]."""
        ...


class Vectors(Protocol):
    """An embedder for the event loop: texts of concurrent requests are embedded together."""

    @property
    def model(self) -> str: ...

    def reads(self, language: str) -> bool: ...

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Matrix:
        """Return one unit row of float32 for each text. Raises OverloadedError, AgentError."""
        ...


class Retriever(Protocol):
    """Finds passages for a question."""

    async def retrieve(self, question: str) -> Evidence: ...


class Generator(Protocol):
    """Writes the reply, piece by piece."""

    @property
    def model(self) -> str:
        """Its name, as `llm.model` gives it."""
        ...

    @property
    def calls_tools(self) -> bool:
        """Whether it has function calling of its own."""
        ...

    @property
    def cites(self) -> bool:
        """Whether its pieces carry citations; otherwise they are found afterwards."""
        ...

    @property
    def context_tokens(self) -> int:
        """Most tokens that it reads and writes together."""
        ...

    @property
    def reads_history(self) -> bool:
        """Whether the turns before the question can change its answer."""
        ...

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, or estimate them where its tokenizer is not at hand."""
        ...

    def generate(self, prompt: Prompt) -> AsyncGenerator[Piece | ToolCall | Finish]:
        """Yield the reply; the last is a Finish. Closing the iterator ends the work behind it.

        Raises:
            GeneratorUnavailableError, GeneratorTimeoutError, OverloadedError, InvalidRequestError.
        """
        ...

    async def warm_up(self) -> None:
        """Do what a first request should not have to wait for. Raises AgentError."""
        ...

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...


class Tool(Protocol):
    """Something that the agent can do."""

    @property
    def spec(self) -> ToolSpec: ...

    async def call(self, arguments: Mapping[str, Json], caller: Principal) -> Json:
        """Do it and return the result. Raises ToolFailedError with words for the generator."""
        ...


class Authenticator(Protocol):
    """Tells who holds a bearer token."""

    async def authenticate(self, token: str) -> Principal | None:
        """Return whose token it is, or None where it is nobody's. Raises UnavailableError."""
        ...


class Authorizer(Protocol):
    """Decides who may use a tool. No answer means no."""

    async def allowed(self, caller: Principal, tool: str) -> bool: ...


class Sessions(Protocol):
    """What is remembered of conversations. Methods raise StateUnavailableError."""

    async def load(self, conversation_id: str) -> Session | None:
        """Return the session, which holds in `loaded` what it was."""
        ...

    async def save(self, session: Session) -> None:
        """Store it. What was stored since it was loaded is kept: the new turns follow it."""
        ...

    async def delete(self, conversation_id: str) -> None:
        """Forget it. A turn that began before is not stored."""
        ...


class Approvals(Protocol):
    """Lets one of many settle what a conversation waits for. Raises StateUnavailableError."""

    async def settle(self, conversation_id: str, pending_id: str) -> bool:
        """Tell whether the conversation waited for this until now. It does so no more."""
        ...


class Records(Protocol):
    """Documents by kind and tenant. Methods raise StateUnavailableError."""

    async def put(
        self, kind: str, tenant: str, id: str, value: bytes, seconds: float | None = None
    ) -> None:
        """Store or replace one, for so long or for good. Raises TooLargeError over 20 MiB."""
        ...

    async def get(self, kind: str, tenant: str, id: str) -> bytes | None: ...

    async def some(self, kind: str, tenant: str, ids: Sequence[str]) -> list[bytes | None]:
        """Return small ones in the order of their ids."""
        ...

    async def delete(self, kind: str, tenant: str, id: str) -> bool:
        """Tell whether there was one."""
        ...

    async def list(
        self, kind: str, tenant: str, limit: int = 100, after: str | None = None
    ) -> list[tuple[str, bytes]]:
        """Return ids and values, the newest first, from the one that follows `after`."""
        ...


class Blobs(Protocol):
    """Bytes that may be forgotten at any time. Methods raise StateUnavailableError."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes, seconds: float) -> None: ...

    async def push(self, key: str, value: bytes, keep: int, seconds: float) -> None:
        """Add to the log of a key, of which the newest `keep` are kept."""
        ...

    async def pushed(self, key: str, after: int) -> tuple[int, list[bytes]]:
        """Return how many were ever added to a log, and those added after so many, newest first.

        A number below `after` says that the log was forgotten and begun again.
        """
        ...


class AnswerCache(Protocol):
    """Answers that may be given again. It never raises: without a store there are no hits."""

    async def get(self, scope: str, question: str, vector: Vector | None) -> Answer | None:
        """Return the answer to this question in this scope, which names all else that it hangs
        on. `vector` is the question's, where the cache asked for one by `semantic`."""
        ...

    async def put(
        self, scope: str, question: str, vector: Vector | None, answer: Answer
    ) -> None: ...

    @property
    def semantic(self) -> bool:
        """Whether it wants the question's vector."""
        ...
