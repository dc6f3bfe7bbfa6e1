"""What has been loaded is out of the garbage collector's way, and still freed when replaced."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from agent_runtime.domain import IndexInfo
from agent_runtime.retrieval.snapshot import Snapshot, build, settle
from tests.unit.runtime.fakes import indexed

INFO = IndexInfo("c", "1", "m", 64, 1, 1, False)


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def watched() -> list[Snapshot]:
    return [each for each in gc.get_objects() if isinstance(each, Snapshot)]


def test_a_collection_does_not_walk_through_the_index() -> None:
    snapshot = build(INFO, [indexed("One sentence.")])
    assert snapshot in watched()
    settle()
    assert snapshot not in watched()


def test_the_old_index_is_freed_by_its_last_user() -> None:
    snapshot = build(INFO, [indexed("One sentence.")])
    settle()
    gone = weakref.ref(snapshot.lexical)
    del snapshot
    assert gone() is None
