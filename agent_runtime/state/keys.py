"""Names of keys in Redis: each agent has its own, so that several can share a server."""

from __future__ import annotations

import hashlib

LONGEST = 200


class Keys:
    """Keys of one agent, which is `NAMESPACE/NAME` in a cluster."""

    def __init__(self, agent: str) -> None:
        self._prefix = f"chatagent:{_escaped(agent)}"

    def of(self, kind: str, *names: str) -> bytes:
        """Return a key. Different names give different keys, whatever is in them."""
        written = ":".join(_escaped(name) for name in names)
        raw = written.encode("utf-8", "surrogatepass")
        if len(raw) > LONGEST:
            raw = hashlib.sha256(raw).hexdigest().encode()
        return f"{self._prefix}:{kind}:".encode() + raw


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(":", "%3A")
