"""What the API server sends in a list or a watch, checked as it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from chatagent_operator.core.names import Key
from chatagent_operator.kube.errors import ApiError, from_response

Body = Mapping[str, Any]

_LIST_IS_COMPLETE = "k8s.io/initial-events-end"


class GarbledError(ApiError):
    """An answer that is not what the API promises."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch, or one item of a list."""

    type: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""

    key: Key
    resource_version: int
    body: Body

    @property
    def ends_list(self) -> bool:
        """Whether everything that there was when the stream began has been sent."""
        annotations = self.body["metadata"].get("annotations") or {}
        return self.type == "BOOKMARK" and annotations.get(_LIST_IS_COMPLETE) == "true"


def parse_event(line: bytes) -> Event:
    """Read one line of a watch.

    Raises:
        GarbledError: it is no event.
        ApiError: it is an event that reports an error.
    """
    try:
        event: Any = orjson.loads(line)
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            error = from_response(int(body.get("code") or 500), orjson.dumps(body))
        elif kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            return _event(kind, body)
        else:
            raise ValueError(f"unknown type {kind!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GarbledError(0, f"not an event of a watch: {line[:100]!r} ({error!r})") from error
    raise error


def parse_page(page: Body) -> tuple[list[Event], int, str]:
    """Read one page of a list.

    Returns:
        Its items, its resource version and the token of the next page, if there is one.

    Raises:
        GarbledError: it is no list.
    """
    try:
        metadata = page["metadata"]
        items = [_event("ADDED", item) for item in page["items"] or ()]
        return items, int(metadata["resourceVersion"]), metadata.get("continue") or ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GarbledError(0, f"not a list: {error!r}") from error


def _event(kind: str, body: Body) -> Event:
    metadata = body["metadata"]
    key = (metadata.get("namespace") or "", metadata["name"] if kind != "BOOKMARK" else "")
    return Event(kind, key, int(metadata["resourceVersion"]), body)
