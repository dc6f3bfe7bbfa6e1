"""The ASGI application: routes and middleware put together. It makes nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.types import ASGIApp

from agent_runtime.http import errors
from agent_runtime.http.chat import Chat, chat_routes
from agent_runtime.http.health import Health, health_routes
from agent_runtime.http.middleware import BodyLimit, Identity, Timing
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.telemetry import Telemetry


def build_app(
    chat: Chat, health: Health, follower: IndexFollower, telemetry: Telemetry, revision: str
) -> ASGIApp:
    """Return the application; it follows the index for as long as it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        following = asyncio.create_task(follower.run())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following

    # The documentation pages load scripts from elsewhere; the schema itself stays.
    app = FastAPI(title="agent-runtime", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(chat_routes(chat))
    app.include_router(health_routes(health, telemetry))
    errors.install(app, telemetry)
    # Around the application and not in it, so that they see its internal errors too.
    return Identity(Timing(BodyLimit(app), telemetry), revision)
