"""One request for a response with its reply: written, kept for later, told of failures."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent_runtime.dialogue.memory import after
from agent_runtime.domain import Event, Principal, Turn, answer_of
from agent_runtime.http.errors import body_of
from agent_runtime.http.items import Item
from agent_runtime.http.responses.envelope import StreamEvent, Writer
from agent_runtime.http.responses.stored import StoredResponse, StoredResponses
from agent_runtime.http.wire import event
from agent_runtime.pipeline import Reply


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is known when the turn begins. `turns` is what the request said."""

    writer: Writer
    principal: Principal
    turns: tuple[Turn, ...]
    input: Sequence[Item]
    stored: StoredResponses

    async def whole(self, reply: Reply) -> dict[str, Any]:
        """Return the response as one object."""
        async for _ in self._events(reply):
            pass
        return dict(self.writer.response)

    async def stream(self, reply: Reply) -> AsyncIterator[bytes]:
        """Yield the response as server-sent events."""
        async for each in self._events(reply):
            yield sse(each)

    async def failed(self, error: BaseException) -> AsyncIterator[bytes]:
        """Yield the end of a response that failed on its way."""
        for each in self.writer.fail(dict(body_of(error)["error"])):
            yield sse(each)

    async def _events(self, reply: Reply) -> AsyncGenerator[StreamEvent]:
        self.writer.response["degraded"] = list(reply.degraded)
        for each in self.writer.begin():
            yield each
        seen: list[Event] = []
        async for happened in reply.events:
            seen.append(happened)
            for each in self.writer.take(happened):
                yield each
        for each in self.writer.end(int(time.time())):
            yield each
        # Instructions were for their own responses alone.
        before = [turn for turn in reply.remembered if turn.role != "system"]
        await self._keep((*before, *self.turns, *after(answer_of(seen))))
        yield self.writer.final()

    async def _keep(self, turns: tuple[Turn, ...]) -> None:
        """Store the response, and say so where that is not possible."""
        response = self.writer.response
        if not response["store"]:
            return
        record = StoredResponse(
            owner=self.principal.user,
            tenant=self.principal.tenant,
            conversation_id=response["conversation_id"],
            turns=turns,
            input=tuple(self.input),
            response=dict(response),
        )
        if not await self.stored.keep(response["id"], record):
            response["store"] = False
            response["degraded"].append("responses")


def sse(happened: StreamEvent) -> bytes:
    """Return an event of the API as a server-sent event."""
    return event(happened, happened["type"])
