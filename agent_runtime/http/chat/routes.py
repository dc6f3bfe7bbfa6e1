"""POST /v1/chat/completions: read a body, run a turn, write it as one object or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agent_runtime.domain import Request as Turn
from agent_runtime.http.access import principal_of
from agent_runtime.http.chat.envelope import ChatCompletion, Envelope
from agent_runtime.http.chat.schemas import CHAT
from agent_runtime.http.fields import conversation_id, issued, issued_at
from agent_runtime.http.names import Names
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.turns import Turns
from agent_runtime.http.wire import read, reply
from agent_runtime.pipeline import Reply


class Chat:
    """The endpoint of chat completions."""

    def __init__(self, turns: Turns, names: Names) -> None:
        self._turns = turns
        self._names = names

    def install(self, router: APIRouter) -> None:
        """Add the route."""
        router.add_api_route(
            "/v1/chat/completions",
            self.complete,
            methods=["POST"],
            tags=["Chat"],
            summary="Answer a conversation",
            response_model=None,
            responses=gives(ChatCompletion, "The reply, or its chunks with stream", stream=True),
            openapi_extra=takes(CHAT),
        )

    async def complete(self, request: Request) -> Response:
        """As OpenAI's chat completions, with the citations as annotations of the message. The
        header X-Conversation-ID and `conversation_id` name the conversation."""
        body = await read(request, CHAT)
        header = request.headers.get("x-conversation-id")
        conversation = conversation_id(header, body.conversation_id, request.state.conversation_id)
        request.state.conversation_id = conversation
        self._names.check(body.model)
        remembered = bool(header or body.conversation_id)
        turn = body.request(conversation, principal_of(request), remembered)
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return await self.answer(request, turn, bool(body.stream), with_usage)

    async def answer(
        self, request: Request, turn: Turn, stream: bool, with_usage: bool
    ) -> Response:
        """Answer a turn in the shape of a chat completion."""
        id = issued("chatcmpl")
        envelope = Envelope(
            id, issued_at(id), self._names.generator, self._names.revision, turn.conversation_id
        )
        if stream:

            def render(said: Reply) -> AsyncIterator[bytes]:
                return replace(envelope, degraded=said.degraded).stream(said.events, with_usage)

            return await self._turns.stream(request, turn, render)

        async def completion(said: Reply) -> ChatCompletion:
            return replace(envelope, degraded=said.degraded).completion(await said.whole())

        return reply(await self._turns.whole(request, turn, completion))
