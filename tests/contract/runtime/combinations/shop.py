"""The tool of the suite, as an image's author would write it."""

from __future__ import annotations


def get_order_status(order_id: str) -> dict[str, str]:
    """Say where an order is.

    Args:
        order_id: number of the order.
    """
    return {"order_id": order_id, "status": "handed to the carrier"}
