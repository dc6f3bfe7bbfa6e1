"""Undo: to which revision, what is written, and which manager will revert it."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.cli.arguments import build_parser
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.cli.result import Result
from chatagent_operator.cli.undoing import undo_rollout
from chatagent_operator.kube.errors import RejectedError
from tests.conftest import Golden
from tests.unit.cli.cluster import SHOP, Body, FakeServer
from tests.unit.cli.stories import (
    CANARY,
    CANARY_STATUS,
    FAILED_STATUS,
    IMAGE,
    NEW_PIPELINE,
    NOW,
    OLD,
    PIPELINE,
    STABLE,
    server,
)


async def run(fake: FakeServer, *line: str) -> Result:
    return await undo_rollout(fake.cluster, build_parser().parse_args(["undo", "shop", *line]))


def spec(fake: FakeServer) -> Body:
    return fake.objects[SHOP]["spec"]


@pytest.mark.parametrize("status", [CANARY_STATUS, FAILED_STATUS])
async def test_from_what_is_tried_or_failed_to_the_stable_one(status: Body) -> None:
    fake = server(status)
    result = await run(fake)
    assert result.document["revision"] == STABLE
    assert spec(fake) == {"image": f"{IMAGE}:1.4.0", "pipeline": PIPELINE}
    assert result.warning is None


def promoted(*revisions: str) -> Body:
    return {
        "stableRevision": revisions[0],
        "history": [{"revision": each, "outcome": "Promoted"} for each in revisions],
    }


async def test_from_the_stable_one_to_the_one_that_served_before() -> None:
    # It went from the second to the first and on to the third: numbers do not show it.
    fake = server(promoted(CANARY, OLD, STABLE))
    assert (await run(fake)).document["revision"] == OLD
    assert spec(fake) == {"image": f"{IMAGE}:1.3.0"}, "what the old one did not have is removed"


async def test_not_to_one_that_failed() -> None:
    status = promoted(CANARY)
    status["history"].append({"revision": STABLE, "outcome": "Failed"})
    assert (await run(server(status))).document["revision"] == OLD


@pytest.mark.parametrize("word", ["1", OLD, OLD[:4]])
async def test_to_one_that_is_named(word: str, golden: Golden) -> None:
    fake = server(CANARY_STATUS, pod={"nodeSelector": {"zone": "a"}})
    result = await run(fake, "--to-revision", word)
    assert spec(fake) == {"image": f"{IMAGE}:1.3.0"}
    golden.check("cli-undo.txt", result.render("text", NOW) + "\n")


async def test_what_is_the_same_is_not_touched() -> None:
    same = {"image": f"{IMAGE}:1.5.0", "pipeline": PIPELINE | {"dialogue": {"historyTurns": 5}}}
    fake = server(CANARY_STATUS, **same)
    await run(fake)
    (_, operations) = fake.writes[0]
    assert [each["path"] for each in operations] == ["/metadata/generation", "/spec/image"]


async def test_it_is_the_desired_revision_already() -> None:
    fake = server(CANARY_STATUS)
    with pytest.raises(CommandError, match="revision 9d7f6748 is already the desired revision"):
        await run(fake, "--to-revision", CANARY)
    assert not fake.writes


async def test_nothing_to_go_back_to() -> None:
    fake = server({"canaryRevision": CANARY})
    for path in list(fake.objects):
        if path.endswith("controllerrevisions"):
            fake.objects[path] = fake.objects[path][2:]
    with pytest.raises(CommandError, match="no previous revision is stored"):
        await run(fake)


async def test_a_spec_that_changes_meanwhile_is_left_alone() -> None:
    fake = server(CANARY_STATUS)
    request = fake.request

    async def late(method: str, path: str, body: Any = None, content_type: str = "") -> Body:
        if method == "PATCH":
            fake.objects[SHOP]["metadata"]["generation"] = 8
        return await request(method, path, body, content_type)

    fake.request = late
    with pytest.raises(CommandError, match="changed by someone else"):
        await run(fake)
    assert spec(fake)["pipeline"] == NEW_PIPELINE


async def test_another_refusal_is_reported() -> None:
    fake = server(CANARY_STATUS)

    async def refusing(method: str, path: str, body: Any = None, content_type: str = "") -> Body:
        if method == "PATCH":
            raise RejectedError(422, "spec.image: Invalid value")
        return await FakeServer.request(fake, method, path, body, content_type)

    fake.request = refusing
    with pytest.raises(RejectedError, match="Invalid value"):
        await run(fake)


@pytest.mark.parametrize(
    ("manager", "fields", "warned"),
    [
        ("argocd-controller", {"f:spec": {"f:image": {}}}, True),
        ("kustomize-controller", {"f:spec": {"f:pipeline": {"f:llm": {}}}}, True),
        ("helm", {"f:spec": {"f:image": {}}}, True),
        ("argocd-controller", {"f:spec": {"f:replicas": {}}}, False),
        ("kubectl", {"f:spec": {"f:image": {}}}, False),
        ("argocd-controller", {"f:status": {}}, False),
    ],
)
async def test_managers_that_revert_it(manager: str, fields: Body, warned: bool) -> None:
    fake = server(CANARY_STATUS)
    entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields}
    fake.objects[SHOP]["metadata"]["managedFields"] = [entry]
    result = await run(fake)
    assert result.document["willBeRevertedBy"] == ([manager] if warned else [])
    assert (manager in (result.warning or "")) == warned
