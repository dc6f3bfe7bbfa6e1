"""The order system as Python tools, found by the entry points of `agent_runtime.tools`.

They ask the HTTP server at ORDERS_URL (default http://127.0.0.1:8090), with ORDERS_TOKEN as the
bearer token where it is set.
"""

from __future__ import annotations

import os
import ssl
import uuid
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from orders.models import Description, Email, OrderId, Priority, Subject

SECONDS = 10.0


class ToolFailedError(Exception):
    """The order system refused or did not answer; the message says which."""


async def get_order_status(order_id: OrderId) -> dict[str, Any]:
    """Where an order is: its status, carrier, expected day of delivery and items."""
    return await _ask("GET", f"/orders/{quote(order_id.strip(), safe='')}")


async def create_ticket(
    subject: Subject,
    description: Description,
    customer_email: Email,
    order_id: OrderId | None = None,
    priority: Priority = "normal",
) -> dict[str, Any]:
    """File a request to customer service and return it with its number."""
    body = {
        "subject": subject,
        "description": description,
        "customer_email": customer_email,
        "order_id": order_id,
        "priority": priority,
    }
    # One key for both attempts: an answer lost on the way does not file a second ticket.
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    return await _ask("POST", "/tickets", json=body, headers=headers)


async def _ask(method: str, path: str, **request: Any) -> dict[str, Any]:
    base = os.environ.get("ORDERS_URL", "http://127.0.0.1:8090").rstrip("/")
    token = os.environ.get("ORDERS_TOKEN")
    headers = request.pop("headers", {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    async with httpx.AsyncClient(timeout=SECONDS, verify=_trust()) as client:
        try:
            reply = await client.request(method, base + path, headers=headers, **request)
        except httpx.TransportError:
            reply = await _again(client, method, base + path, headers, request)
    if reply.is_success:
        return reply.json()
    try:
        raise ToolFailedError(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        raise ToolFailedError(f"the order system answered {reply.status_code}") from None


async def _again(
    client: httpx.AsyncClient, method: str, url: str, headers: Any, request: Any
) -> httpx.Response:
    try:
        return await client.request(method, url, headers=headers, **request)
    except httpx.TransportError as error:
        raise ToolFailedError("the order system does not answer") from error


@cache
def _trust() -> ssl.SSLContext:
    """Loading the certificates takes longer than a request."""
    return ssl.create_default_context()
