"""An answer of the API server that is read as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiohttp import web

from chatagent_operator.kube import connection
from chatagent_operator.kube.client import Kube
from chatagent_operator.kube.errors import ApiError, NotFoundError
from tests.unit.operator_shell.serving import connect, serving


class _Server:
    """Answers by the words of a path."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.headers: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        self.headers = dict(request.headers)
        match request.path:
            case "/refuses":
                return web.json_response({"message": "you may not"}, status=403)
            case "/missing":
                return web.json_response({"message": "no such thing"}, status=404)
            case "/long":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(10):
                    await response.write(b"long " * 20_000)  # more than one piece
                await response.write(b"\nnext")
                return response
            case _:
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"fir")
                await response.write(b"st\nsecond\n")
                if request.path == "/silent":
                    await asyncio.Event().wait()
                await self.go_on.wait()
                if request.path == "/breaks" and request.transport:
                    request.transport.close()
                    return response
                await response.write("最后".encode())
                return response


@pytest.fixture
def behind() -> _Server:
    return _Server()


@pytest.fixture
async def kube(behind: _Server) -> AsyncGenerator[Kube]:
    async with serving(behind.answer) as url:
        found = connect(url)
        yield found
        await found.close()


async def test_lines_come_before_the_answer_is_whole(kube: Kube, behind: _Server) -> None:
    seen: list[bytes] = []
    async for line in kube.lines("POST", "/streams", {"a": 1}, {"X-Conversation-ID": "c"}, 10):
        seen.append(line)
        if len(seen) == 2:
            behind.go_on.set()  # not before both have been seen
    assert seen == [b"first", b"second", "最后".encode()]
    assert behind.headers["X-Conversation-ID"] == "c"


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [("/refuses", ApiError, "403: you may not"), ("/missing", NotFoundError, "no such thing")],
)
async def test_a_refusal(kube: Kube, path: str, kind: type[ApiError], said: str) -> None:
    with pytest.raises(kind, match=said):
        _ = [line async for line in kube.lines("GET", path, None, {}, 10)]


async def test_a_line_that_comes_in_many_pieces_is_one(kube: Kube) -> None:
    lines = [line async for line in kube.lines("GET", "/long", None, {}, 10)]
    assert lines == [b"long " * 200_000, b"next"]


async def test_a_line_that_is_too_long_is_an_error(
    kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_LINE_BYTES", 1000)
    with pytest.raises(ApiError, match="a line exceeds 1000 bytes"):
        _ = [line async for line in kube.lines("GET", "/long", None, {}, 10)]


@pytest.mark.parametrize(("path", "silence"), [("/breaks", 10), ("/silent", 1)])
async def test_an_answer_that_breaks_off(
    kube: Kube, behind: _Server, path: str, silence: float
) -> None:
    behind.go_on.set()
    seen: list[bytes] = []

    async def read() -> None:
        async for line in kube.lines("GET", path, None, {}, silence):
            seen.append(line)  # noqa: PERF401 - what came before it broke off counts

    with pytest.raises(ApiError) as broken:
        await read()
    assert broken.value.status == 0
    assert seen == [b"first", b"second"]
