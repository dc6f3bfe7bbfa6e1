"""The requests of a write, answered by a script."""

from __future__ import annotations

from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.core.untrusted import MESSAGE_BYTES
from chatagent_operator.kube.client import FIELD_MANAGER, Kube
from chatagent_operator.kube.errors import ApiError, RejectedError, from_response
from chatagent_operator.kube.events import GarbledError

MANIFEST = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "n"},
    "data": {"new": ""},
}


def entry(operation: str, *keys: str) -> dict[str, Any]:
    fields = {"f:data": {f"f:{key}": {} for key in keys}}
    return {"manager": FIELD_MANAGER, "operation": operation, "fieldsV1": fields}


class Scripted(Kube):
    """A client whose requests get the next answer of a script."""

    def __init__(self, *answers: dict[str, Any] | ApiError) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, Any]] = []

    async def request(self, method: str, path: str, body: Any = None, *_: Any, **__: Any) -> Any:
        self.sent.append((method, path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


def stored(version: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version, "managedFields": list(entries)}}


async def test_a_field_that_was_created_and_is_not_desired_any_more_is_removed() -> None:
    before = stored("5", entry("Update", "old", "new"), entry("Apply", "new"))
    after = stored("7", entry("Apply", "new"))
    kube = Scripted(before, {}, after)
    assert await kube.apply(MANIFEST, "d") == after
    (_, path, first), (_, _, patch), (_, _, second) = kube.sent
    assert first == second, "the same is applied, by which the field is given up"
    assert first["metadata"]["annotations"] == {names.APPLIED_ANNOTATION: "d"}
    assert "force=true" in path
    (entries, version) = patch
    assert entries["value"] == [entry("Apply", "new", "old")]
    assert version["value"] == "5", "nothing that changed meanwhile is lost"


async def test_an_object_that_changes_meanwhile_is_applied_again() -> None:
    before = stored("5", entry("Update", "old"), entry("Apply", "new"))
    after = stored("7", entry("Apply", "new"))
    kube = Scripted(before, RejectedError(409, "modified"), before, {}, after)
    assert await kube.apply(MANIFEST, "d") == after


async def test_an_apply_without_a_create_is_one_request() -> None:
    kube = Scripted(stored("5", entry("Apply", "new")))
    await kube.apply(MANIFEST, "d")
    assert len(kube.sent) == 1


async def test_only_an_object_that_exists_is_no_error() -> None:
    exists = from_response(409, b'{"reason": "AlreadyExists", "message": "exists"}')
    quota = from_response(409, b'{"reason": "Conflict", "message": "quota"}')
    kube = Scripted({"made": True}, exists, quota)
    assert await kube.create(MANIFEST, "d") == {"made": True}
    method, path, _ = kube.sent[0]
    assert method == "POST"
    assert "fieldValidation=Strict" in path, "a field that is not known is no detail to leave out"
    assert await kube.create(MANIFEST, "d") is None
    with pytest.raises(RejectedError):
        await kube.create(MANIFEST, "d")


async def test_the_message_of_an_event_is_cut() -> None:
    kube = Scripted({})
    await kube.create_event("n", "a", "u", EventRecord("Warning", "Failed", "模" * 5000))
    ((_, path, event),) = kube.sent
    assert path == "/api/v1/namespaces/n/events"
    assert event["involvedObject"]["uid"] == "u"
    assert len(event["message"].encode()) <= MESSAGE_BYTES


async def test_the_metadata_of_one_object_is_listed() -> None:
    item = {"metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "7"}}
    page = {"metadata": {"resourceVersion": "9"}}
    kube = Scripted(page | {"items": [item]}, page | {"items": None})
    assert await kube.find_metadata("Secret", "n", "a") == item["metadata"]
    assert "fieldSelector=metadata.name%3Da" in kube.sent[0][1]
    assert await kube.find_metadata("Secret", "n", "a") is None


async def test_a_list_of_several_pages_is_read_to_its_end() -> None:
    agents = [
        {"metadata": {"namespace": "n", "name": name, "resourceVersion": "7"}} for name in "abc"
    ]
    first = {"items": agents[:2], "metadata": {"resourceVersion": "9", "continue": "more"}}
    kube = Scripted(first, {"items": agents[2:], "metadata": {"resourceVersion": "9"}})
    assert await kube.list_agents(["n"]) == {
        ("n", each["metadata"]["name"]): each for each in agents
    }
    assert ["continue=more" in path for _, path, _ in kube.sent] == [False, True]


async def test_an_answer_that_is_no_list_is_an_error() -> None:
    with pytest.raises(GarbledError):
        await Scripted({"metadata": {}}).list_agents([])
