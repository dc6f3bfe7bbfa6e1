"""Fixtures of the tests on the real node."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.cluster.kubectl import Kubectl, dev

RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "nvidia"},
    "handler": "runc",
}


@pytest.fixture
def two_gpus(namespace: Kubectl) -> Generator[None]:
    """The node claims two GPUs as an extended resource."""
    namespace.apply(RUNTIME_CLASS)
    dev("gpus", "2")
    yield
    dev("gpus", "0")
    namespace.run("delete", "runtimeclass", "nvidia")
