"""What an ingestion answers for: the stored documents that it removes where it was not given them.

Sources and uploads are kept by different hands, so neither may take the other's away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from agent_runtime.domain import ChunkKey
from agent_runtime.knowledge.sources import UPLOADS
from agent_runtime.ports import IndexWriter


@dataclass(frozen=True, slots=True)
class Scope:
    """Some documents of a source; all of it without `paths`; everything but uploads without
    both."""

    source: str | None = None
    paths: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all that is not uploaded."""
        return self.source is None

    def __contains__(self, key: ChunkKey) -> bool:
        if self.source is None:
            return key.source != UPLOADS
        return key.source == self.source and (self.paths is None or key.path in self.paths)

    async def keys(self, writer: IndexWriter) -> AsyncIterator[ChunkKey]:
        """Yield the stored keys that are needed to know the scope's: of the whole, all."""
        for path in (None,) if self.paths is None else sorted(self.paths):
            async for page in writer.stored_keys(self.source, path):
                for key in page:
                    yield key


SOURCES = Scope()
"""Everything but the uploads."""


def uploads(*paths: str) -> Scope:
    """Return the scope of some uploaded files; of all without any."""
    return Scope(UPLOADS, frozenset(paths) if paths else None)
