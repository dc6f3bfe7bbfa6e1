"""What a Chroma server answers, and what is made of it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable

import httpx
import pytest

from agent_runtime.errors import VectorStoreUnavailableError
from agent_runtime.stores import chroma
from agent_runtime.stores.address import parse
from agent_runtime.stores.chroma import ChromaIndex

Answer = Callable[[httpx.Request], httpx.Response]


def index_at(answer: Answer) -> ChromaIndex:
    """Return a collection of a server that answers so."""
    index = ChromaIndex(parse("chroma://store:8000/docs"))
    index._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))  # pyright: ignore[reportPrivateUsage]
    return index


def saying(status: int, text: str) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=text)

    return answer


def failing(error: Exception) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def refused_tls() -> httpx.ConnectError:
    error = httpx.ConnectError("certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    return error


@pytest.mark.parametrize(
    ("answer", "lasting", "words"),
    [
        (saying(401, "no"), True, "401 no; give the token that it accepts"),
        (saying(403, "no"), True, "403 no; give the token"),
        (saying(400, "HTTP to an HTTPS port"), True, "400 HTTP to an HTTPS"),
        (saying(404, "no backend"), False, "404 no backend"),
        (saying(503, "starting"), False, "503 starting"),
        (failing(httpx.ConnectError("Name or service not known")), False, "Name or service"),
        (
            failing(refused_tls()),
            True,
            "certificate verify failed; see whether the server speaks TLS",
        ),
    ],
)
async def test_what_waiting_does_not_heal_is_told_apart(
    answer: Answer, lasting: bool, words: str
) -> None:
    with pytest.raises(VectorStoreUnavailableError, match=f"store:8000: {words}") as failed:
        await index_at(answer).describe()
    assert failed.value.lasting == lasting


async def test_vectors_come_by_id_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma, "VECTORS_PAGE", 2)
    stored = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.6, 0.8]}
    asked: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"id": "1", "metadata": {}})
        body = json.loads(request.content)
        asked.append(body["ids"])
        assert body["include"] == ["embeddings"]
        found = [id for id in body["ids"] if id in stored]
        return httpx.Response(200, json={"ids": found, "embeddings": [stored[i] for i in found]})

    pages = [page async for page in index_at(answer).vectors(["a", "gone", "gone too", "x", "c"])]
    assert asked == [["a", "gone"], ["gone too", "x"], ["c"]]
    assert [(list(ids), rows.tolist()) for ids, rows in pages] == [
        (["a"], [[1.0, 0.0]]), (["c"], [pytest.approx([0.6, 0.8])]),
    ]  # fmt: skip
