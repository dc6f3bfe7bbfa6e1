"""Processes that compete for a Lease on an API server, in simulated time.

No event loop runs. A coroutine waits for seconds of the world's clock, and the world resumes it
then, or, while its process is paused, when the pause ends. What happens is decided by the test.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from chatagent_operator.kube.election import Election, Timing
from chatagent_operator.kube.errors import ApiError, NotLeaderError, from_response
from chatagent_operator.kube.fence import Fence
from chatagent_operator.kube.lease import Lease

WRITE_SECONDS = 0.3
"""Between two writes of a leader."""

Object = dict[str, Any]


class _Wait:
    def __init__(
        self, seconds: float, process: Process | None = None, life: int | None = None
    ) -> None:
        self.seconds = seconds
        self.process = process
        self.life = life if life is not None else process.life if process else 0

    def __await__(self) -> Generator[_Wait, None, None]:
        yield self


def refuse(status: int) -> ApiError:
    """Return the error of an answer with this status."""
    return from_response(status, json.dumps({"message": f"said {status}"}).encode())


@dataclass
class Server:
    """An API server with one Lease."""

    lease: Object | None = None
    version: int = 100
    calls: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    @property
    def holder(self) -> str:
        """Whom the Lease names."""
        return ((self.lease or {}).get("spec") or {}).get("holderIdentity") or ""

    @property
    def spec(self) -> Object:
        """The spec of the Lease."""
        assert self.lease
        return self.lease["spec"]

    def handle(self, method: str, body: Any) -> Any:
        """Answer as an API server does, with optimistic concurrency."""
        match method, self.lease:
            case "GET", None:
                raise refuse(404)
            case "PUT", None:
                raise refuse(404)
            case "PUT", dict() as lease:
                sent = body["metadata"].get("resourceVersion")
                assert sent, "without a resourceVersion a write is unconditional"
                if sent != lease["metadata"]["resourceVersion"]:
                    raise refuse(409)
                self.store(body)
            case "POST", None:
                self.store(body)
            case "POST", _:
                raise refuse(409)
            case _:
                pass
        return deepcopy(self.lease)

    def store(self, body: Object) -> None:
        """Store a Lease."""
        self.version += 1
        self.lease = deepcopy(body)
        self.lease["metadata"] |= {"name": "operator", "resourceVersion": str(self.version)}


@dataclass
class Write:
    """A write to another object, as it reached the API server."""

    at: float
    identity: str
    holder: str
    """Whom the Lease named then."""


Fault = Callable[["Process", str], "ApiError | Any | None"]
"""What answers a request instead of the API server, by process and method."""


class World:
    """Time, the API server, and the network."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.server = Server()
        self.writes: list[Write] = []
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)
        """What the clocks on the wall show at time 0."""
        self.fault: Fault = lambda process, method: None
        self.latency: Callable[[], float] = lambda: 0.005
        self.is_away = False
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Coroutine[Any, Any, None], _Wait]] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin work."""
        try:
            wait: _Wait = work.send(None)
        except StopIteration:
            return
        self._push(self.time + wait.seconds, work, wait)

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that does in so many seconds."""
        end = self.time + seconds
        while self._waiting and self._waiting[0][0] <= end:
            at, _, work, wait = heapq.heappop(self._waiting)
            self.time = max(self.time, at)
            process = wait.process
            if process and process.life != wait.life:
                work.close()
            elif process and process.paused_until > self.time:
                self._push(process.paused_until, work, wait)
            else:
                self.spawn(work)
        self.time = end

    def until(self, condition: Callable[[], object], seconds: float) -> float:
        """Let time pass until a condition holds; return the seconds that it took."""
        begun = self.time
        while not condition():
            assert self.time - begun < seconds, f"not within {seconds} s"
            self.pass_time(0.01)
        return self.time - begun

    async def exchange(self, process: Process, method: str, body: Any, limit: float) -> Any:
        """Carry a request there and its answer back."""
        life = process.life
        self.server.calls.append((method, self.time))
        there, back = self.latency(), self.latency()
        if self.is_away or there > limit:
            await _Wait(limit, process, life)
            raise ApiError(0, "TimeoutError")
        await _Wait(there)  # a process that pauses does not stop what it has sent
        fault = self.fault(process, method)
        error = fault if isinstance(fault, ApiError) else None
        answer = None
        if fault is None:
            try:
                answer = self.server.handle(method, body)
            except ApiError as refused:
                error = refused
        await _Wait(min(back, limit - there), process, life)
        if there + back > limit:
            raise ApiError(0, "TimeoutError")
        if error:
            raise error
        return answer if fault is None else fault

    def _push(self, at: float, work: Coroutine[Any, Any, None], wait: _Wait) -> None:
        heapq.heappush(self._waiting, (at, next(self._order), work, wait))


class Process:
    """A replica of the operator: a candidate, and a leader's writes."""

    def __init__(self, world: World, identity: str, timing: Timing | None = None) -> None:
        self.world = world
        self.identity = identity
        self.paused_until = -math.inf
        self.is_dead = False
        self.life = 0
        """Counts up when all that it does ends."""
        self.is_working = False
        self.refused = 0
        self.led_at: list[float] = []
        self.wall_offset = timedelta()
        self._origin = hash(identity) % 1000
        """Clocks of two machines have nothing in common."""
        self.fence = Fence(self.clock)
        self.lease = Lease(self, "system", "operator", self.clock, self._now)
        self.election = Election(
            self.lease,
            "system/operator",
            identity,
            self.fence,
            timing or Timing(),
            self.clock,
            self.sleep,
        )

    def begin(self) -> Process:
        """Start the process."""
        self.world.spawn(self.election.run(self._start, self._stop))
        return self

    @property
    def leads(self) -> bool:
        """Whether it may write."""
        return self.fence.left > 0 and not self.is_dead

    def clock(self) -> float:
        """Return the seconds of its own clock."""
        return self.world.time + self._origin

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait for seconds of its own clock."""
        assert seconds > 0, "this would never end"
        return _Wait(seconds, self)

    def kill(self) -> None:
        """End it without a word."""
        self.is_dead = True
        self.life += 1

    def pause(self, seconds: float) -> None:
        """Stop it, as SIGSTOP does, for so long."""
        self.paused_until = self.world.time + seconds

    async def request(self, method: str, path: str, body: Any = None, *, limit: float) -> Any:
        """Send a request for the Lease."""
        assert 0 < limit <= 4
        return await self.world.exchange(self, method, body, limit)

    async def resign(self) -> None:
        """Stop as on SIGTERM: what was sent is answered before the Lease is released."""
        self.is_working = False
        self.kill()
        await self.election.release()

    def _start(self) -> None:
        assert not self.is_working, "started twice"
        self.is_working = True
        self.led_at.append(self.world.time)
        self.world.spawn(self._work())

    async def _stop(self) -> None:
        assert self.is_working
        self.is_working = False

    async def _work(self) -> None:
        term = len(self.led_at)
        while self.is_working and term == len(self.led_at):
            try:
                self.fence.check("PATCH", "/apis/apps/v1/deployments/a")
            except NotLeaderError:
                self.refused += 1
            else:
                self.world.spawn(self._deliver())
            await self.sleep(WRITE_SECONDS)

    async def _deliver(self) -> None:
        """Bring a write that was sent to the server, whatever becomes of this process."""
        await _Wait(self.world.latency())
        write = Write(self.world.time, self.identity, self.world.server.holder)
        self.world.writes.append(write)

    def _now(self) -> str:
        at = self.world.wall + self.wall_offset + timedelta(seconds=self.world.time)
        return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
