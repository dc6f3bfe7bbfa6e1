"""The shop's data in SQLite. Every method is one transaction on a connection of its own, so that
threads and processes may share the file: WAL lets them read while one of them writes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from orders.errors import (
    IdempotencyKeyReusedError,
    NotCancellableError,
    OrderNotFoundError,
    TicketNotFoundError,
    UnknownOrderError,
)
from orders.models import Item, NewTicket, Order, Ticket

BUSY_SECONDS = 10.0
CANCELLABLE = ("received", "paid")
"""Until an order is packed or an item is made to measure, as the shop's documents say."""
MOST_ORDERS = 50


class Database:
    """A file, created with the seed data on first use. A second start changes nothing."""

    def __init__(self, path: Path, today: date | None = None) -> None:
        """Open or create it. `today` is the day that the seed's dates are counted from."""
        self._path = path
        with self._transaction() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        # The lock is taken first: of two processes that start at once, one plants the seed.
        with self._transaction("IMMEDIATE") as connection:
            for statement in files("orders").joinpath("schema.sql").read_text().split(";"):
                connection.execute(statement)
            if connection.execute("SELECT 1 FROM orders").fetchone() is None:
                _plant(connection, today or date.today())

    def order(self, order_id: str) -> Order:
        """Return an order. Raises OrderNotFoundError."""
        with self._transaction() as connection:
            return _order(connection, order_id)

    def orders_of(self, customer_email: str) -> list[Order]:
        """Return a customer's last orders, newest first."""
        query = "SELECT * FROM orders WHERE customer_email = ? ORDER BY placed_on DESC, id LIMIT ?"
        with self._transaction() as connection:
            rows = connection.execute(query, (customer_email, MOST_ORDERS)).fetchall()
            return [_with_items(connection, row) for row in rows]

    def cancel(self, order_id: str) -> Order:
        """Cancel an order; once more does nothing.

        Raises:
            OrderNotFoundError: there is none.
            NotCancellableError: it is packed, made to measure or on its way.
        """
        with self._transaction("IMMEDIATE") as connection:
            order = _order(connection, order_id)
            if order.status == "cancelled":
                return order
            if order.status not in CANCELLABLE:
                stage = order.status.replace("_", " ")
                raise NotCancellableError(f"order {order_id} is {stage} and cannot be cancelled")
            query = "UPDATE orders SET status = 'cancelled', eta = NULL WHERE id = ?"
            connection.execute(query, (order_id,))
            return _order(connection, order_id)

    def file(self, new: NewTicket, idempotency_key: str | None = None) -> tuple[Ticket, bool]:
        """File a ticket and return it, and whether it is new: a key files only once.

        Raises:
            UnknownOrderError: the ticket names an order that does not exist.
            IdempotencyKeyReusedError: the key came with another request before.
        """
        digest = hashlib.sha256(new.model_dump_json().encode()).hexdigest()
        with self._transaction("IMMEDIATE") as connection:
            query = "SELECT * FROM tickets WHERE idempotency_key = ?"
            before = connection.execute(query, (idempotency_key,)).fetchone()
            if before is not None:
                if before["request_digest"] != digest:
                    raise IdempotencyKeyReusedError(
                        "this Idempotency-Key was sent before with another request"
                    )
                return _ticket(before), False
            if new.order_id is not None:
                query = "SELECT 1 FROM orders WHERE id = ?"
                if connection.execute(query, (new.order_id,)).fetchone() is None:
                    raise UnknownOrderError(f"order_id: there is no order {new.order_id!r}")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            row = connection.execute(
                "INSERT INTO tickets (subject, description, customer_email, order_id, priority,"
                " created_at, idempotency_key, request_digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
                (*new.model_dump().values(), now, idempotency_key, digest),
            ).fetchone()
            return _ticket(row), True

    def ticket(self, ticket_id: str) -> Ticket:
        """Return a ticket. Raises TicketNotFoundError."""
        prefix, _, number = ticket_id.strip().upper().partition("-")
        with self._transaction() as connection:
            row = None
            if prefix == "T" and number.isascii() and number.isdigit() and len(number) < 16:
                query = "SELECT * FROM tickets WHERE number = ?"
                row = connection.execute(query, (int(number),)).fetchone()
        if row is None:
            raise TicketNotFoundError(f"there is no ticket {ticket_id!r}")
        return _ticket(row)

    @contextmanager
    def _transaction(self, kind: str | None = None) -> Generator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            if kind is not None:
                connection.execute(f"BEGIN {kind}")
            yield connection
            if kind is not None:
                connection.execute("COMMIT")
        finally:
            connection.close()  # which rolls back what was not committed


def _order(connection: sqlite3.Connection, order_id: str) -> Order:
    row = connection.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()
    if row is None:
        raise OrderNotFoundError(
            f"there is no order {order_id!r}; order numbers are HG and ten digits"
        )
    return _with_items(connection, row)


def _with_items(connection: sqlite3.Connection, row: Any) -> Order:
    query = "SELECT name, quantity, price_cny FROM items WHERE order_id = ? ORDER BY position"
    items = [Item(**dict(each)) for each in connection.execute(query, (row["id"],))]
    return Order(
        order_id=row["id"],
        status=row["status"],
        placed_on=row["placed_on"],
        carrier=row["carrier"],
        tracking_number=row["tracking_number"],
        eta=row["eta"],
        items=items,
    )


def _ticket(row: Any) -> Ticket:
    return Ticket(
        ticket_id=f"T-{row['number']:06d}",
        subject=row["subject"],
        description=row["description"],
        customer_email=row["customer_email"],
        order_id=row["order_id"],
        priority=row["priority"],
        created_at=row["created_at"],
    )


def _plant(connection: sqlite3.Connection, today: date) -> None:
    """Write the seed, its days counted from `today`: no order is expected in the past."""
    for order in json.loads(files("orders").joinpath("seed.json").read_text("utf-8")):
        days = order["eta_in_days"]
        connection.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                order["id"],
                order["customer_email"],
                order["status"],
                str(today - timedelta(order["placed_days_ago"])),
                order["carrier"],
                order["tracking_number"],
                None if days is None else str(today + timedelta(days)),
            ),
        )
        connection.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
            [
                (order["id"], position, item["name"], item["quantity"], item["price_cny"])
                for position, item in enumerate(order["items"])
            ],
        )
