"""HTTP tools against the order system and against an API that behaves badly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from agent_runtime.config import ToolConfig
from agent_runtime.domain import NOBODY, Principal
from agent_runtime.errors import InvalidConfigError, ToolFailedError
from agent_runtime.tools import late
from agent_runtime.tools.fetch import MOST_BYTES
from agent_runtime.tools.origins import Origins
from tests.contract.runtime.orders.conftest import TOKEN, Orders
from tests.contract.runtime.tools.conftest import Served, problem, until

Originating = Callable[..., Awaitable[Origins]]
Serving = Callable[[Callable[[], Any]], Served]
TICKET = {"subject": "Cracked", "description": "It is.", "customer_email": "mia@example.com"}


def operation(name: str, base: str, **http: Any) -> dict[str, Any]:
    return {"name": name, "http": {"openapi": f"{base}/openapi.json", **http}}


# ------------------------------------------------------------------ the order system


async def test_operations_of_the_order_system(
    starting: Callable[..., Orders], originating: Originating
) -> None:
    orders = starting(token=TOKEN)
    secret = {"bearerEnv": "ORDERS_TOKEN"}
    origins = await originating(
        operation("get_order_status", orders.base, **secret),
        operation("tickets", orders.base, operationId="create_ticket", **secret),
        environment={"ORDERS_TOKEN": TOKEN},
    )
    status, create = origins.tools
    assert status.spec.description.startswith("Where an order is")
    assert status.spec.parameters["required"] == ["order_id"]
    assert "Idempotency-Key" not in create.spec.parameters["properties"]
    assert set(create.spec.parameters["required"]) == set(TICKET)

    found = await status.call({"order_id": "HG1000000001"}, NOBODY)
    assert (found["status"], found["eta"]) == ("dispatched", "2026-06-16")
    filed = await asyncio.gather(*(create.call(TICKET, NOBODY) for _ in range(5)))
    assert len({each["ticket_id"] for each in filed}) == 5
    with pytest.raises(ToolFailedError, match="there is no order 'HG9'"):
        await status.call({"order_id": "HG9"}, NOBODY)
    with pytest.raises(ToolFailedError, match="customer_email: "):
        await create.call({**TICKET, "customer_email": "x"}, NOBODY)
    orders.stop()
    with pytest.raises(ToolFailedError, match="does not answer"):
        await status.call({"order_id": "HG1000000001"}, NOBODY)
    orders.start()
    assert (await status.call({"order_id": "HG1000000001"}, NOBODY))["status"] == "dispatched"


async def test_a_document_that_comes_late_heals_the_tool(
    starting: Callable[..., Orders], originating: Originating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(late, "FIRST_PAUSE", 0.05)
    orders = starting()
    orders.stop()
    origins = await originating(operation("get_order_status", orders.base))
    (tool,) = origins.tools
    assert "has not been read" in str(problem(tool))
    with pytest.raises(ToolFailedError, match="not available"):
        await tool.call({}, NOBODY)
    orders.start()
    await until(lambda: problem(tool) is None)
    assert (await tool.call({"order_id": "HG1000000001"}, NOBODY))["status"] == "dispatched"


async def test_the_users_own_token_is_sent_on_and_no_other(
    starting: Callable[..., Orders], originating: Originating
) -> None:
    orders = starting(token=TOKEN)
    origins = await originating(
        operation("get_order_status", orders.base, forwardUser=True, bearerEnv="T"),
        environment={"T": TOKEN},
    )
    (tool,) = origins.tools
    order = {"order_id": "HG1000000001"}
    assert await tool.call(order, Principal("mia", token=TOKEN))
    for caller in (NOBODY, Principal("mia", token="another")):
        with pytest.raises(ToolFailedError, match="a valid bearer token is needed"):
            await tool.call(order, caller)


# ------------------------------------------------------------------ an API that behaves badly


def bad_api() -> FastAPI:
    app = FastAPI(servers=[{"url": "http://elsewhere.invalid"}])

    @app.get("/slow", operation_id="slow")
    async def slow() -> None:
        await asyncio.sleep(600)

    @app.get("/broken", operation_id="broken")
    def broken() -> Response:
        return Response(b'{"a": ', media_type="application/json")

    @app.get("/huge", operation_id="huge")
    def huge() -> PlainTextResponse:
        return PlainTextResponse("x" * (MOST_BYTES + 1))

    @app.get("/failing", operation_id="failing")
    def failing() -> JSONResponse:
        return JSONResponse({"message": "Traceback: secret"}, 500)

    @app.get("/text", operation_id="text")
    def text() -> PlainTextResponse:
        return PlainTextResponse("晴")

    @app.get("/nothing", operation_id="nothing", status_code=204)
    def nothing() -> None: ...

    @app.get("/moved", operation_id="moved")
    def moved() -> RedirectResponse:
        return RedirectResponse("/text")

    @app.post("/away", operation_id="away")
    def away(request: Request) -> RedirectResponse:
        return RedirectResponse(str(request.url).replace("127.0.0.1", "localhost"))

    @app.get("/round", operation_id="round")
    def around() -> RedirectResponse:
        return RedirectResponse("/round")

    @app.get("/refused/{kind}", operation_id="refused")
    def refused(kind: str) -> Response:
        said: dict[str, Any] = {
            "problem": {"title": "Out of stock", "status": 409},
            "nested": {"error": {"message": "Out of stock", "code": "x"}},
            "plain": {"error": "Out of stock"},
            "list": {"errors": [{"message": "Out of stock"}]},
        }
        if kind == "text":
            return PlainTextResponse("Out of\nstock", 409)
        return JSONResponse(said.get(kind, []), 409)

    return app


@pytest.fixture
async def bad(serving: Serving) -> Served:
    server = serving(bad_api)
    await server.start()
    return server


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "broken JSON"),
        ("huge", f"longer than {MOST_BYTES}"),
        ("failing", "^the API failed with HTTP 500$"),
        ("away", "redirects to another host, localhost"),
        ("round", "again and again"),
    ],
)
async def test_failures_are_told(
    bad: Served, originating: Originating, name: str, said: str
) -> None:
    (tool,) = (await originating(operation(name, bad.base, url=bad.base))).tools
    with pytest.raises(ToolFailedError, match=said):
        await tool.call({}, NOBODY)


async def test_what_an_api_may_say(bad: Served, originating: Originating) -> None:
    names = ("text", "nothing", "moved", "refused")
    origins = await originating(*(operation(each, bad.base, url=bad.base) for each in names))
    text, nothing, moved, refused = origins.tools
    assert await text.call({}, NOBODY) == "晴"
    assert await nothing.call({}, NOBODY) == {"status": "done"}
    assert await moved.call({}, NOBODY) == "晴"
    for kind in ("problem", "nested", "plain", "list", "text"):
        with pytest.raises(ToolFailedError, match=r"^Out of stock$"):
            await refused.call({"kind": kind}, NOBODY)
    with pytest.raises(ToolFailedError, match="HTTP 409"):
        await refused.call({"kind": "other"}, NOBODY)


async def test_a_slow_api_delays_only_its_caller(bad: Served, originating: Originating) -> None:
    names = ("slow", "text")
    slow, text = (
        await originating(
            *(operation(each, bad.base, url=bad.base) | {"timeout_seconds": 600} for each in names)
        )
    ).tools
    waiting = [asyncio.create_task(slow.call({}, NOBODY)) for _ in range(20)]
    async with asyncio.timeout(60):
        assert await text.call({}, NOBODY) == "晴"
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    assert all(
        isinstance(each, asyncio.CancelledError)
        for each in await asyncio.gather(*waiting, return_exceptions=True)
    )


async def test_no_token_goes_where_only_a_document_says(
    bad: Served, originating: Originating
) -> None:
    origins = await originating(
        operation("text", bad.base, bearerEnv="T"),
        operation("moved", bad.base, bearerEnv="T", url=bad.base),
        operation("nothing", bad.base, operationId="absent"),
        environment={"T": "token"},
    )
    assert [problem(tool) for tool in origins.tools] == [
        "http.url: needed, since the document names another server, elsewhere.invalid, "
        "and a token is only sent where the configuration says so",
        None,
        "the document has no operation 'absent'",
    ]


async def test_a_url_without_a_document(bad: Served, originating: Originating) -> None:
    config = {"name": "ask", "http": {"url": f"{bad.base}/refused/{{kind}}"}}
    (tool,) = (await originating(config)).tools
    assert tool.spec.parameters["required"] == ["kind"]
    with pytest.raises(ToolFailedError, match="Out of stock"):
        await tool.call({"kind": "plain"}, NOBODY)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"http": {"url": "http://x", "bearerEnv": "ABSENT"}},
            r"^pipeline\.tools\[0\] \(t\): http\.bearerEnv: .* ABSENT is not set$",
        ),
        ({"http": {"openapi": "/absent.yaml"}}, r"http\.openapi: /absent\.yaml: .*No such file"),
        ({"http": {"url": "http://x/{a}"}, "parameters": {"type": "object"}}, "'a' stands in"),
        ({"http": {"url": "http://x"}, "parameters": {"type": 5}}, "parameters: 5"),
        ({"python": "absent.module:x"}, "No module named"),
        ({}, "registers a tool"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        Origins([ToolConfig.model_validate({"name": "t", **config})], {})


async def test_a_document_in_a_yaml_file(
    tmp_path: Path, bad: Served, originating: Originating
) -> None:
    place = tmp_path / "api.yaml"
    place.write_text(
        f"servers: [{{url: '{bad.base}'}}]\npaths:\n  /text: {{get: {{operationId: t}}}}\n"
    )
    (tool,) = (await originating({"name": "t", "http": {"openapi": str(place)}})).tools
    assert await tool.call({}, NOBODY) == "晴"
    place.write_text("paths: [")
    with pytest.raises(InvalidConfigError, match="neither JSON nor YAML"):
        await originating({"name": "t", "http": {"openapi": str(place)}})


async def test_a_cookie_for_one_user_is_not_sent_for_another(
    serving: Serving, originating: Originating
) -> None:
    sent: list[str | None] = []

    def api() -> FastAPI:
        app = FastAPI()

        @app.get("/who")
        async def who(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
            sent.append(request.headers.get("cookie"))
            return JSONResponse({}, headers={"set-cookie": "session=mias; Path=/"})

        return app

    server = serving(api)
    await server.start()
    (tool,) = (await originating(operation("who", server.base, operationId="who_who_get"))).tools
    for user in ("mia", "ben"):
        await tool.call({}, Principal(user))
    assert sent == [None, None]
