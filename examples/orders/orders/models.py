"""What goes in and out of the order system, the same over HTTP and MCP."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Status = Literal[
    "received",
    "paid",
    "in_production",
    "packed",
    "dispatched",
    "out_for_delivery",
    "delivered",
    "cancelled",
]
Priority = Literal["low", "normal", "high", "urgent"]
OrderId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_upper=True, max_length=64),
    Field(description="Order number: HG and ten digits.", examples=["HG1000000001"]),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
    Field(description="E-mail address of the customer.", examples=["mia.chen@example.com"]),
]
Subject = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    Field(description="What it is about, in one line."),
]
Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=5000),
    Field(description="What happened and what the customer wants."),
]


class Item(BaseModel):
    """One line of an order. The price is for one piece."""

    name: str
    quantity: int
    price_cny: int


class Order(BaseModel):
    """Where an order is. It names no customer, since an order number is easy to guess."""

    order_id: str
    status: Status
    placed_on: date
    carrier: str | None = Field(description="Who delivers it; absent until it is packed.")
    tracking_number: str | None
    eta: date | None = Field(description="Day of delivery, expected or past.")
    items: list[Item]


class Orders(BaseModel):
    """The orders of one customer, newest first."""

    orders: list[Order]


class NewTicket(BaseModel):
    """A request to customer service."""

    model_config = ConfigDict(extra="forbid")

    subject: Subject
    description: Description
    customer_email: Email
    order_id: OrderId | None = None
    priority: Priority = "normal"


class Ticket(NewTicket):
    """A request as it was filed."""

    ticket_id: str
    created_at: datetime


class Problem(BaseModel):
    """Why a request was not done. Programs read `code`, people read `message`."""

    code: str
    message: str


class ProblemBody(BaseModel):
    """The body of every error."""

    error: Problem
