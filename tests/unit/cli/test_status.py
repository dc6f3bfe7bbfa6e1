"""`status`: one line for each state of the rollout, and an exit code by its outcome."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from copy import deepcopy
from typing import Any

import pytest

from chatagent_operator.cli import status as module
from chatagent_operator.cli.arguments import build_parser
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import DONE, NOT_ENDED, REFUSED, USAGE, CommandError
from chatagent_operator.cli.status import show_status
from chatagent_operator.kube.errors import ApiError, NotFoundError, RejectedError
from tests.unit.cli.cluster import Body, agent
from tests.unit.cli.stories import (
    CANARY,
    CANARY_STATUS,
    FAILED_STATUS,
    KEPT_STATUS,
    NOW,
    STABLE,
    condition,
)

ANALYSING = "revision 9d7f6748 gets 5 % of the new conversations; 1 of 3 measurements succeeded"
BACK = f"revision {CANARY} was rolled back (aborted by a command); revision {STABLE} serves"


def body(status: Body, *conditions: Body, **metadata: Any) -> Body:
    """The agent with a status, some conditions replaced, and another metadata."""
    replaced = {each["type"] for each in conditions}
    kept = [each for each in status["conditions"] if each["type"] not in replaced]
    found = agent(deepcopy(status | {"conditions": [*kept, *conditions]}))
    found["metadata"] |= metadata
    return found


PROMOTED_STATUS: Body = {
    "phase": "Ready",
    "stableRevision": CANARY,
    "conditions": [condition("Progressing", "False", "Completed", f"revision {CANARY} serves")],
}
ROLLING = body(CANARY_STATUS, condition("Progressing", "True", "Analysing", ANALYSING))
PROMOTED = body(PROMOTED_STATUS)
ABORTED = body(
    FAILED_STATUS | {"phase": "Ready", "failedReason": "Aborted"},
    condition("Progressing", "False", "Aborted", BACK),
)


def words(*line: str) -> argparse.Namespace:
    return build_parser().parse_args(line)


class Server:
    """What the API server answers, in order: to GET requests, and the events of each watch."""

    def __init__(
        self, reads: list[Body | ApiError], watches: list[list[tuple[str, Body]] | ApiError]
    ) -> None:
        self.reads = reads
        self.watches = watches
        self.versions: list[str] = []

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Body:
        found = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        if isinstance(found, ApiError):
            raise found
        return found

    async def lines(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], silence: float
    ) -> AsyncGenerator[bytes]:
        self.versions.append(path.rpartition("resourceVersion=")[2])
        events = self.watches.pop(0) if self.watches else ApiError(0, "gone")
        if isinstance(events, ApiError):
            raise events
        for kind, state in events:
            yield json.dumps({"type": kind, "object": state}).encode()
        if events and events[-1][0] in ("DELETED", "ERROR"):
            await asyncio.Event().wait()  # the connection stays open


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)


async def follow(
    reads: list[Body | ApiError], *watches: list[tuple[str, Body]] | ApiError, line: str = ""
) -> tuple[int, str]:
    """Run `status --watch`; return exit code and the last line."""
    server = Server(reads, list(watches))
    arguments = words("status", "shop", "--watch", *line.split())
    try:
        found = await show_status(Cluster(server, "demo"), arguments)
    except CommandError as error:
        return error.exit_code, str(error)
    return found.exit_code, found.render("text", NOW)


SUSPENDED = condition("Progressing", "False", "Suspended", "spec.suspend is true")


@pytest.mark.parametrize(
    ("state", "code", "message"),
    [
        (ROLLING, NOT_ENDED, f"step 2 of 6: {ANALYSING}"),
        (PROMOTED, DONE, f"revision {CANARY} serves"),
        (
            body(KEPT_STATUS),
            DONE,
            f"revision {CANARY} serves; the pods of revision {STABLE} are kept for a rollback",
        ),
        (ABORTED, REFUSED, BACK),
        (
            body(PROMOTED_STATUS, generation=8),
            NOT_ENDED,
            "the operator has not reconciled the current spec yet",
        ),
        (
            body(PROMOTED_STATUS, condition("Accepted", "False", "InvalidSpec", "spec.image: no")),
            REFUSED,
            "the spec is invalid: spec.image: no",
        ),
        (body(PROMOTED_STATUS, SUSPENDED), NOT_ENDED, "spec.suspend is true"),
        (
            body(
                {"canaryRevision": CANARY, "conditions": []},
                condition("Progressing", "True", "WaitingForPods", "0 of 1 pods are ready"),
                condition("Degraded", "True", "Rejected", "exceeded quota"),
            ),
            NOT_ENDED,
            "0 of 1 pods are ready; Rejected: exceeded quota",
        ),
    ],
)
async def test_the_state_and_its_exit_code(state: Body, code: int, message: str) -> None:
    found = await show_status(Cluster(Server([state], []), "demo"), words("status", "shop"))
    assert (found.exit_code, found.render("text", NOW)) == (code, message)
    assert found.document["message"] == message


async def test_it_follows_until_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    more = body(CANARY_STATUS, condition("Progressing", "True", "PausedAtStep", "approve it"))
    events = [("MODIFIED", ROLLING), ("MODIFIED", more), ("MODIFIED", PROMOTED)]
    assert await follow([ROLLING], events) == (DONE, f"revision {CANARY} serves")
    said = capsys.readouterr().out
    assert said == f"step 2 of 6: {ANALYSING}\nstep 2 of 6: approve it\n"
    assert "\x1b" not in said


async def test_a_new_spec_is_waited_for_although_the_last_one_is_promoted() -> None:
    applied = body(PROMOTED_STATUS, generation=8)
    assert await follow([applied], [("MODIFIED", ROLLING), ("MODIFIED", ABORTED)]) == (
        REFUSED,
        BACK,
    )


async def test_a_watch_that_breaks_is_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    reads = [ROLLING, ApiError(0, "no route"), ApiError(503, "later"), ROLLING, ROLLING, PROMOTED]
    lost = ApiError(410, "too old resource version")
    assert (await follow(reads, ApiError(0, "reset"), [("ERROR", {})], lost, line="--timeout 5s"))[
        0
    ] == DONE
    captured = capsys.readouterr()
    assert captured.out == f"step 2 of 6: {ANALYSING}\n"
    assert captured.err == "no response, trying again: no route\n"


async def test_a_forbidden_read_ends_it() -> None:
    with pytest.raises(RejectedError):
        await follow([ROLLING, RejectedError(403, "you may not")])


@pytest.mark.parametrize(
    "then",
    [
        NotFoundError(404, 'chatagents.chatagent.dev "shop" not found'),
        body(PROMOTED_STATUS, uid="uid-2"),
    ],
)
async def test_a_deleted_agent_has_no_outcome(then: Body | ApiError) -> None:
    code, message = await follow([ROLLING, then], [("DELETED", ROLLING)], line="--timeout 5s")
    assert (code, "was deleted before its rollout ended" in message) == (NOT_ENDED, True)


async def test_a_time_limit_has_no_outcome() -> None:
    code, message = await follow([ROLLING], line="--timeout 0.01s")
    assert (code, message) == (
        NOT_ENDED,
        f"the rollout has not ended within 0.01 s: step 2 of 6: {ANALYSING}",
    )


async def test_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert (await follow([ROLLING], [("MODIFIED", PROMOTED)], line="-o json"))[0] == DONE
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["weight"]) == ("InProgress", 5)
    assert document["revision"] == CANARY


async def test_no_agent_and_no_crd() -> None:
    unknown = NotFoundError(404, 'chatagents.chatagent.dev "shop" not found')
    assert await follow([unknown]) == (
        REFUSED,
        "ChatAgent 'shop' not found in namespace 'demo'; list all with `kubectl chatagent get -A`",
    )
    code, message = await follow([NotFoundError(404, "404 page not found")])
    assert (code, "no resource chatagents.chatagent.dev" in message) == (REFUSED, True)
    cluster = Cluster(Server([NotFoundError(404, "404 page not found")], []), "demo")
    with pytest.raises(CommandError, match=r"no resource chatagents\.chatagent\.dev"):
        await cluster.agents()


async def test_a_time_limit_without_watch_is_a_usage_error() -> None:
    cluster = Cluster(Server([ROLLING], []), "demo")
    with pytest.raises(CommandError, match="--timeout requires --watch") as refused:
        await show_status(cluster, words("status", "shop", "--timeout", "5m"))
    assert refused.value.exit_code == USAGE


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("0.5", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert words("status", "shop", "--timeout", text).timeout == seconds


@pytest.mark.parametrize(
    "line",
    [
        ["-n", "demo", "--context", "a", "-o", "json", "get", "shop"],
        ["get", "-n", "demo", "shop", "--context", "a", "-o", "json"],
        ["-n", "else", "--context", "a", "get", "shop", "-n", "demo", "-o", "json"],
    ],
)
def test_global_flags_stand_before_and_after_the_command(line: list[str]) -> None:
    found = words(*line)
    assert (found.namespace, found.context, found.output) == ("demo", "a", "json")
    assert (found.kubeconfig, words("get").output) == (None, "text")
