"""Where sessions, records and known answers are: in Redis, or in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent_runtime.config import AgentConfig
from agent_runtime.ports import Blobs, Records
from agent_runtime.settings import Environment
from agent_runtime.state.memory import MemoryBlobs, MemoryRecords, MemorySessions
from agent_runtime.state.sessions import RedisSessions


@dataclass(frozen=True, slots=True)
class State:
    """What outlives a turn."""

    sessions: RedisSessions | MemorySessions
    records: Records
    blobs: Blobs
    trouble: Callable[[], str | None]
    """Says why the agent does without it for now; None where all is well."""
    remote: bool
    """Another process keeps it, which may be away."""
    start: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


def open_state(config: AgentConfig, environment: Environment) -> State:
    """Return the state of an agent. Raises InvalidConfigError for a wrong address."""
    seconds = config.dialogue.session_ttl_seconds
    keep = 2 * (config.dialogue.history_turns + 1) + 2
    if environment.redis is None:
        sessions = MemorySessions(seconds, keep)
        return State(sessions, MemoryRecords(), MemoryBlobs(), _well, False, _nothing, _nothing)
    from agent_runtime.state.address import parse
    from agent_runtime.state.blobs import RedisBlobs
    from agent_runtime.state.keys import Keys
    from agent_runtime.state.records import RedisRecords
    from agent_runtime.state.redis import RedisState

    redis = RedisState(parse(environment.redis, environment.redis_password))
    keys = Keys(environment.agent)
    return State(
        sessions=RedisSessions(redis, keys, seconds, keep),
        records=RedisRecords(redis, keys),
        blobs=RedisBlobs(redis, keys),
        trouble=lambda: redis.trouble,
        remote=True,
        start=redis.start,
        close=redis.aclose,
    )


def _well() -> str | None:
    return None


async def _nothing() -> None:
    pass
