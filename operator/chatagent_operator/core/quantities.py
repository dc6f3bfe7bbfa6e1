"""Quantities of Kubernetes, such as `500m` or `1Gi`."""

from __future__ import annotations

from decimal import Decimal

_SUFFIXES = {
    "": 1, "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("0.001"),
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


def parse_quantity(quantity: int | str) -> Decimal:
    """Return the number that a quantity stands for.

    Raises:
        ValueError: it is none.
    """
    text = str(quantity)
    number = text.rstrip("".join(sorted(set("".join(_SUFFIXES)))))
    try:
        return Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (ArithmeticError, KeyError):
        raise ValueError(f"{quantity!r} is no quantity") from None
