"""The order system over HTTP: `python -m orders.server --port 8090 --database orders.db`.

Its OpenAPI document names each operation, which is how an agent is given one as a tool.
"""

from __future__ import annotations

import argparse
import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, cast

import uvicorn
from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from orders.access import RequireToken
from orders.database import Database
from orders.errors import OrderSystemError
from orders.models import Email, NewTicket, Order, OrderId, Orders, ProblemBody, Ticket

IdempotencyKey = Annotated[
    str | None,
    Header(description="The same key files one ticket only.", min_length=1, max_length=255),
]


def build_app(database: Database, token: str | None = None) -> ASGIApp:
    """Return the application. With a token, requests need it as a bearer token."""
    security = [Security(HTTPBearer(auto_error=False))] if token else []
    app = FastAPI(
        title="Hazelgrid orders",
        version="1.0.0",
        dependencies=security,
        docs_url=None,
        redoc_url=None,
        responses={422: {"model": ProblemBody, "description": "A field is wrong."}},
    )
    _orders(app, database)
    _tickets(app, database)
    app.add_api_route("/healthz", lambda: {"status": "ok"}, include_in_schema=False)
    app.add_exception_handler(OrderSystemError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    return RequireToken(app, token) if token else app


def _orders(app: FastAPI, database: Database) -> None:
    @app.get("/orders/{order_id}", operation_id="get_order_status", responses=_errors(404))
    def get_order_status(order_id: OrderId) -> Order:
        """Where an order is: its status, carrier, expected day of delivery and items."""
        return database.order(order_id)

    @app.get("/orders", operation_id="list_orders")
    def list_orders(customer_email: Email) -> Orders:
        """The orders of a customer, newest first."""
        return Orders(orders=database.orders_of(customer_email))

    @app.post("/orders/{order_id}/cancel", operation_id="cancel_order", responses=_errors(404, 409))
    def cancel_order(order_id: OrderId) -> Order:
        """Cancel an order that is not packed yet."""
        return database.cancel(order_id)


def _tickets(app: FastAPI, database: Database) -> None:
    replayed: dict[int | str, dict[str, Any]] = {
        200: {"model": Ticket, "description": "Filed before, under the same Idempotency-Key."}
    }

    @app.post("/tickets", operation_id="create_ticket", status_code=201, responses=replayed)
    def create_ticket(
        new: NewTicket, response: Response, idempotency_key: IdempotencyKey = None
    ) -> Ticket:
        """File a request to customer service and return it with its number."""
        ticket, created = database.file(new, idempotency_key)
        if not created:
            response.status_code = 200
        return ticket

    @app.get("/tickets/{ticket_id}", operation_id="get_ticket", responses=_errors(404))
    def get_ticket(ticket_id: str) -> Ticket:
        """A request to customer service as it was filed."""
        return database.ticket(ticket_id)


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    described = {404: "There is none.", 409: "It is too late for that."}
    return {code: {"model": ProblemBody, "description": described[code]} for code in codes}


def _refused(request: Request, error: Exception) -> JSONResponse:
    refused = cast(OrderSystemError, error)
    return _problem(refused.status, refused.code, str(refused))


def _invalid(request: Request, error: Exception) -> JSONResponse:
    first = cast(RequestValidationError, error).errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return _problem(422, "invalid_request", f"{field}: {first['msg']}" if field else first["msg"])


def _http_error(request: Request, error: Exception) -> JSONResponse:
    refused = cast(HTTPException, error)
    where = f"{request.method} {request.url.path}: {refused.detail}"
    return _problem(refused.status_code, "not_possible", where)


def _problem(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--database", type=Path, default=Path("orders.db"))
    parser.add_argument("--today", type=date.fromisoformat, help="of the first start; YYYY-MM-DD")
    arguments = parser.parse_args()
    database = Database(arguments.database, arguments.today)
    app = build_app(database, os.environ.get("ORDERS_TOKEN"))
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
