"""The endpoints of conversations, and of the approvals that they wait for."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from agent_runtime.domain import Approval
from agent_runtime.domain import Request as Turn
from agent_runtime.errors import NotFoundError
from agent_runtime.http.access import principal_of
from agent_runtime.http.actions import RequiredAction, required
from agent_runtime.http.chat.envelope import ChatCompletion
from agent_runtime.http.chat.routes import Chat
from agent_runtime.http.conversations.remembered import Conversation, Conversations
from agent_runtime.http.fields import Body, Metadata, issued_at
from agent_runtime.http.items import InputItem, turns_of
from agent_runtime.http.openapi import gives, takes
from agent_runtime.http.pages import Page, PageQuery, page
from agent_runtime.http.wire import read, reply

MAX_ITEMS = 20
PATH = "/v1/conversations"


class NewConversation(Body):
    """A conversation to begin."""

    items: Annotated[list[InputItem], Field(max_length=MAX_ITEMS)] | None = None
    """What was said already."""
    metadata: Metadata | None = None


class ConversationChange(Body):
    """Notes to be replaced."""

    metadata: Metadata


class NewItems(Body):
    """Items to be added."""

    items: Annotated[list[InputItem], Field(min_length=1, max_length=MAX_ITEMS)]


class Decision(Body):
    """The user's word on a call that waits for it."""

    approve: bool
    stream: bool | None = None


class ConversationObject(TypedDict):
    """A conversation."""

    id: str
    object: Literal["conversation"]
    created_at: int
    """Seconds since 1970; 0 where the client named it."""
    metadata: dict[str, str]
    required_action: RequiredAction | None
    """What it waits for."""


class DeletedConversation(TypedDict):
    """What is left of a conversation."""

    id: str
    object: Literal["conversation.deleted"]
    deleted: bool


NEW = TypeAdapter(NewConversation)
CHANGE = TypeAdapter(ConversationChange)
ITEMS = TypeAdapter(NewItems)
DECISION = TypeAdapter(Decision)


class ConversationRoutes:
    """The endpoints of conversations. Somebody else's are not found."""

    def __init__(self, conversations: Conversations, chat: Chat) -> None:
        self._conversations = conversations
        self._chat = chat

    def install(self, router: APIRouter) -> None:
        """Add the routes."""
        one, items = f"{PATH}/{{conversation_id}}", f"{PATH}/{{conversation_id}}/items"
        item, approval = f"{items}/{{item_id}}", f"{one}/approvals/{{approval_id}}"
        for path, method, handler, summary, gift, body in (
            (PATH, "POST", self.create, "Begin a conversation", ConversationObject, NEW),
            (one, "GET", self.get, "Get a conversation", ConversationObject, None),
            (one, "POST", self.change, "Replace its metadata", ConversationObject, CHANGE),
            (one, "DELETE", self.delete, "Forget a conversation", DeletedConversation, None),
            (items, "GET", self.items, "List its items", Page, None),
            (items, "POST", self.add, "Add items", Page, ITEMS),
            (item, "GET", self.item, "Get an item", dict[str, object], None),
            (item, "DELETE", self.remove, "Forget an item", ConversationObject, None),
            (approval, "POST", self.decide, "Approve a call, or not", ChatCompletion, DECISION),
        ):
            router.add_api_route(
                path,
                handler,
                methods=[method],
                tags=["Conversations"],
                summary=summary,
                response_model=None,
                responses=gives(gift, stream=body is DECISION),
                openapi_extra=takes(body, required=body is not NEW) if body else None,
            )

    async def create(self, request: Request) -> Response:
        """The id that is issued goes into `conversation_id` or the header X-Conversation-ID."""
        body = await read(request, NEW, empty=b"{}")
        turns = turns_of(body.items or (), "items")
        made = await self._conversations.create(principal_of(request), turns, body.metadata or {})
        return reply(shown(made))

    async def get(self, conversation_id: str, request: Request) -> Response:
        """With what it waits for, if it does."""
        return reply(shown(await self._conversations.get(conversation_id, principal_of(request))))

    async def change(self, conversation_id: str, request: Request) -> Response:
        """All of its metadata."""
        body = await read(request, CHANGE)
        principal = principal_of(request)
        found = await self._conversations.get(conversation_id, principal)
        await self._conversations.note(conversation_id, principal, body.metadata)
        return reply(shown(Conversation(found.session, body.metadata)))

    async def delete(self, conversation_id: str, request: Request) -> Response:
        """Its turns, its metadata and what it waits for."""
        await self._conversations.delete(conversation_id, principal_of(request))
        gone: DeletedConversation = {
            "id": conversation_id, "object": "conversation.deleted", "deleted": True
        }  # fmt: skip
        return reply(gone)

    async def items(
        self, conversation_id: str, request: Request, query: Annotated[PageQuery, Query()]
    ) -> Response:
        """The turns that the agent remembers."""
        found = await self._conversations.items(conversation_id, principal_of(request))
        return reply(page(found, query))

    async def add(self, conversation_id: str, request: Request) -> Response:
        """At its end."""
        body = await read(request, ITEMS)
        turns = turns_of(body.items, "items")
        added = await self._conversations.add(conversation_id, principal_of(request), turns)
        return reply(page(added, PageQuery(limit=1000, order="asc")))

    async def item(self, conversation_id: str, item_id: str, request: Request) -> Response:
        """By its id."""
        for item in await self._conversations.items(conversation_id, principal_of(request)):
            if item["id"] == item_id:
                return reply(item)
        raise NotFoundError(f"there is no item {item_id[:200]!r} in this conversation")

    async def remove(self, conversation_id: str, item_id: str, request: Request) -> Response:
        """The turn that it stands for."""
        principal = principal_of(request)
        return reply(shown(await self._conversations.remove(conversation_id, principal, item_id)))

    async def decide(self, conversation_id: str, approval_id: str, request: Request) -> Response:
        """The turn goes on, with the call or without it, and is answered as a chat completion."""
        body = await read(request, DECISION)
        principal = principal_of(request)
        found = await self._conversations.get(conversation_id, principal)
        pending = found.session.pending
        if pending is None or pending.missing or pending.id != approval_id:
            raise NotFoundError(f"nothing waits for the approval {approval_id[:200]!r}")
        approval = Approval(approval_id, body.approve)
        turn = Turn((), conversation_id, principal, approval=approval)
        request.state.conversation_id = conversation_id
        return await self._chat.answer(request, turn, bool(body.stream), with_usage=False)


def shown(conversation: Conversation) -> ConversationObject:
    """Return a conversation as a client gets it."""
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": issued_at(conversation.id),
        "metadata": conversation.metadata,
        "required_action": required(conversation.session.pending),
    }
