"""POST /v1/chat/completions and GET /v1/models."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from agent_runtime.domain import Citation, Turn
from agent_runtime.errors import AgentError
from agent_runtime.http.completion import DONE, Envelope, annotation, encode, event
from agent_runtime.http.errors import body_of
from agent_runtime.http.schemas import ChatRequest, conversation_id
from agent_runtime.pipeline import Pipeline, Reply


@dataclass(frozen=True, slots=True)
class Chat:
    """What the chat endpoint needs. `model` is the agent's name for itself."""

    pipeline: Pipeline
    count_tokens: Callable[[str], int]
    model: str

    async def usage(self, turns: Sequence[Turn], answer: str) -> dict[str, int]:
        """Count tokens of the embedding model, in a thread since a prompt may be long."""
        prompt = "\n".join(turn.content for turn in turns)
        asked, said = await asyncio.to_thread(
            lambda: (self.count_tokens(prompt), self.count_tokens(answer))
        )
        return {
            "prompt_tokens": asked,
            "completion_tokens": said,
            "total_tokens": asked + said,
        }


def chat_routes(chat: Chat) -> APIRouter:
    """Return the routes of OpenAI's API."""
    router = APIRouter(prefix="/v1")

    @router.post("/chat/completions", response_model=None)
    async def complete(body: ChatRequest, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        conversation = conversation_id(
            request.headers.get("x-conversation-id"), body.conversation_id
        )
        request.state.conversation_id = conversation
        turns = body.turns()
        reply = await chat.pipeline.respond(turns)
        envelope = Envelope(
            id=f"chatcmpl-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=body.model or chat.model,
            conversation_id=conversation,
        )
        if body.stream:
            with_usage = bool(body.stream_options and body.stream_options.include_usage)
            events = _events(chat, envelope, turns, reply, with_usage)
            headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        pieces = [piece async for piece in reply.pieces]
        text = "".join(piece.text for piece in pieces)
        citations = [piece.citation for piece in pieces if piece.citation]
        usage = await chat.usage(turns, text)
        return _json(envelope.completion(text, citations, usage))

    @router.get("/models")
    async def models() -> dict[str, object]:  # pyright: ignore[reportUnusedFunction]
        listed = {"id": chat.model, "object": "model", "created": 0, "owned_by": "chatagent"}
        return {"object": "list", "data": [listed]}

    return router


async def _events(
    chat: Chat, envelope: Envelope, turns: Sequence[Turn], reply: Reply, with_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the reply as it is written; its citations come with the last delta."""
    said: list[str] = []
    citations: list[Citation] = []
    yield envelope.chunk({"role": "assistant", "content": ""})
    try:
        async for piece in reply.pieces:
            said.append(piece.text)
            citations += [piece.citation] if piece.citation else []
            yield envelope.chunk({"content": piece.text})
    except AgentError as error:
        yield event(body_of(error))
        return
    yield envelope.chunk({"annotations": [annotation(each) for each in citations]})
    yield envelope.chunk({}, finish="stop")
    if with_usage:
        yield envelope.usage(await chat.usage(turns, "".join(said)))
    yield DONE


def _json(payload: object) -> Response:
    return Response(encode(payload), media_type="application/json")
