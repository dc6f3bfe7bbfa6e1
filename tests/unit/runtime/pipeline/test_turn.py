"""A turn from the question to what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from agent_runtime.config import DialogueConfig, LLMConfig, RetrievalConfig, ToolCallsConfig
from agent_runtime.dialogue.intents import Intents
from agent_runtime.dialogue.manager import DialogueManager, RuleRewriter
from agent_runtime.dialogue.memory import Memory
from agent_runtime.domain import (
    Answer,
    Approval,
    Evidence,
    Finish,
    Passage,
    Pending,
    Piece,
    Principal,
    Request,
    State,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turn,
    told,
)
from agent_runtime.errors import GeneratorUnavailableError, NotFoundError, StateUnavailableError
from agent_runtime.llm.attribution import Attribution
from agent_runtime.llm.step import Generate
from agent_runtime.pipeline import Pipeline
from agent_runtime.retrieval.step import Retrieve
from agent_runtime.telemetry import Telemetry
from tests.unit.runtime.fakes import HashingVectors, indexed
from tests.unit.runtime.pipeline.fakes import ScriptedGenerator, Sessions, Tools

TEXT = "Sofas arrive in six weeks.\nLamps arrive in three days."


class Found:
    """A retriever that always finds the same."""

    def __init__(self, text: str = TEXT) -> None:
        self.asked: list[str] = []
        self._text = text

    async def retrieve(self, question: str) -> Evidence:
        self.asked.append(question)
        vector = HashingVectors().embedder.embed([question], "query")[0]
        return Evidence(question, vector, True, {}, [Passage(indexed(self._text), 1.0)])


@dataclass
class Agent:
    """A pipeline with its parts in view."""

    generator: ScriptedGenerator
    tools: Tools
    sessions: Sessions
    retriever: Found
    pipeline: Pipeline

    async def answer(self, *texts: str, **about: object) -> Answer:
        request = Request(tuple(Turn("user", text) for text in texts), "c")
        reply = await self.pipeline.respond(replace(request, **about))  # pyright: ignore[reportArgumentType]
        return await reply.whole()


def agent(
    *script: list[Piece | ToolCall],
    tools: Tools | None = None,
    sessions: Sessions | None = None,
    rounds: int = 4,
) -> Agent:
    vectors, telemetry = HashingVectors(), Telemetry("r")
    generator, tools = ScriptedGenerator(*script), tools or Tools()
    sessions, retriever = sessions or Sessions(), Found()
    offered = ToolSpec("get_order", "Looks an order up", {"type": "object"})

    async def offer(state: State) -> State:
        return replace(state, tools=(offered, *state.request.tools))

    generate = Generate(
        generator,
        LLMConfig(),
        tools,
        ToolCallsConfig(max_rounds=rounds),
        Attribution(vectors),
        telemetry,
    )
    dialogue = DialogueManager(DialogueConfig(), Intents((), vectors), RuleRewriter(vectors))
    steps = [Retrieve(retriever, RetrievalConfig(), telemetry), offer, generate]
    pipeline = Pipeline(Memory(sessions, 5), dialogue, steps, telemetry)
    return Agent(generator, tools, sessions, retriever, pipeline)


async def test_an_answer_cites_the_sentence_that_bears_it_out() -> None:
    answer = await agent(
        [Piece("Lamps arrive in three days [1]. "), Piece("Chairs wobble.")]
    ).answer("When do lamps arrive?")
    assert answer.text == "Lamps arrive in three days [1]. Chairs wobble."
    (citation,) = answer.citations
    assert citation.quote == "Lamps arrive in three days."
    assert answer.text[citation.start : citation.end] == "Lamps arrive in three days [1]."
    assert answer.usage.completion_tokens == 2


async def test_a_passage_that_is_named_but_does_not_say_so_is_not_cited() -> None:
    answer = await agent([Piece("Chairs never wobble [1].")]).answer("Do chairs wobble?")
    assert answer.citations == ()


async def test_a_reply_that_states_nothing_is_not_cited() -> None:
    for said in ("No, they do not.", "I do not know.", "我不知道。"):
        evidence = await Found("Theft is not covered, and no, never 不 repaired.").retrieve("")
        assert (
            await Attribution(HashingVectors()).cite(said, replace(evidence, semantic=False)) == []
        )


async def test_a_model_calls_tools_and_answers_with_their_results() -> None:
    one = agent([ToolCall("1", "get_order", {"id": "A1"})], [Piece("It is done.")])
    answer = await one.answer("Where is A1?")
    assert answer.text == "It is done."
    assert [each.content for each in answer.tool_calls] == [{"done": "get_order"}]
    assert one.generator.prompts[1].turns[-1].role == "tool"
    assert answer.usage.prompt_tokens == 20


async def test_a_model_that_never_stops_calling_is_stopped() -> None:
    one = agent([Piece("."), ToolCall("1", "get_order", {})], rounds=3)
    answer = await one.answer("Where is A1?")
    assert len(one.tools.executed) == 3
    assert one.generator.prompts[-1].tools == ()
    assert answer.finish_reason == "stop"


async def test_a_call_that_waits_for_approval_ends_the_turn_and_is_remembered() -> None:
    one = agent([ToolCall("1", "create_ticket", {})], tools=Tools(approve="create_ticket"))
    answer = await one.answer("Complain!")
    assert answer.pending == Pending("p", ToolCall("1", "create_ticket", {}))
    assert answer.text == "May I create_ticket?"
    assert one.sessions.kept["c"].pending == answer.pending


async def test_a_caller_s_own_tools_are_left_to_the_caller() -> None:
    own = ToolSpec("mine", "", {"type": "object"}, client=True)
    one = agent([ToolCall("1", "mine", {"x": 1})])
    answer = await one.answer("Do mine", tools=(own,))
    assert answer.client_calls == (ToolCall("1", "mine", {"x": 1}),)
    assert answer.finish_reason == "tool_calls"
    assert one.tools.executed == []


async def test_the_next_turn_knows_the_one_before() -> None:
    one = agent([Piece("Three days.")], [Piece("Ten euros.")])
    await one.answer("Do you deliver lamps to Norway?")
    await one.answer("What does it cost?")
    assert "Norway" in one.retriever.asked[1]
    assert [turn.content for turn in one.generator.prompts[1].turns[:2]] == [
        "Do you deliver lamps to Norway?",
        "Three days.",
    ]


async def test_a_conversation_belongs_to_who_began_it() -> None:
    one = agent([Piece("Yes.")])
    await one.answer("Hello there, is it open?", principal=Principal("alice"))
    with pytest.raises(NotFoundError):
        await one.answer("And now?", principal=Principal("bob"))


async def test_without_its_sessions_an_agent_goes_on_and_says_so() -> None:
    one = agent([Piece("Yes.")], sessions=Sessions(away=True))
    reply = await one.pipeline.respond(Request((Turn("user", "Open today?"),), "c"))
    assert reply.degraded == ("sessions",)
    assert (await reply.whole()).text == "Yes."
    with pytest.raises(StateUnavailableError):
        await one.answer("Yes", approval=Approval("p", True))


async def test_small_talk_costs_neither_retrieval_nor_generation() -> None:
    one = agent([Piece("no")])
    answer = await one.answer("Thank you!")
    assert answer.text == "You're welcome!"
    assert (one.retriever.asked, one.generator.prompts) == ([], [])


async def test_who_stops_listening_ends_the_work_and_leaves_nothing_behind() -> None:
    one = agent([Piece("a"), Piece("b")])
    reply = await one.pipeline.respond(Request((Turn("user", "Open today?"),), "c"))
    assert await anext(reply.events) == Piece("a")
    await reply.events.aclose()
    assert one.generator.closed == 1
    assert one.sessions.kept == {}


async def test_what_fails_before_the_first_word_is_raised_at_once() -> None:
    one = agent([])

    async def broken(prompt: object):
        raise GeneratorUnavailableError("down")
        yield

    one.generator.generate = broken  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(GeneratorUnavailableError):
        await one.pipeline.respond(Request((Turn("user", "Open today?"),), "c"))


async def test_the_last_event_comes_after_the_turn_is_remembered() -> None:
    one = agent([Piece("Yes.")])
    reply = await one.pipeline.respond(Request((Turn("user", "Open today?"),), "c"))
    async for event in reply.events:
        assert ("c" in one.sessions.kept) == isinstance(event, Finish)


async def test_what_the_caller_hands_in_is_read_and_neither_told_nor_remembered_twice() -> None:
    call = ToolCall("1", "mine", {"x": 1})
    turns = (
        Turn("user", "Do mine"),
        Turn("assistant", "", tool_calls=(call,)),
        Turn("tool", "done", tool_call_id="1"),
    )
    one = agent([Piece("It is done.")])

    async def handed_in(state: State) -> State:
        return replace(state, handed_in=(ToolResult(call, "ok", "done"),))

    one.pipeline._steps = [handed_in, *one.pipeline._steps]  # pyright: ignore[reportPrivateUsage]
    answer = await one.answer(turns=turns)
    assert one.generator.prompts[0].turns[-2:] == turns[1:]
    assert answer.tool_calls == ()
    assert one.sessions.kept["c"].turns == (*turns, Turn("assistant", "It is done."))


async def test_a_conversation_knows_that_documents_were_read_in_it() -> None:
    one = agent([Piece("Yes.")])
    await one.answer("Thank you!")
    assert not one.sessions.kept["c"].grounded
    await one.answer("When do lamps arrive?")
    assert one.sessions.kept["c"].grounded
    await one.answer("Thank you!")
    assert one.sessions.kept["c"].grounded


async def test_a_known_answer_may_come_from_documents() -> None:
    one = agent([Piece("Yes.")])

    async def known(state: State) -> State:
        return replace(state, cached=True).replying(told(Piece("Three days."), Finish()))

    one.pipeline._steps = [known]  # pyright: ignore[reportPrivateUsage]
    await one.answer("When do lamps arrive?")
    assert one.sessions.kept["c"].grounded


async def test_results_of_this_turn_are_told_before_the_words() -> None:
    result = ToolResult(ToolCall("1", "get_order", {}), "ok", "shipped")

    async def routed(state: State) -> State:
        return replace(state, results=(result,))

    one = agent([Piece("Shipped.")])
    steps = [routed, one.pipeline._steps[-1]]  # pyright: ignore[reportPrivateUsage]
    one.pipeline._steps = steps  # pyright: ignore[reportPrivateUsage]
    reply = await one.pipeline.respond(Request((Turn("user", "Where is it?"),), "c"))
    events = [event async for event in reply.events]
    assert events[:2] == [result, Piece("Shipped.")]
