"""Checks which revisions' Services are reachable from the pod, whose network HAProxy shares.

A Service without a ready endpoint refuses connections. HAProxy makes no health checks itself: one
that failed would move every conversation of the revision.
"""

from __future__ import annotations

import asyncio

from chatagent_operator.core.routing.routes import Backend, Routes

TIMEOUT_SECONDS = 0.5


async def find_reachable(routes: Routes | None) -> list[str]:
    """Return the revisions that accept a connection, whatever their weight and state."""
    backends = routes.backends if routes else ()
    accepted = await asyncio.gather(*(_accepts_connection(backend) for backend in backends))
    return sorted(
        b.revision for b, is_accepted in zip(backends, accepted, strict=True) if is_accepted
    )


async def _accepts_connection(backend: Backend) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(backend.address, backend.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
