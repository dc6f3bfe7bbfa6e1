"""Ports for the servers of tests."""

from __future__ import annotations

import itertools
import os
import socket

_PORTS = range(20_000, 30_000)
"""Below those that connections and `bind(0)` get, which could else take one before its server."""
_order = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """A port of every address on which nobody listens, and that is given out this once."""
    for number in itertools.islice(_order, len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as listener:
            try:
                listener.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
