"""What the process gets from its environment: the only place that reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent_runtime.errors import InvalidConfigError

TERMINATION_LOG = Path("/dev/termination-log")
UNNAMED_REVISION = "local"
"""What the revision is called where nobody released it."""
_QUOTAS = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")


@dataclass(frozen=True, slots=True)
class Environment:
    """Defaults for flags, and the token, which is never a flag: others can see a command line."""

    vector_store: str | None
    vector_store_token: str | None
    redis: str | None
    redis_password: str | None
    agent: str
    """Name of the agent, `NAMESPACE/NAME` in a cluster: what it stores in Redis is under it."""
    revision: str
    models: Path
    termination_log: Path | None
    """Where the end of the process is explained. None: nowhere."""
    log_format: Literal["json", "text"] | None
    """None: text for a terminal, else JSON."""
    log_messages: bool
    """Whether questions and answers are logged."""
    variables: Mapping[str, str] = field(repr=False)
    """All of it, for the secrets that the configuration names by variable."""


def read(environ: Mapping[str, str]) -> Environment:
    """Read the variables AGENT_*. An empty one counts as absent."""
    log = environ.get("AGENT_TERMINATION_LOG")
    return Environment(
        vector_store=environ.get("AGENT_VECTOR_STORE") or None,
        vector_store_token=environ.get("AGENT_VECTOR_STORE_TOKEN") or None,
        redis=environ.get("AGENT_REDIS") or None,
        redis_password=environ.get("AGENT_REDIS_PASSWORD") or None,
        agent=environ.get("AGENT_NAME") or "agent",
        revision=environ.get("AGENT_REVISION") or UNNAMED_REVISION,
        models=Path(environ.get("AGENT_MODELS") or "/models"),
        termination_log=Path(log) if log else _termination_log(),
        log_format=_log_format(environ.get("AGENT_LOG_FORMAT") or None),
        log_messages=environ.get("AGENT_LOG_MESSAGES", "").lower() in ("1", "true"),
        variables=environ,
    )


def _log_format(given: str | None) -> Literal["json", "text"] | None:
    if given not in (None, "json", "text"):
        raise InvalidConfigError(f"AGENT_LOG_FORMAT: {given!r} is neither json nor text")
    return given


def _termination_log() -> Path | None:
    return TERMINATION_LOG if TERMINATION_LOG.exists() else None


def cpus() -> int:
    """Return how many CPUs this process may use: its affinity, less where a cgroup limits it."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int | None:
    for file in map(Path, _QUOTAS):
        if file.exists():
            words = file.read_text().split()
            period = words[1] if len(words) > 1 else _period(file)
            limited = words[0].isdigit() and int(words[0]) > 0
            return -(-int(words[0]) // int(period)) if limited else None
    return None


def _period(quota: Path) -> str:
    return quota.with_name("cpu.cfs_period_us").read_text()
