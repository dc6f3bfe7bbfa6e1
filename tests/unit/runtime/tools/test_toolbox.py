"""The toolbox's rules: who, how often, how long, and when the user is asked first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from agent_runtime.config import AccessConfig, ToolConfig
from agent_runtime.domain import (
    Approval,
    Pending,
    Principal,
    Session,
    ToolCall,
    ToolResult,
    Turn,
)
from agent_runtime.errors import ToolFailedError, UnavailableError
from agent_runtime.telemetry import Telemetry
from agent_runtime.tools.policy import AccessPolicy, AllOf, granted
from agent_runtime.tools.toolbox import Toolbox, needs_approval
from tests.unit.runtime.tools.conftest import recorded, state_of, with_results

Boxed = Callable[..., Toolbox]
CALL = ToolCall("1", "look", {"order_id": "A1"})
MIA = Principal("mia", ("support",))


def counted(telemetry: Telemetry) -> set[tuple[str, str]]:
    """Tool and status of each call that was counted."""
    (family,) = [
        each for each in telemetry.metrics.registry.collect() if each.name == "agent_tool_calls"
    ]
    return {
        (sample.labels["tool"], sample.labels["status"])
        for sample in family.samples
        if sample.name == "agent_tool_calls_total" and sample.value
    }


async def result(box: Toolbox, call: ToolCall = CALL, **state: Any) -> ToolResult:
    made = await box.execute(call, state_of(**state))
    assert isinstance(made, ToolResult)
    return made


async def test_a_result_is_handed_back(boxed: Boxed) -> None:
    look = recorded("look", lambda given: {"status": "sent", **given})
    telemetry = Telemetry("r")
    box = boxed(look, telemetry=telemetry)
    made = await result(box)
    assert (made.status, made.content) == ("ok", {"status": "sent", "order_id": "A1"})
    assert made.seconds > 0
    assert counted(telemetry) == {("look", "ok")}


async def test_a_call_is_a_span(boxed: Boxed) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def fail(_: Any) -> None:
        raise ToolFailedError("no such order")

    telemetry = Telemetry("r", provider.get_tracer("test"))
    box = boxed(recorded("look"), recorded("open", fail), telemetry=telemetry)
    await result(box)
    await result(box, replace(CALL, name="open"))
    good, bad = exporter.get_finished_spans()
    assert good.name == "execute_tool look"
    assert good.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.call.id": "1",
    }
    assert good.status.status_code is StatusCode.UNSET
    assert bad.name == "execute_tool open"
    assert (bad.attributes or {})["error.type"] == "ToolFailedError"
    assert bad.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (ToolFailedError("no such order"), "no such order"),
        (RuntimeError("boom\n  at line 1"), "boom at line 1"),
        (KeyError(), "KeyError"),
    ],
)
async def test_what_a_tool_raises_is_an_observation(
    boxed: Boxed, act: Exception, said: str
) -> None:
    def fail(_: Any) -> None:
        raise act

    made = await result(boxed(recorded("look", fail)))
    assert (made.status, made.content) == ("error", said)


async def test_what_is_no_json_is_an_observation(boxed: Boxed) -> None:
    assert (await result(boxed(recorded("look", lambda _: object())))).status == "error"


async def test_a_wrong_argument_is_named_and_nothing_is_called(boxed: Boxed) -> None:
    look = recorded("look")
    made = await result(boxed(look), ToolCall("1", "look", {"order_id": 7}))
    assert made.status == "error"
    assert made.content.startswith("order_id: 7 is not of type")
    assert look.calls == []
    assert (await result(boxed(look), ToolCall("1", "unknown", {}))).content == (
        "there is no tool 'unknown'"
    )


async def test_time_is_limited_for_a_call_and_for_a_turn(boxed: Boxed) -> None:
    slow = recorded("look", lambda _: asyncio.sleep(60))
    one = await result(boxed(slow, configs=[ToolConfig(name="look", timeout_seconds=0.05)]))
    assert (one.status, one.content) == ("error", "it did not finish within 0.05 seconds")
    turn = await result(boxed(slow, max_seconds=0.05))
    assert turn.content == "it did not finish within 0.05 seconds"
    assert turn.seconds < 5
    spent = with_results(state_of(), ToolResult(CALL, "ok", 1, seconds=30.0))
    assert "used up" in str(await boxed(slow).execute(CALL, spent))


async def test_calls_are_counted(boxed: Boxed) -> None:
    look = recorded("look")
    box = boxed(look, max_calls=2)
    full = with_results(state_of(), *[ToolResult(CALL, "ok", 1)] * 2)
    assert "no more than 2 calls" in str(await box.execute(CALL, full))
    made = await box.execute_all([CALL] * 3, state_of())
    assert [each.status for each in made if isinstance(each, ToolResult)] == ["ok", "ok", "error"]
    assert len(look.calls) == 2


async def test_reading_is_done_at_once_and_writing_in_order(boxed: Boxed) -> None:
    both = asyncio.Event()
    order: list[str] = []

    async def meet() -> None:
        order.append("read")
        if order.count("read") == 2:
            both.set()
        await both.wait()

    read = recorded("read", lambda _: meet())
    write = recorded("write", lambda given: order.append(given["order_id"]), effect="write")
    calls = [
        ToolCall("1", "write", {"order_id": "first"}),
        ToolCall("2", "read", {}),
        ToolCall("3", "write", {"order_id": "second"}),
        ToolCall("4", "read", {}),
    ]
    made = await asyncio.wait_for(boxed(read, write).execute_all(calls, state_of()), 5)
    assert order == ["read", "read", "first", "second"]
    assert [each.call.id for each in made] == ["1", "2", "3", "4"]


async def test_a_client_that_goes_away_ends_the_call(boxed: Boxed) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    task = asyncio.create_task(result(boxed(recorded("look", lambda _: work()))))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_long_result_is_cut(boxed: Boxed) -> None:
    made = await result(boxed(recorded("look", lambda _: "x" * 9000), max_result_bytes=300))
    assert made.content["truncated"]
    assert made.content["bytes"] == 9002


# ------------------------------------------------------------------ rights


async def test_whoever_may_not_sees_no_tool(boxed: Boxed) -> None:
    look = recorded("look")
    telemetry = Telemetry("r")
    rule = AccessConfig(groups=("support",))
    box = boxed(
        look,
        recorded("open"),
        configs=[ToolConfig(name="look", access=rule)],
        telemetry=telemetry,
    )
    assert [spec.name for spec in await box.visible(MIA)] == ["look", "open"]
    assert [spec.name for spec in await box.visible(Principal("bob"))] == ["open"]
    denied, unknown = await result(box), await result(box, replace(CALL, name="none"))
    assert (denied.status, denied.content) == ("error", "there is no tool 'look'")
    assert (unknown.status, unknown.content) == ("error", "there is no tool 'none'")
    assert counted(telemetry) == {("look", "denied"), ("unknown", "error")}
    assert look.calls == []
    assert (await result(box, caller=MIA)).status == "ok"

    turns = (Turn("assistant", "", tool_calls=(CALL,)), Turn("tool", "42", tool_call_id="1"))
    assert await box.readable(turns, MIA) == turns
    assert await box.readable(turns, Principal("bob")) == ()


async def test_what_is_not_there_is_not_offered(boxed: Boxed) -> None:
    look = recorded("look")
    look.problem = "its server is away"
    box = boxed(look)
    assert await box.visible(MIA) == ()
    assert [(each.offered, each.problem) for each in box.status()] == [
        (False, "its server is away")
    ]
    assert "its server is away" in (await result(box)).content


@pytest.mark.parametrize(
    ("rule", "caller", "may"),
    [
        (None, Principal(), True),
        (AccessConfig(), MIA, False),
        (AccessConfig(authenticated=True), MIA, True),
        (AccessConfig(authenticated=True), Principal(), False),
        (AccessConfig(users=("mia",)), MIA, True),
        (AccessConfig(users=("mia",)), Principal("bob"), False),
        (AccessConfig(users=("system:anonymous",)), Principal(), False),
        (AccessConfig(groups=("support", "x")), MIA, True),
        (AccessConfig(groups=("x",)), MIA, False),
    ],
)
def test_access(rule: AccessConfig | None, caller: Principal, may: bool) -> None:
    assert granted(rule, caller) is may


class Fixed:
    """Answers yes or no, raises, or never answers."""

    def __init__(self, answer: bool | Exception | None) -> None:
        self._answer = answer

    async def allowed(self, caller: Principal, tool: str) -> bool:
        if isinstance(self._answer, Exception):
            raise self._answer
        if self._answer is None:
            await asyncio.sleep(60)
        return bool(self._answer)


@pytest.mark.parametrize(
    ("answers", "may"),
    [
        ([True, True], True),
        ([True, False], False),
        ([False, True], False),
        ([True, UnavailableError("away")], False),
        ([True, RuntimeError("broken")], False),
        ([True, None], False),
        ([], False),
    ],
)
async def test_all_have_to_agree(answers: list[Any], may: bool, boxed: Boxed) -> None:
    everyone = AllOf([Fixed(each) for each in answers], seconds=0.05)
    assert await everyone.allowed(MIA, "look") is may


async def test_no_answer_means_no(boxed: Boxed) -> None:
    box = boxed(recorded("look"), authorizer=Fixed(RuntimeError("broken")))
    assert await box.visible(MIA) == ()
    assert (await result(box, caller=MIA)).status == "error"
    assert not await AccessPolicy([]).allowed(MIA, "look")


# ------------------------------------------------------------------ approval

WRITE = ToolCall("w1", "write", {"order_id": "A1"})
WAITS = Pending("p1", WRITE)


@pytest.mark.parametrize(
    ("call", "pending", "approval", "runs"),
    [
        (WRITE, None, None, False),
        (WRITE, WAITS, Approval("p1", approve=True), True),
        (WRITE, WAITS, Approval("p1", approve=False), False),
        (WRITE, WAITS, Approval("p2", approve=True), False),
        (WRITE, None, Approval("p1", approve=True), False),
        (WRITE, replace(WAITS, missing=("order_id",)), Approval("p1", approve=True), False),
        (replace(WRITE, id="w2"), WAITS, Approval("p1", approve=True), False),
        (replace(WRITE, name="other"), WAITS, Approval("p1", approve=True), False),
        (replace(WRITE, arguments={"order_id": "A2"}), WAITS, Approval("p1", True), False),
        (replace(WRITE, arguments={}), WAITS, Approval("p1", approve=True), False),
    ],
)
async def test_writing_waits_for_approval_of_this_very_call(
    boxed: Boxed, call: ToolCall, pending: Pending | None, approval: Approval | None, runs: bool
) -> None:
    write, other = recorded("write", effect="write"), recorded("other", effect="write")
    box = boxed(write, other)
    session = Session("c", pending=pending)
    state = state_of(passages=True, session=session, approval=approval)
    made = await box.execute(call, state)
    assert isinstance(made, ToolResult if runs else Pending)
    assert len(write.calls + other.calls) == runs
    if isinstance(made, Pending):
        assert made.call == call
        assert made.missing == ()


async def test_without_retrieved_text_nobody_is_asked(boxed: Boxed) -> None:
    box = boxed(recorded("write", effect="write"), recorded("look"))
    assert (await result(box, WRITE)).effect == "write"
    assert (await result(box, CALL, passages=True)).status == "ok"


@pytest.mark.parametrize(("grounded", "heard", "runs"), [
    (True, True, False), (True, False, True), (False, True, True),
])  # fmt: skip
async def test_what_was_retrieved_for_an_earlier_turn_counts_while_it_is_in_view(
    boxed: Boxed, grounded: bool, heard: bool, runs: bool
) -> None:
    write = recorded("write", effect="write")
    history = (Turn("user", "And lamps?"), Turn("assistant", "30 days.")) if heard else ()
    session = Session("c", turns=history, grounded=grounded)
    made = await boxed(write).execute(WRITE, state_of(session=session, history=history))
    assert isinstance(made, ToolResult if runs else Pending)
    assert len(write.calls) == runs
    assert not needs_approval(recorded("look").spec, CALL, state_of(session=session))


async def test_the_log_holds_no_values(boxed: Boxed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(_: Any) -> None:
        raise RuntimeError("secret-value is wrong")

    await result(boxed(recorded("look", fail)), ToolCall("1", "look", {"order_id": "secret-value"}))
    assert "tool look: error" in caplog.text
    assert "order_id" in caplog.text
    assert "secret" not in caplog.text
