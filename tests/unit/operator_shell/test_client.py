"""The requests of a write, answered by a script."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from chatagent_operator.core import names
from chatagent_operator.core.kinds import SECRET
from chatagent_operator.core.rollout.decision import EventRecord
from chatagent_operator.core.untrusted import MESSAGE_BYTES
from chatagent_operator.kube.client import FIELD_MANAGER, LOG_BYTES, MAX_APPLIES, Kube
from chatagent_operator.kube.errors import ApiError, NotFoundError, RejectedError, from_response
from chatagent_operator.kube.events import GarbledError

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
ONLY_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
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
        self.types: list[tuple[str, str]] = []
        """The content type of each request, and the one that it accepts."""

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        limit: float = 0,
    ) -> Any:
        self.sent.append((method, path, body))
        self.types.append((content_type, accept))
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


class Logging(Kube):
    """A client that gets the lines of a log."""

    def __init__(self, log: list[bytes]) -> None:
        self._log = log
        self.path = ""

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        self.path = path
        for line in self._log:
            yield line


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
    types = [content_type for content_type, _ in kube.types]
    assert types == [APPLY, "application/json-patch+json", APPLY]


async def test_an_object_that_changes_meanwhile_is_applied_again() -> None:
    before = stored("5", entry("Update", "old"), entry("Apply", "new"))
    after = stored("7", entry("Apply", "new"))
    kube = Scripted(before, RejectedError(409, "modified"), before, {}, after)
    assert await kube.apply(MANIFEST, "d") == after


async def test_an_object_that_always_changes_is_applied_a_few_times() -> None:
    before = stored("5", entry("Update", "old"), entry("Apply", "new"))
    kube = Scripted(*[before, RejectedError(409, "modified")] * MAX_APPLIES)
    with pytest.raises(ApiError, match="ConfigMap a changes too often"):
        await kube.apply(MANIFEST, "d")


async def test_another_refusal_than_a_conflict_is_raised() -> None:
    before = stored("5", entry("Update", "old"), entry("Apply", "new"))
    with pytest.raises(RejectedError, match="no"):
        await Scripted(before, RejectedError(403, "no")).apply(MANIFEST, "d")


async def test_an_apply_without_a_create_is_one_request() -> None:
    kube = Scripted(stored("5", entry("Apply", "new")))
    await kube.apply(MANIFEST, "d")
    assert len(kube.sent) == 1


async def test_only_an_object_that_exists_is_no_error() -> None:
    exists = from_response(409, b'{"reason": "AlreadyExists", "message": "exists"}')
    quota = from_response(409, b'{"reason": "Conflict", "message": "quota"}')
    kube = Scripted({"made": True}, exists, quota)
    assert await kube.create(MANIFEST, "d") == {"made": True}
    method, path, body = kube.sent[0]
    assert method == "POST"
    assert body["metadata"]["annotations"] == {names.APPLIED_ANNOTATION: "d"}
    assert "fieldValidation=Strict" in path, "a field that is not known is no detail to leave out"
    assert await kube.create(MANIFEST, "d") is None
    with pytest.raises(RejectedError):
        await kube.create(MANIFEST, "d")


async def test_a_secret_is_created_without_a_digest() -> None:
    kube = Scripted({})
    await kube.create(MANIFEST)
    assert kube.sent[0][2] == MANIFEST


async def test_a_deployment_is_scaled_and_metadata_merged_by_a_patch() -> None:
    kube = Scripted({}, {})
    await kube.scale("n", "a", 3)
    await kube.patch_metadata("Secret", "n", "a", {"labels": {"b": "c"}})
    query = f"fieldManager={FIELD_MANAGER}"
    assert kube.sent == [
        (
            "PATCH",
            f"/apis/apps/v1/namespaces/n/deployments/a?{query}",
            {"spec": {"replicas": 3}},
        ),
        (
            "PATCH",
            f"/api/v1/namespaces/n/secrets/a?{query}-metadata",
            {"metadata": {"labels": {"b": "c"}}},
        ),
    ]
    assert kube.types == [("application/merge-patch+json", JSON)] * 2


async def test_a_deletion_includes_what_the_object_owns() -> None:
    kube = Scripted({}, NotFoundError(404, "deleted already"), RejectedError(403, "no"))
    await kube.delete("Job", "n", "a")
    method, path, body = kube.sent[0]
    assert (method, path) == ("DELETE", "/apis/batch/v1/namespaces/n/jobs/a")
    assert body["propagationPolicy"] == "Background", "the pods of a Job stay otherwise"
    await kube.delete("Job", "n", "a")
    with pytest.raises(RejectedError):
        await kube.delete("Job", "n", "a", "uid-1")


async def test_a_value_of_a_secret_is_read_if_it_exists() -> None:
    body = {"data": {"key": "dG9rZW4="}}
    errors = NotFoundError(404, "not found"), RejectedError(403, "forbidden")
    kube = Scripted(body, body, {"data": None}, *errors)
    values = [await kube.secret("n", "a", key) for key in ("key", "other", "key", "key", "key")]
    assert values == ["token", None, None, None, None]
    assert kube.sent[0][:2] == ("GET", "/api/v1/namespaces/n/secrets/a")


async def test_an_object_that_is_not_watched_is_found_if_it_exists() -> None:
    kube = Scripted({"kind": "HTTPRoute"}, NotFoundError(404, "no such kind"))
    assert await kube.find("Service", "n", "a") == {"kind": "HTTPRoute"}
    assert await kube.find("Service", "n", "a") is None


async def test_labels_of_the_operators_own_objects_are_listed() -> None:
    metadata = {"namespace": "n", "name": "a", "resourceVersion": "7"}
    page = {"metadata": {"resourceVersion": "9"}, "items": [{"metadata": metadata}]}
    kube = Scripted(page, NotFoundError(404, "no such kind"))
    assert await kube.list_labels(SECRET, []) == {("n", "a"): {}}
    ((_, path, _),) = kube.sent
    assert path.startswith("/api/v1/secrets?labelSelector=app.kubernetes.io%2Fmanaged-by%3D")
    assert kube.types == [(JSON, ONLY_METADATA)]
    assert await kube.list_labels(SECRET, []) == {}


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
    assert kube.types == [(JSON, ONLY_METADATA)] * 2, "the values of a Secret are not read"


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


async def test_a_log_is_read_up_to_a_size_whatever_its_bytes_are() -> None:
    kube = Logging([b"one", b"\xff"])
    assert await kube.log("n", "a") == "one\n\ufffd"
    assert kube.path == f"/api/v1/namespaces/n/pods/a/log?limitBytes={LOG_BYTES}"
