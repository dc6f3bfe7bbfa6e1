"""/v1/responses: read a body, run a turn, write it as one object or as events, keep it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from typing_extensions import TypedDict

from agent_runtime.dialogue.memory import Readable
from agent_runtime.domain import Principal, Turn, unmatched
from agent_runtime.domain import Request as DomainRequest
from agent_runtime.errors import ConflictError, InvalidRequestError, NotFoundError
from agent_runtime.http.access import principal_of
from agent_runtime.http.fields import check_question, conversation_id, issued, issued_at
from agent_runtime.http.functions import chosen
from agent_runtime.http.items import approval_of, kept
from agent_runtime.http.names import Names
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.pages import Page, PageQuery, page
from agent_runtime.http.responses.envelope import ResponseObject, Writer
from agent_runtime.http.responses.exchange import Exchange
from agent_runtime.http.responses.schemas import RESPONSE, ResponseRequest
from agent_runtime.http.responses.stored import StoredResponse, StoredResponses
from agent_runtime.http.turns import Turns
from agent_runtime.http.wire import read, reply
from agent_runtime.ports import Records


class DeletedResponse(TypedDict):
    """What is left of a response."""

    id: str
    object: Literal["response"]
    deleted: bool


class Responses:
    """The endpoints of responses."""

    def __init__(
        self, turns: Turns, names: Names, records: Records, readable: Readable | None = None
    ) -> None:
        """`readable` leaves out what a caller may not see any more."""
        self._turns = turns
        self._names = names
        self._stored = StoredResponses(records, readable)

    def install(self, router: APIRouter) -> None:
        """Add the routes."""
        router.add_api_route(
            "/v1/responses", self.create, methods=["POST"], tags=["Responses"],
            summary="Answer a message", response_model=None, openapi_extra=takes(RESPONSE),
            responses=gives(ResponseObject, "The response, or its events with stream", stream=True),
        )  # fmt: skip
        router.add_api_route(
            "/v1/responses/{response_id}", self.get, tags=["Responses"],
            summary="Get a stored response", response_model=None, responses=gives(ResponseObject),
        )  # fmt: skip
        router.add_api_route(
            "/v1/responses/{response_id}", self.delete, methods=["DELETE"], tags=["Responses"],
            summary="Forget a response", response_model=None, responses=gives(DeletedResponse),
        )  # fmt: skip
        router.add_api_route(
            "/v1/responses/{response_id}/cancel", self.cancel, methods=["POST"],
            tags=["Responses"], summary="Cancel a response", response_model=None,
            responses=gives(ResponseObject),
        )  # fmt: skip
        router.add_api_route(
            "/v1/responses/{response_id}/input_items", self.input_items, tags=["Responses"],
            summary="List what a response answered", response_model=None, responses=gives(Page),
        )  # fmt: skip

    async def create(self, request: Request) -> Response:
        """As OpenAI's responses. A call that waits for approval is an item of type
        `mcp_approval_request`; the answer is an input item of type `mcp_approval_response`."""
        body = await read(request, RESPONSE)
        self._names.check(body.model)
        named = body.conversation_id()
        principal = principal_of(request)
        previous = await self._previous(body, principal)
        conversation = self._conversation(request, named, previous)
        request.state.conversation_id = conversation
        said = (*(previous.turns if previous else ()), *body.turns())
        # Of a named conversation the agent may know more than stands here.
        remembered = bool(named or request.headers.get("x-conversation-id"))
        turn = _turn(body, said, conversation, principal, remembered and previous is None)
        exchange = Exchange(
            writer=Writer(self._object(body, conversation)),
            principal=principal,
            turns=said,
            input=[kept(item) for item in body.items()],
            stored=self._stored,
        )
        if body.stream:
            return await self._turns.stream(request, turn, exchange.stream, exchange.failed)
        return reply(await self._turns.whole(request, turn, exchange.whole))

    async def get(self, response_id: str, request: Request) -> Response:
        """Only its owner gets it."""
        return reply((await self._stored.get(response_id, principal_of(request))).response)

    async def delete(self, response_id: str, request: Request) -> Response:
        """The conversation remembers what was said all the same."""
        await self._stored.delete(response_id, principal_of(request))
        gone: DeletedResponse = {"id": response_id, "object": "response", "deleted": True}
        return reply(gone)

    async def cancel(self, response_id: str, request: Request) -> Response:
        """A response is cancelled by closing its connection; a stored one is over."""
        await self._stored.get(response_id, principal_of(request))
        raise ConflictError("the response is over; closing the connection cancels one")

    async def input_items(
        self, response_id: str, request: Request, query: Annotated[PageQuery, Query()]
    ) -> Response:
        """The items of its own request, without those before it."""
        stored = await self._stored.get(response_id, principal_of(request))
        return reply(page(stored.input, query))

    async def _previous(self, body: ResponseRequest, principal: Principal) -> StoredResponse | None:
        if body.previous_response_id is None:
            return None
        try:
            return await self._stored.get(body.previous_response_id, principal)
        except NotFoundError:
            raise InvalidRequestError(
                f"previous_response_id: there is no response {body.previous_response_id!r}",
                "previous_response_id",
                "previous_response_not_found",
            ) from None

    def _conversation(
        self, request: Request, named: str | None, previous: StoredResponse | None
    ) -> str:
        if previous is not None:
            return previous.conversation_id
        header, new = request.headers.get("x-conversation-id"), request.state.conversation_id
        return conversation_id(header, named, new)

    def _object(self, body: ResponseRequest, conversation: str) -> ResponseObject:
        id = issued("resp")
        tools = [tool.model_dump(exclude_none=True) for tool in body.tools or ()]
        return {
            "id": id,
            "object": "response",
            "created_at": issued_at(id),
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self._names.generator,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": body.previous_response_id,
            "conversation": {"id": conversation},
            "conversation_id": conversation,
            "store": body.store is not False,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "text": {"format": {"type": "text"}},
            "tool_choice": _choice(body),
            "tools": tools,
            "truncation": "auto",
            "metadata": body.metadata or {},
            "usage": None,
            "required_action": None,
            "degraded": [],
        }


def _choice(body: ResponseRequest) -> object:
    choice = body.tool_choice or "auto"
    return choice if isinstance(choice, str) else choice.model_dump()


def _turn(
    body: ResponseRequest,
    said: tuple[Turn, ...],
    conversation: str,
    principal: Principal,
    remembered: bool,
) -> DomainRequest:
    """Return the turn to be answered. Raises InvalidRequestError."""
    approval = approval_of(body.items())
    if not said and approval is None:
        raise InvalidRequestError("input: a message is needed", "input")
    if not remembered and unmatched(said):
        raise InvalidRequestError(
            "input: a function_call_output has a call_id that no function_call before it has",
            "input",
        )
    asked = next((turn.content for turn in reversed(said) if turn.role == "user"), "")
    check_question(asked, "input")
    functions = body.functions()
    instructions = (Turn("system", body.instructions),) if body.instructions else ()
    return DomainRequest(
        turns=(*instructions, *said),
        conversation_id=conversation,
        principal=principal,
        tools=functions,
        tool_choice=chosen(body.tool_choice, functions),
        sampling=body.sampling(),
        approval=approval,
        place="input",
    )
