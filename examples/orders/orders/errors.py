"""What the order system refuses to do, whoever asks."""

from __future__ import annotations

from typing import ClassVar


class OrderSystemError(Exception):
    """Names what went wrong in words for the person who asked."""

    code: ClassVar[str]
    status: ClassVar[int]


class OrderNotFoundError(OrderSystemError):
    """There is no order with this number."""

    code, status = "order_not_found", 404


class TicketNotFoundError(OrderSystemError):
    """There is no ticket with this number."""

    code, status = "ticket_not_found", 404


class UnknownOrderError(OrderSystemError):
    """A ticket names an order that does not exist."""

    code, status = "unknown_order", 422


class NotCancellableError(OrderSystemError):
    """The order has gone too far to be cancelled."""

    code, status = "not_cancellable", 409


class IdempotencyKeyReusedError(OrderSystemError):
    """The key was used before, for another request."""

    code, status = "idempotency_key_reused", 422
