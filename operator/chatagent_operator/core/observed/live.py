"""What an object has, in a compact form, and whether that is what is desired of it.

Only what is desired is compared: the API server adds defaults and addresses, controllers a status,
others their annotations.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, cast

import orjson

from chatagent_operator.core import names
from chatagent_operator.core.quantities import parse_quantity

MAX_PLAIN = 1024
"""Most bytes that are kept as they are: to compress less saves little and takes longer."""
MAX_TEXT = 64
"""Of a longer text the digest is kept: a ConfigMap may have a megabyte."""
_EXACT = frozenset({"selector", "nodeSelector"})
"""What one more key makes another one of."""
_QUANTITIES = frozenset({"limits", "requests", "sizeLimit"})
"""What the API server stores in its own notation: `500m` for `0.5`."""
_OTHER = frozenset({"apiVersion", "kind", "metadata", "status"})


def read_live(body: Mapping[str, Any], *, is_whole: bool) -> bytes:
    """Return what an object has, compressed if it is long.

    Args:
        is_whole: whether all of it is compared; otherwise its labels are.
    """
    kept = orjson.dumps(_read(body, is_whole), option=orjson.OPT_SORT_KEYS)
    return zlib.compress(kept, 1) if len(kept) > MAX_PLAIN else kept


def covers(live: bytes, manifest: Mapping[str, Any], *, is_whole: bool) -> bool:
    """Return whether an object has everything that a manifest desires."""
    kept = live if live.startswith(b"{") else zlib.decompress(live)
    return _covers(orjson.loads(kept), _read(manifest, is_whole))


def _read(body: Mapping[str, Any], is_whole: bool) -> dict[str, Any]:
    metadata = body["metadata"]
    kept: dict[str, Any] = {"labels": metadata.get("labels") or {}}
    if not is_whole:
        return kept
    kept["annotations"] = {
        key: _shorten(value)
        for key, value in (metadata.get("annotations") or {}).items()
        if key != names.APPLIED_ANNOTATION
    }
    return kept | {key: _shorten(value) for key, value in body.items() if key not in _OTHER}


def _shorten(value: Any) -> Any:
    match value:
        case dict():
            return {key: _shorten(each) for key, each in cast(dict[str, Any], value).items()}
        case list():
            return [_shorten(each) for each in cast(list[Any], value)]
        case str() if len(value) > MAX_TEXT:
            return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:32]}"
        case _:
            return value


def _covers(live: Any, desired: Any, *, is_quantity: bool = False) -> bool:
    if live is None:
        return not desired  # the API server leaves empty values out
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            _covers(
                cast(dict[str, Any], live).get(key),
                each,
                is_quantity=is_quantity or key in _QUANTITIES,
            )
            if key not in _EXACT
            else cast(dict[str, Any], live).get(key) == each
            for key, each in cast(dict[str, Any], desired).items()
        )
    if isinstance(desired, list):
        return (
            isinstance(live, list)
            and len(cast(list[Any], live)) == len(cast(list[Any], desired))
            and all(map(_covers, cast(list[Any], live), cast(list[Any], desired)))
        )
    return bool(live == desired) or (is_quantity and _have_same_value(live, desired))


def _have_same_value(live: Any, desired: Any) -> bool:
    try:
        return parse_quantity(live) == parse_quantity(desired)
    except ValueError:
        return False
