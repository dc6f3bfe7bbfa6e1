"""Whether the revisions' Services can be reached from here: the sidecar's network is HAProxy's.

A Service without a ready endpoint refuses. HAProxy makes no such checks itself: one that failed
would take every conversation of the revision elsewhere.
"""

from __future__ import annotations

import asyncio

from chatagent_operator.core.routing.routes import Backend, Routes

TIMEOUT_SECONDS = 0.5


async def reached(routes: Routes | None) -> list[str]:
    """Names of the revisions that take a connection, whatever their weight and state."""
    backends = routes.backends if routes else ()
    taken = await asyncio.gather(*(_takes_connection(backend) for backend in backends))
    return sorted(b.revision for b, is_taken in zip(backends, taken, strict=True) if is_taken)


async def _takes_connection(backend: Backend) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(backend.address, backend.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
