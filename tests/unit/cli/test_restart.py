"""`restart`: an annotation that the operator carries to the pods, and which is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.cli import restarting
from chatagent_operator.cli.arguments import build_parser
from chatagent_operator.cli.cluster import MERGE
from chatagent_operator.cli.errors import NO_ANSWER, REFUSED, CommandError
from chatagent_operator.cli.restarting import restart_pods
from chatagent_operator.core.names import RESTARTED_ANNOTATION
from tests.unit.cli.cluster import DEPLOYMENTS, SHOP, Body, FakeServer
from tests.unit.cli.stories import CANARY, CANARY_STATUS, NOW, STABLE, server


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "POLL_SECONDS", 0.0)


async def run(fake: FakeServer, *line: str) -> Any:
    return await restart_pods(fake.cluster, build_parser().parse_args(["restart", "shop", *line]))


async def test_the_pods_of_every_revision_are_restarted() -> None:
    fake = server(CANARY_STATUS)
    request = fake.request

    async def follow(method: str, path: str, body: Any = None, content_type: str = "") -> Body:
        """Play an operator that changes one Deployment for each request."""
        found = await request(method, path, body, content_type)
        annotations = fake.objects[SHOP]["metadata"].get("annotations")
        for each in fake.objects[DEPLOYMENTS] if annotations else ():
            if each["spec"]["template"]["metadata"] == {}:
                each["spec"]["template"]["metadata"] = {"annotations": dict(annotations)}
                break
        return found

    fake.request = follow
    found = await run(fake)
    ((kind, patch),) = fake.writes
    assert kind == MERGE
    at = patch["metadata"]["annotations"][RESTARTED_ANNOTATION]
    assert patch == {"metadata": {"annotations": {RESTARTED_ANNOTATION: at}}}
    assert found.document["restartedAt"] == at
    assert found.document["revisions"] == [STABLE, CANARY, "1a2b3c4d"]
    assert f"kubectl -n demo rollout status deployment/shop-{CANARY}" in found.render("text", NOW)


async def test_no_operator() -> None:
    with pytest.raises(CommandError, match="check that it is running") as silence:
        await run(server(CANARY_STATUS), "--timeout", "0.01")
    assert silence.value.exit_code == NO_ANSWER


async def test_nothing_to_restart() -> None:
    fake = server(CANARY_STATUS, suspend=True)
    with pytest.raises(CommandError, match=r"spec\.suspend is true"):
        await run(fake)
    fake = server(CANARY_STATUS)
    fake.objects[DEPLOYMENTS] = []
    with pytest.raises(CommandError, match="has no pods yet") as refused:
        await run(fake)
    assert refused.value.exit_code == REFUSED
    assert not fake.writes
