"""Fixtures of the operator's shell."""

from __future__ import annotations

import pytest

from tests.unit.operator_shell.test_reconcile import World


@pytest.fixture
async def world() -> World:
    """An agent that serves, and its operator."""
    made = World(rollout={"steps": [], "keepPrevious": "0s"})
    await made.settle()
    return made
