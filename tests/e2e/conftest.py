"""Fixtures on the real cluster, which `make cluster` has brought up."""

from __future__ import annotations

import uuid
from collections.abc import Generator

import pytest

from tests.cluster.installation import install_operator
from tests.cluster.kubectl import Kubectl


@pytest.fixture(scope="session")
def operator() -> Kubectl:
    """The operator, installed with Helm as a user would; kubectl in its namespace."""
    return install_operator()


@pytest.fixture(scope="module")
def namespace(operator: Kubectl) -> Generator[Kubectl]:
    """kubectl in a namespace of this module's own."""
    kubectl = Kubectl(f"test-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")
