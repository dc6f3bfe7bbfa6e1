"""Options and fixtures of all tests."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports it: tests in two folders use it.
pytest.register_assert_rewrite("tests.contract.gateway.behaviour")

from tests.cluster.installation import install_operator  # noqa: E402
from tests.cluster.kubectl import Kubectl  # noqa: E402

# The machine may be busy: how long an example takes is not what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


class Golden:
    """Compares texts with files that a person has looked at."""

    def __init__(self, update: bool) -> None:
        self._update = update

    def check(self, name: str, text: str) -> None:
        """Fails where the text differs from `tests/golden/NAME`."""
        path = GOLDEN / name
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run pytest with --update-golden and look at it"
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Golden files."""
    return Golden(bool(request.config.getoption("--update-golden")))


@pytest.fixture(scope="session")
def operator() -> Kubectl:
    """The operator on the cluster that `make cluster` brought up, installed with Helm as a user
    would; kubectl in its namespace."""
    return install_operator()


@pytest.fixture(scope="module")
def namespace(operator: Kubectl) -> Generator[Kubectl]:
    """kubectl in a namespace of this module's own."""
    kubectl = Kubectl(f"test-{uuid.uuid4().hex[:8]}")
    kubectl.run("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl.run("delete", "namespace", kubectl.namespace, "--wait=false")
