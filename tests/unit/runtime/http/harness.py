"""The application over an agent that says what it is told, in one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from starlette.types import ASGIApp

from agent_runtime.config import LimitsConfig
from agent_runtime.dialogue.memory import Readable
from agent_runtime.domain import (
    Citation,
    Event,
    Evidence,
    Finish,
    IndexInfo,
    Passage,
    Piece,
    Principal,
    Question,
    Request,
    ToolSpec,
    Turn,
    Usage,
)
from agent_runtime.errors import NotReadyError, UnreadableDocumentError
from agent_runtime.http.app import Parts, build_app
from agent_runtime.http.health import Health
from agent_runtime.http.names import Names
from agent_runtime.pipeline import Reply
from agent_runtime.retrieval.follower import IndexFollower
from agent_runtime.state.memory import MemoryRecords, MemorySessions
from agent_runtime.telemetry import Telemetry
from agent_runtime.tools.results import without
from tests.unit.runtime.fakes import HashingEmbedder, HashingVectors, MemoryStore, indexed

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
QUOTE = "退款 3 天到账。\n"
SAID: tuple[Event, ...] = (
    Piece(QUOTE, Citation(0, len(QUOTE), QUOTE, 0.5, indexed(QUOTE).chunk)),
    Piece("And more."),
    Finish("stop", Usage(7, 5)),
)
KEYS = {"alice-key": Principal("alice", tenant="one"), "bob-key": Principal("bob", tenant="one")}
ALICE = {"Authorization": "Bearer alice-key"}
BOB = {"Authorization": "Bearer bob-key"}


@dataclass
class ScriptedAgent:
    """Says `events`. `error` comes before the first of them, `late` before the last."""

    events: Sequence[Event] = SAID
    error: BaseException | None = None
    late: BaseException | None = None
    cached: bool = False
    degraded: tuple[str, ...] = ()
    hold: asyncio.Event | None = None
    """Waited for before the last event."""
    requests: list[Request] = field(default_factory=list[Request])
    ended: list[str] = field(default_factory=list[str])
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def respond(self, request: Request) -> Reply:
        self.requests.append(request)
        self.asked.set()
        if self.error:
            raise self.error
        question = Question("", "", "en")
        return Reply(self._events(), question, None, self.cached, self.degraded)

    async def _events(self) -> AsyncGenerator[Event]:
        try:
            for event in self.events[:-1]:
                yield event
            if self.hold:
                await self.hold.wait()
            if self.late:
                raise self.late
            yield self.events[-1]
            self.ended.append("finished")
        except (GeneratorExit, asyncio.CancelledError):
            self.ended.append("cancelled")
            raise


class KnownKeys:
    """An authenticator of fixed keys."""

    async def authenticate(self, token: str) -> Principal | None:
        return KEYS.get(token)


class OneTool:
    """A toolbox."""

    async def visible(self, caller: Principal) -> tuple[ToolSpec, ...]:
        schema = {"type": "object", "properties": {"id": {"type": "string"}}}
        read = ToolSpec("get_order", "Looks an order up", schema)
        write = ToolSpec("cancel_order", "Cancels an order", schema, effect="write")
        return (read,) if caller.anonymous else (read, write)

    async def readable(self, turns: Sequence[Turn], caller: Principal) -> tuple[Turn, ...]:
        return tuple(turns)


class PaperDocuments:
    """A collection of which a test says when it is in use."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.version = 0
        self.errors: list[Exception] = []
        self.used = asyncio.Event()
        self.used.set()

    async def add(self, path: str, content: bytes) -> int:
        if self.errors:
            raise self.errors.pop(0)
        if b"\0" in content:
            raise UnreadableDocumentError("binary")
        self.held[path] = content
        return self._next()

    async def remove(self, path: str) -> int:
        self.held.pop(path, None)
        return self._next()

    async def in_use(self, version: int) -> None:
        await self.used.wait()

    def _next(self) -> int:
        self.version += 1
        return self.version


class WordRetriever:
    """Finds one passage."""

    async def retrieve(self, question: str) -> Evidence:
        vector = HashingEmbedder().embed([question], "query")[0]
        return Evidence(question, vector, True, {}, [Passage(indexed(QUOTE), 0.25)])


class Runtime:
    """An application with its client. `known`: there are keys."""

    def __init__(
        self, *, known: bool = False, required: bool = False, limits: LimitsConfig | None = None
    ) -> None:
        self.agent = ScriptedAgent()
        self.telemetry = Telemetry("r1")
        self.documents = PaperDocuments()
        self.records = MemoryRecords()
        self.sessions = MemorySessions(3600, 100)
        self.info: IndexInfo | None = IndexInfo("shop", "1", "org/hashing", 64, 3, 12, False)
        follower = IndexFollower(MemoryStore(), HashingVectors(), lambda snapshot: None)
        self.health = Health(lambda: follower.loaded().info, "r1")
        self.parts = Parts(
            agent=self.agent,
            names=Names("r1", "extractive", "org/hashing"),
            limits=limits or LimitsConfig(),
            health=self.health,
            telemetry=self.telemetry,
            toolbox=OneTool(),
            sessions=self.sessions,
            records=self.records,
            documents=self.documents,
            retriever=WordRetriever(),
            index=self.index,
            embedding=HashingEmbedder(),
            vectors=HashingVectors(),
            authenticator=KnownKeys() if known else None,
            identity_required=required,
        )
        self.app: ASGIApp = build_app(self.parts)
        transport = httpx.ASGITransport(cast(Any, self.app), raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://agent")

    def index(self) -> IndexInfo:
        if self.info is None:
            raise NotReadyError("loading the index")
        return self.info

    async def ask(self, headers: Mapping[str, str] | None = None, **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": "How long?"}]
        return await self.client.post(CHAT, json={"messages": messages, **body}, headers=headers)

    async def respond(
        self, headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        return await self.client.post(
            RESPONSES, json={"input": "How long?", **body}, headers=headers
        )


def hiding(*names: str) -> Readable:
    """Leaves out what came of these tools."""

    async def readable(turns: Sequence[Turn], caller: Principal) -> tuple[Turn, ...]:
        return without(turns, names)

    return readable


def events_of(reply: httpx.Response) -> list[Any]:
    """The JSON of a stream's events."""
    lines = [line for line in reply.text.split("\n") if line.startswith("data: ")]
    return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


class Connection:
    """A request over plain ASGI whose client can go away."""

    def __init__(self, app: ASGIApp, path: str, body: Any) -> None:
        self._app = app
        self._body = json.dumps(body).encode()
        self._sent = False
        self._gone = asyncio.Event()
        self.messages: list[Any] = []
        self.began = asyncio.Event()
        self._news = asyncio.Event()
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
            "raw_path": path.encode(), "root_path": "", "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"host", b"agent")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(cast(Any, self._app(self._scope, self._receive, self._send)))

    def leave(self) -> None:
        self._gone.set()

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait for what comes of the body."""
        while not met():
            self._news.clear()
            await self._news.wait()

    @property
    def parts(self) -> list[bytes]:
        """What came of the body."""
        return [each["body"] for each in self.messages if "body" in each]

    async def _receive(self) -> Any:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.messages.append(message)
        self._news.set()
        if message.get("body"):
            self.began.set()
