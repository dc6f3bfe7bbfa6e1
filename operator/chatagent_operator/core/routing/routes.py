"""The intent of an agent's gateway: which revisions get conversations, and what share of new ones.

The operator writes it as `routes.json` into the ConfigMap `<agent>-routes`; the gateway's sidecar
applies it to HAProxy. Pure: JSON in and out, no clock and no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

ROUTES_KEY = "routes.json"
"""Key of the intent in the ConfigMap."""

Slot = Literal["s1", "s2", "s3", "s4"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
"""The servers of every gateway. Their number is fixed because HAProxy is never reloaded: stable,
canary, and two more for revisions that are drained."""

BackendState = Literal["ready", "drain", "maint"]
"""ready: gets new conversations by its weight. drain: keeps the conversations that it has.
maint: gets nothing, and its conversations move to other revisions."""


class RoutesError(ValueError):
    """The text is not a valid intent. The message names the fields, on one line."""


class RoutesModel(BaseModel):
    """Immutable. Unknown fields are ignored: during an upgrade the operator that writes may be
    newer than the sidecar that reads, and a gateway that rejects all intents is worse."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _canonical_ip(address: str) -> str:
    # It becomes part of a command to HAProxy, which accepts neither a name nor a zone there.
    parsed = ip_address(address)
    if "%" in address:
        raise ValueError("an address must not have a zone")
    return str(parsed)


_Revision = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]


class Backend(RoutesModel):
    """One revision's Service, in one of the gateway's slots."""

    slot: Slot
    revision: _Revision
    address: Annotated[str, AfterValidator(_canonical_ip)]
    """ClusterIP of the revision's Service."""
    port: Annotated[int, Field(ge=1, le=65535)]
    weight: Annotated[int, Field(ge=0, le=100)]
    """Percent of new conversations. Ignored unless the state is ready."""
    state: BackendState


class Routes(RoutesModel):
    """The intent of one gateway. A slot has at most one backend, a revision at most one slot."""

    generation: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """Increases with every change; the sidecar reports the one that is applied. It must fit into
    HAProxy's 32-bit map values."""
    backends: tuple[Backend, ...] = ()
    stable: _Revision | None = None
    """Takes over conversations that are named after a removed revision. None: their next turn is
    routed by weight."""

    @model_validator(mode="after")
    def _check_backends(self) -> Routes:
        for what in ("slot", "revision"):
            values = [getattr(backend, what) for backend in self.backends]
            if len(values) != len(set(values)):
                raise ValueError(f"every backend needs a {what} of its own, got {values}")
        ready = [backend.weight for backend in self.backends if backend.state == "ready"]
        if ready and sum(ready) != 100:
            raise ValueError(f"weights of ready backends must sum to 100, got {ready}")
        return self

    def in_slot(self, slot: Slot) -> Backend | None:
        """Return the backend in this slot; None if the slot is free."""
        return next((backend for backend in self.backends if backend.slot == slot), None)

    def slots(self) -> dict[str, Slot]:
        """Return the slot of each revision, for `assign_slots`. Backends in maint are included."""
        return {backend.revision: backend.slot for backend in self.backends}

    def to_json(self) -> str:
        """Return JSON, the same for the same intent, so that an unchanged one is not written."""
        in_order = sorted(self.backends, key=lambda backend: backend.slot)
        return self.model_copy(update={"backends": tuple(in_order)}).model_dump_json()


_ROUTES = TypeAdapter(Routes)


def parse_routes(text: str | bytes) -> Routes:
    """Parse `routes.json`. Raises RoutesError."""
    try:
        return _ROUTES.validate_json(text)
    except ValidationError as error:
        reasons = (
            f"{'.'.join(map(str, found['loc'])) or 'routes.json'}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)
        )
        raise RoutesError("; ".join(reasons).replace("\n", " ")) from error


def assign_slots(previous: Mapping[str, Slot], revisions: Iterable[str]) -> dict[str, Slot]:
    """Assign a slot to each revision, earlier ones first, given the applied intent (`slots()`).

    A revision keeps its slot. A new one gets a slot that the applied intent does not contain, so
    that a gateway always sees a slot empty, and removes its pins, before another revision uses it.
    A revision for which none is free is left out until the next intent, when the slots of
    revisions that are not in `revisions` are free.
    """
    wanted = list(dict.fromkeys(revisions))
    taken = set(previous.values())
    free: Iterator[Slot] = (slot for slot in SLOTS if slot not in taken)
    assigned: dict[str, Slot] = {}
    for revision in wanted:
        if revision in previous:
            assigned[revision] = previous[revision]
        elif (slot := next(free, None)) is not None:
            assigned[revision] = slot
    return assigned
