"""The order system as an MCP server, on the same database as the HTTP one.

`python -m orders.mcp_server --database orders.db` speaks streamable HTTP at /mcp; with `--stdio`
it is started by its client.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from orders.access import RequireToken
from orders.database import Database
from orders.errors import OrderSystemError
from orders.models import (
    Description,
    Email,
    NewTicket,
    Order,
    OrderId,
    Orders,
    Priority,
    Subject,
    Ticket,
)

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
CHANGES = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)


def build_server(database: Database) -> MCPServer:
    """Return a server with one tool for each operation."""
    server: MCPServer = MCPServer("hazelgrid-orders", version="1.0.0", log_level="WARNING")

    @server.tool(annotations=READS)
    def get_order_status(order_id: OrderId) -> Order:
        """Where an order is: its status, carrier, expected day of delivery and items."""
        with _told():
            return database.order(order_id)

    @server.tool(annotations=READS)
    def list_orders(customer_email: Email) -> Orders:
        """The orders of a customer, newest first."""
        return Orders(orders=database.orders_of(customer_email))

    @server.tool(annotations=CHANGES)
    def cancel_order(order_id: OrderId) -> Order:
        """Cancel an order that is not packed yet."""
        with _told():
            return database.cancel(order_id)

    @server.tool(annotations=ADDS)
    def create_ticket(
        subject: Subject,
        description: Description,
        customer_email: Email,
        order_id: OrderId | None = None,
        priority: Priority = "normal",
    ) -> Ticket:
        """File a request to customer service and return it with its number."""
        new = NewTicket(
            subject=subject,
            description=description,
            customer_email=customer_email,
            order_id=order_id,
            priority=priority,
        )
        with _told():
            return database.file(new)[0]

    @server.tool(annotations=READS)
    def get_ticket(ticket_id: str) -> Ticket:
        """A request to customer service as it was filed."""
        with _told():
            return database.ticket(ticket_id)

    return server


@contextmanager
def _told() -> Generator[None]:
    """Tell the model what was refused; the SDK hides the message of other exceptions."""
    try:
        yield
    except OrderSystemError as error:
        raise ToolError(str(error)) from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stdio", action="store_true", help="speak on stdin and stdout")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--database", type=Path, default=Path("orders.db"))
    parser.add_argument("--today", type=date.fromisoformat, help="of the first start; YYYY-MM-DD")
    arguments = parser.parse_args()
    server = build_server(Database(arguments.database, arguments.today))
    if arguments.stdio:
        server.run("stdio")
        return
    token = os.environ.get("ORDERS_TOKEN")
    # Without sessions, so that replicas need no affinity.
    app = server.streamable_http_app(stateless_http=True, json_response=True, host=arguments.host)
    served = RequireToken(app, token) if token else app
    uvicorn.run(served, host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
