"""Commands: one at a time, about the revision that was shown, and with a time limit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from chatagent_operator.cli import commands, rollout_commands
from chatagent_operator.cli.arguments import ROLLOUT_COMMANDS, build_parser
from chatagent_operator.cli.errors import NO_ANSWER, REFUSED, CommandError
from chatagent_operator.core.names import COMMAND_ANNOTATION
from chatagent_operator.core.rollout.commands import ACTIONS
from chatagent_operator.kube.errors import RejectedError
from tests.unit.cli.cluster import SHOP, Body, FakeServer, apply_command
from tests.unit.cli.stories import CANARY, CANARY_STATUS, FAILED_STATUS, server


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_commands, "POLL_SECONDS", 0.0)


def read_command(fake: FakeServer) -> Body:
    """The command in the annotation."""
    return json.loads(fake.objects[SHOP]["metadata"]["annotations"][COMMAND_ANNOTATION])


async def run(fake: FakeServer, *line: str) -> Any:
    return await commands.send_command(
        fake.cluster, build_parser().parse_args([*line, "--timeout", "5"])
    )


def test_every_action_has_a_command() -> None:
    assert sorted(ROLLOUT_COMMANDS) == sorted(ACTIONS)


@pytest.mark.parametrize("action", [a for a in ACTIONS if a != "retry"])
async def test_it_is_about_the_canary_that_was_seen(action: str) -> None:
    fake = server(CANARY_STATUS)
    fake.operator = apply_command
    result = await run(fake, action, "shop")
    assert (read_command(fake)["action"], read_command(fake)["revision"]) == (action, CANARY)
    assert "full" not in read_command(fake)
    assert result.document["result"] == f"{action} done"
    assert result.document["id"] == read_command(fake)["id"]


async def test_a_status_of_a_later_operator_stops_no_command() -> None:
    fake = server(CANARY_STATUS | {"phase": "Migrating", "conditions": "in a later form"})
    fake.operator = apply_command
    await run(fake, "abort", "shop")
    assert (read_command(fake)["action"], read_command(fake)["revision"]) == ("abort", CANARY)


async def test_retry_is_about_the_failed_one() -> None:
    fake = server(FAILED_STATUS)
    fake.operator = apply_command
    await run(fake, "retry", "shop")
    assert (read_command(fake)["action"], read_command(fake)["revision"]) == ("retry", CANARY)


async def test_promote_in_full() -> None:
    fake = server(CANARY_STATUS)
    fake.operator = apply_command
    await run(fake, "promote", "shop", "--full")
    assert read_command(fake)["full"] is True


@pytest.mark.parametrize(
    ("status", "action", "message"),
    [
        (FAILED_STATUS, "promote", "no canary to promote"),
        (CANARY_STATUS, "retry", "no failed revision"),
    ],
)
async def test_nothing_to_command(status: Body, action: str, message: str) -> None:
    fake = server(status)
    with pytest.raises(CommandError, match=message) as refused:
        await run(fake, action, "shop")
    assert refused.value.exit_code == REFUSED
    assert not fake.writes


async def test_a_refusal_is_an_error() -> None:
    def refuse(fake: FakeServer, stored: Body) -> None:
        apply_command(fake, stored)
        stored["status"]["rollout"]["lastCommandResult"] = "refused: the rollout is already paused"

    fake = server(CANARY_STATUS)
    fake.operator = refuse
    with pytest.raises(CommandError, match="the rollout is already paused") as refused:
        await run(fake, "pause", "shop")
    assert refused.value.exit_code == REFUSED


async def test_no_operator() -> None:
    fake = server(CANARY_STATUS)
    with pytest.raises(CommandError, match="check that it is running") as silence:
        await rollout_commands.send_command(fake.cluster, "shop", "abort", 0.01)
    assert silence.value.exit_code == NO_ANSWER
    assert len(fake.writes) == 1


async def test_a_command_without_an_answer_is_not_overwritten() -> None:
    fake = server(CANARY_STATUS)
    earlier = {"id": "theirs", "action": "promote", "revision": CANARY}
    fake.objects[SHOP]["metadata"]["annotations"] = {COMMAND_ANNOTATION: json.dumps(earlier)}
    with pytest.raises(
        CommandError, match=r"pending after 0\.01 s and is not overwritten"
    ) as silence:
        await rollout_commands.send_command(fake.cluster, "shop", "abort", 0.01)
    assert silence.value.exit_code == NO_ANSWER
    assert read_command(fake) == earlier


async def test_what_is_no_command_is_not_waited_for() -> None:
    fake = server(CANARY_STATUS)
    fake.objects[SHOP]["metadata"]["annotations"] = {COMMAND_ANNOTATION: "go"}
    fake.operator = lambda server, body: None
    with pytest.raises(CommandError, match="check that it is running"):
        await rollout_commands.send_command(fake.cluster, "shop", "abort", 0.01)
    assert read_command(fake)["action"] == "abort"


async def test_whoever_was_faster_comes_first() -> None:
    """Between the read and the write of one, another one's command comes in."""
    fake = server(CANARY_STATUS)
    theirs = {"id": "theirs", "action": "promote", "revision": CANARY}
    answered: list[str] = []

    def operator(fake: FakeServer, stored: Body) -> None:
        apply_command(fake, stored)
        if (last := stored["status"]["rollout"].get("lastCommandId")) and last not in answered:
            answered.append(last)

    request = fake.request

    async def interrupted(method: str, path: str, body: Any = None, content_type: str = "") -> Body:
        if method == "PATCH" and not answered:
            stored = fake.objects[SHOP]
            stored["metadata"]["resourceVersion"] = "101"
            stored["metadata"]["annotations"] = {COMMAND_ANNOTATION: json.dumps(theirs)}
        return await request(method, path, body, content_type)

    fake.operator = operator
    fake.request = interrupted
    answer = await rollout_commands.send_command(fake.cluster, "shop", "abort", 5)
    assert answered == ["theirs", answer.id]


async def test_two_at_once_are_both_answered() -> None:
    fake = server(CANARY_STATUS)
    answered: list[str] = []

    def operator(fake: FakeServer, stored: Body) -> None:
        apply_command(fake, stored)
        if (last := stored["status"]["rollout"].get("lastCommandResult")) and (
            not answered or answered[-1] != last
        ):
            answered.append(last)

    fake.operator = operator
    done = await asyncio.gather(
        rollout_commands.send_command(fake.cluster, "shop", "promote", 5),
        rollout_commands.send_command(fake.cluster, "shop", "abort", 5),
        return_exceptions=True,
    )
    assert sorted(answered) == ["abort done", "promote done"]
    assert any(isinstance(each, rollout_commands.CommandResult) for each in done)


async def test_an_answer_is_seen_although_another_command_follows() -> None:
    """By the time of a second read, the status has the result of another command."""
    fake = server(CANARY_STATUS)
    fake.watched = []

    def operator(fake: FakeServer, stored: Body) -> None:
        apply_command(fake, stored)
        assert fake.watched is not None
        if fake.writes and not fake.watched:
            fake.watched.append(json.loads(json.dumps(stored)))
            stored["status"]["rollout"] |= {"lastCommandId": "x", "lastCommandResult": "theirs"}
            stored["metadata"]["annotations"][COMMAND_ANNOTATION] = '{"id": "x", "action": "abort"}'

    fake.operator = operator
    assert (
        await rollout_commands.send_command(fake.cluster, "shop", "promote", 5)
    ).result == "promote done"


async def test_another_command_that_did_not_wait_is_told() -> None:
    fake = server(CANARY_STATUS)

    def overwritten(fake: FakeServer, stored: Body) -> None:
        if fake.writes:
            stored["metadata"]["annotations"][COMMAND_ANNOTATION] = '{"id": "x", "action": "abort"}'

    fake.operator = overwritten
    with pytest.raises(CommandError, match="another command replaced this one") as silence:
        await rollout_commands.send_command(fake.cluster, "shop", "promote", 5)
    assert silence.value.exit_code == NO_ANSWER


async def test_what_the_server_refuses_is_told() -> None:
    fake = server(CANARY_STATUS)

    async def forbidden(method: str, path: str, body: Any = None, content_type: str = "") -> Body:
        if method == "PATCH":
            raise RejectedError(403, "you may not")
        return fake.objects[SHOP]

    fake.request = forbidden
    with pytest.raises(RejectedError, match="you may not"):
        await rollout_commands.send_command(fake.cluster, "shop", "abort", 5)


async def test_no_such_agent() -> None:
    with pytest.raises(CommandError, match="ChatAgent 'shoe' not found in namespace 'demo'"):
        await run(server(CANARY_STATUS), "abort", "shoe")


@pytest.mark.parametrize("line", [["get", "--nope"], ["promote"], ["abort", "a", "--timeout", "0"]])
def test_wrong_usage_is_one_line(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(line)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "--help" in said
