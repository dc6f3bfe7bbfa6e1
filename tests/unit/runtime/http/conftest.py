"""A runtime without and one with keys."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.runtime.http.harness import Runtime


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    runtime = Runtime()
    async with runtime.client:
        yield runtime


@pytest.fixture
async def keyed() -> AsyncIterator[Runtime]:
    runtime = Runtime(known=True)
    async with runtime.client:
        yield runtime
