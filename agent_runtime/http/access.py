"""Who asks, and whether an object is theirs."""

from __future__ import annotations

from typing import Protocol, TypeVar

from fastapi import Request

from agent_runtime.domain import NOBODY, Principal
from agent_runtime.errors import NotFoundError, UnauthenticatedError


class Owned(Protocol):
    """Something that belongs to somebody."""

    @property
    def owner(self) -> str: ...

    @property
    def tenant(self) -> str: ...


T = TypeVar("T", bound=Owned)


def principal_of(request: Request) -> Principal:
    """Return who asks, as the authentication found out."""
    return getattr(request.state, "principal", NOBODY)


def caller_of(principal: Principal) -> str:
    """Return the name under which somebody's turns wait."""
    return f"{principal.tenant}/{principal.user}"


def own(thing: T | None, principal: Principal, what: str) -> T:
    """Return what is the caller's. Raises NotFoundError for what is not there or somebody else's:
    no difference is shown."""
    if thing is None or (thing.owner, thing.tenant) != (principal.user, principal.tenant):
        raise NotFoundError(f"there is no {what}")
    return thing


def may_write(request: Request, known: bool) -> Principal:
    """Return who asks, if they may change documents.

    Args:
        request: the request.
        known: whether callers can show who they are; then they have to.

    Raises:
        UnauthenticatedError: they did not.
    """
    principal = principal_of(request)
    if known and principal.anonymous:
        raise UnauthenticatedError("a bearer token is needed to change documents")
    return principal
