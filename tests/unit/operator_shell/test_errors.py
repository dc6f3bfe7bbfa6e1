"""Which answers of the API server another try may mend, and which only another object."""

from __future__ import annotations

import json

import pytest

from chatagent_operator.core.untrusted import MESSAGE_BYTES
from chatagent_operator.kube.errors import (
    ApiError,
    NamespaceTerminatingError,
    NotFoundError,
    RejectedError,
    from_response,
)


def answer(message: str) -> bytes:
    return json.dumps({"kind": "Status", "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (422, "spec.replicas: Invalid value", RejectedError),
        (403, "exceeded quota", RejectedError),
        (404, "not found", NotFoundError),
        (429, "too many requests", ApiError),
        (500, "etcdserver: request timed out", ApiError),
        (500, "failed to create typed patch object (a/b): .x: expected map", RejectedError),
    ],
)
def test_answers_are_sorted(status: int, message: str, kind: type[ApiError]) -> None:
    error = from_response(status, answer(message))
    assert type(error) is kind
    assert error.message == message


def test_an_answer_that_is_no_json_is_quoted() -> None:
    assert from_response(502, b"<html>bad gateway</html>").message == "<html>bad gateway</html>"


def test_a_long_answer_is_cut_to_one_line_of_one_kibibyte() -> None:
    for body in (answer("no\n" * 10_000), b"no\n" * 10_000):
        error = from_response(502, body)
        assert error.message.startswith("no no ")
        assert len(error.message.encode()) <= MESSAGE_BYTES
        assert str(error) == f"502: {error.message}"


def test_a_terminating_namespace_is_no_fault_of_the_object() -> None:
    causes = [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
    body = {"kind": "Status", "message": "is being terminated", "details": {"causes": causes}}
    assert type(from_response(403, json.dumps(body).encode())) is NamespaceTerminatingError


@pytest.mark.parametrize("body", [b"[1]", b'{"message": null}', b'{"details": null}'])
def test_an_answer_of_another_shape_is_still_an_error(body: bytes) -> None:
    assert type(from_response(500, body)) is ApiError
