"""POST /v1/feedback: what a user thinks of an answer, counted for the revision that gave it.

The gateway sends it where the conversation is, which is why it has to name one. Nothing is stored.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from agent_runtime.errors import InvalidRequestError, UnavailableError
from agent_runtime.http.access import own, principal_of
from agent_runtime.http.fields import Body, Identifier, Text, conversation_id
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.wire import read, reply
from agent_runtime.ports import Sessions
from agent_runtime.telemetry import Telemetry

MAX_COMMENT = 2000
"""Characters."""

log = logging.getLogger(__name__)


class FeedbackRequest(Body):
    """A rating of an answer."""

    rating: Literal["up", "down"]
    """Thumbs up or thumbs down."""
    conversation_id: str | None = None
    """As it came with the answer. The header X-Conversation-ID goes before it; one of the two is
    needed."""
    response_id: Identifier | None = None
    """`id` of the answer: `chatcmpl_…` or `resp_…`. Absent: the conversation as a whole."""
    comment: Annotated[Text, Field(max_length=MAX_COMMENT)] | None = None
    """In the user's words."""


class FeedbackObject(TypedDict):
    """A rating that was counted."""

    object: Literal["feedback"]
    rating: Literal["up", "down"]
    conversation_id: str
    response_id: str | None


FEEDBACK = TypeAdapter(FeedbackRequest)


class Feedback:
    """The endpoint of ratings."""

    def __init__(self, sessions: Sessions, telemetry: Telemetry) -> None:
        self._sessions = sessions
        self._telemetry = telemetry

    def install(self, router: APIRouter) -> None:
        """Add the route."""
        router.add_api_route(
            "/v1/feedback", self.rate, methods=["POST"], tags=["Feedback"],
            summary="Rate an answer", response_model=None, responses=gives(FeedbackObject),
            openapi_extra=takes(FEEDBACK),
        )  # fmt: skip

    async def rate(self, request: Request) -> Response:
        """Somebody else's conversation is not found; one that is forgotten may still be rated."""
        body = await read(request, FEEDBACK)
        header = request.headers.get("x-conversation-id")
        conversation = conversation_id(header, body.conversation_id, "")
        if not conversation:
            raise InvalidRequestError(
                "conversation_id: the conversation that the answer belongs to is needed, here or "
                "in the header X-Conversation-ID",
                "conversation_id",
            )
        await self._check_owner(request, conversation)
        request.state.conversation_id = conversation
        self._telemetry.rated(body.rating, body.comment)
        counted: FeedbackObject = {
            "object": "feedback",
            "rating": body.rating,
            "conversation_id": conversation,
            "response_id": body.response_id,
        }
        return reply(counted)

    async def _check_owner(self, request: Request, conversation: str) -> None:
        """Raise NotFoundError where it is known to be somebody else's."""
        try:
            session = await self._sessions.load(conversation)
        except UnavailableError as error:
            log.warning("a rating is counted without a look at its conversation: %s", error)
            return
        if session is not None:
            own(session, principal_of(request), f"conversation {conversation!r}")
