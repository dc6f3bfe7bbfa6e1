"""The order system over HTTP: what it answers, refuses, and keeps."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.runtime.orders.conftest import ORDERS, TOKEN, Orders

TICKET: dict[str, Any] = {
    "subject": "灯罩有裂纹",
    "description": "The shade arrived cracked, please send another one.",
    "customer_email": "mia.chen@example.com",
    "order_id": "HG1000000001",
    "priority": "high",
}


def test_an_order_says_where_it_is(http: httpx.Client) -> None:
    assert http.get("/orders/HG1000000001").json() == {
        "order_id": "HG1000000001",
        "status": "dispatched",
        "placed_on": "2026-06-13",
        "carrier": "SF Express",
        "tracking_number": "SF1450098321",
        "eta": "2026-06-16",
        "items": [
            {"name": "Oak floor lamp", "quantity": 1, "price_cny": 499},
            {"name": "LED bulb E27, pack of 4", "quantity": 1, "price_cny": 59},
        ],
    }
    assert http.get("/orders/ hg1000000004 ").json()["items"][0]["name"] == "扫地机器人 R2"


def test_what_is_not_there_is_404_and_what_is_wrong_names_the_field(http: httpx.Client) -> None:
    missing = http.get("/orders/HG9999999999")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "order_not_found"
    assert "HG9999999999" in missing.json()["error"]["message"]
    for ticket in ("T-000001", "T-x", "42", "T-" + "9" * 60, "T-²"):
        assert http.get(f"/tickets/{ticket}").json()["error"]["code"] == "ticket_not_found"

    wrong = {
        "priority": {**TICKET, "priority": "soon"},
        "customer_email": {**TICKET, "customer_email": "mia"},
        "subject": {**TICKET, "subject": "  "},
        "colour": {**TICKET, "colour": "green"},
        "order_id": {**TICKET, "order_id": "HG9999999999"},
    }
    for field, body in wrong.items():
        reply = http.post("/tickets", json=body)
        assert reply.status_code == 422
        assert field in reply.json()["error"]["message"]
    assert http.post("/tickets", content=b"{").status_code == 422
    assert http.put("/orders/HG1000000001").json()["error"]["message"].startswith("PUT /orders")


def test_a_customer_sees_the_newest_order_first(http: httpx.Client) -> None:
    def numbers(email: str) -> list[str]:
        found = http.get("/orders", params={"customer_email": email}).json()["orders"]
        return [each["order_id"] for each in found]

    assert numbers("MIA.chen@example.com") == ["HG1000000001", "HG1000000002"]
    assert numbers("nobody@example.com") == []


def test_only_what_is_not_packed_is_cancelled(http: httpx.Client) -> None:
    cancelled = http.post("/orders/HG1000000003/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert http.get("/orders/HG1000000003").json()["status"] == "cancelled"
    assert http.post("/orders/HG1000000003/cancel").status_code == 200
    for number in ("HG1000000006", "HG1000000001", "HG1000000002", "HG1000000005"):
        refused = http.post(f"/orders/{number}/cancel")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_cancellable")
    assert http.post("/orders/HG9999999999/cancel").status_code == 404


def test_a_key_files_one_ticket(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "retry-1"}
    first = http.post("/tickets", json=TICKET, headers=key)
    again = http.post("/tickets", json=TICKET, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == http.get("/tickets/t-000001").json()
    assert first.json() == {
        **TICKET, "ticket_id": "T-000001", "created_at": first.json()["created_at"]
    }  # fmt: skip

    other = http.post("/tickets", json={**TICKET, "priority": "low"}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert http.post("/tickets", json=TICKET).json()["ticket_id"] == "T-000002"


def test_writers_at_once_lose_nothing_and_file_nothing_twice(
    starting: Callable[..., Orders], tmp_path: Path
) -> None:
    """Two processes on one file; every request is sent twice with its key, once to each."""
    servers = [starting(), starting()]

    def file(number: int) -> str:
        headers = {"Idempotency-Key": f"key-{number // 2}"}
        body = {**TICKET, "subject": f"Nr. {number // 2}"}
        url = f"{servers[number % 2].base}/tickets"
        reply = httpx.post(url, json=body, headers=headers, timeout=60)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()["ticket_id"]

    with ThreadPoolExecutor(16) as clients:
        filed = list(clients.map(file, range(120)))
    assert filed[::2] == filed[1::2]
    assert len(set(filed)) == 60
    with sqlite3.connect(tmp_path / "orders.db") as connection:
        assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (60,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_killed_server_comes_back_with_its_data(starting: Callable[..., Orders]) -> None:
    server = starting()
    filed = httpx.post(f"{server.base}/tickets", json=TICKET).json()
    httpx.post(f"{server.base}/orders/HG1000000003/cancel").raise_for_status()
    server.stop()
    server.start()
    assert httpx.get(f"{server.base}/tickets/{filed['ticket_id']}").json() == filed
    assert httpx.get(f"{server.base}/orders/HG1000000003").json()["status"] == "cancelled"
    assert httpx.get(f"{server.base}/orders/HG1000000030").status_code == 200


def test_with_a_token_nobody_else_is_answered(starting: Callable[..., Orders]) -> None:
    server = starting(token=TOKEN)
    url = f"{server.base}/orders/HG1000000001"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        refused = httpx.get(url, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert httpx.get(f"{server.base}/openapi.json").json()["components"]["securitySchemes"]


def test_the_document_names_the_operations(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    names = {method["operationId"] for path in paths.values() for method in path.values()}
    assert names == {
        "get_order_status", "list_orders", "cancel_order", "create_ticket", "get_ticket"
    }  # fmt: skip


def test_the_seed_speaks_both_languages() -> None:
    seed = json.loads((ORDERS / "orders" / "seed.json").read_text(encoding="utf-8"))
    assert len(seed) == 30
    names = [item["name"] for order in seed for item in order["items"]]
    assert sum(name.isascii() for name in names) > 10
    assert sum(not name.isascii() for name in names) > 10


async def test_python_tools_ask_the_server(
    starting: Callable[..., Orders], tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = starting(token=TOKEN)
    monkeypatch.setenv("ORDERS_URL", server.base)
    monkeypatch.setenv("ORDERS_TOKEN", TOKEN)
    assert (await tools.get_order_status("HG1000000004"))["status"] == "out_for_delivery"
    filed = await tools.create_ticket("Cracked", "The shade is cracked.", "mia.chen@example.com")
    assert (filed["ticket_id"], filed["priority"]) == ("T-000001", "normal")
    with pytest.raises(tools.ToolFailedError, match="no order 'HG9999999999'"):
        await tools.get_order_status("HG9999999999")
    with pytest.raises(tools.ToolFailedError, match="Not Found"):
        await tools.get_order_status("../tickets/T-000001")
    server.stop()
    with pytest.raises(tools.ToolFailedError, match="does not answer"):
        await tools.get_order_status("HG1000000004")
