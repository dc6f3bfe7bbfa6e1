"""An agent put together in Python, over the real model and a real index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime import (
    AgentConfig,
    BaseChatAgent,
    LLMStep,
    RetrievalStep,
    ToolCallStep,
    Turn,
)
from agent_runtime.config import IntentConfig
from agent_runtime.domain import Finish, Piece
from agent_runtime.errors import AgentError, InvalidConfigError
from tests.contract.runtime.steps import OnlyFrom

QUESTION = "How long does a refund to PayPal take?"


@pytest.fixture
def agent(models: Path, help_index: str) -> Iterator[BaseChatAgent]:
    """Retrieval and the embedded generator."""
    with BaseChatAgent(models=models) as made:
        made.add_step(RetrievalStep(vector_store=help_index)).add_step(LLMStep(max_sentences=2))
        yield made


def test_an_answer_has_its_text_citations_and_usage(agent: BaseChatAgent) -> None:
    answer = agent(QUESTION)
    assert "2–4 business days" in answer.text
    assert answer.citations[0].chunk.key.path == "en-refunds.md"
    assert answer.tool_calls == ()
    assert answer.usage.completion_tokens > 0


def test_streaming_and_coroutines_give_the_same(agent: BaseChatAgent) -> None:
    whole = agent(QUESTION)
    events = list(agent.stream(QUESTION))
    assert "".join(event.text for event in events if isinstance(event, Piece)) == whole.text
    assert isinstance(events[-1], Finish)

    async def twins() -> tuple[str, str]:
        answers = asyncio.gather(agent.respond(QUESTION), agent.respond(QUESTION))
        pieces = [event async for event in agent.astream(QUESTION)]
        texts = {answer.text for answer in await answers}
        assert len(texts) == 1
        return texts.pop(), "".join(e.text for e in pieces if isinstance(e, Piece))

    assert asyncio.run(twins()) == (whole.text, whole.text)


def test_a_conversation_is_remembered_by_its_name_or_given(agent: BaseChatAgent) -> None:
    first = agent(QUESTION, conversation_id="c1")
    followed = agent("And to a credit card?", conversation_id="c1")
    history = (Turn("user", QUESTION), Turn("assistant", first.text))
    assert followed.text == agent("And to a credit card?", history=history).text
    assert "5–10 business days" in followed.text


def test_a_step_of_ones_own_changes_what_the_generator_sees(models: Path, help_index: str) -> None:
    with BaseChatAgent(models=models) as made:
        made.add_step(RetrievalStep(vector_store=help_index)).add_step(OnlyFrom("en-returns.md"))
        made.add_step(LLMStep())
        cited = {
            each.chunk.key.path for each in made("How long can I return a mattress?").citations
        }
        assert cited == {"en-returns.md"}


def test_the_same_agent_is_yaml_and_back_without_loss(models: Path, help_index: str) -> None:
    made = BaseChatAgent(models=models)
    made.add_step(RetrievalStep(vector_store=help_index, top_k=3)).add_step(
        OnlyFrom("en-returns.md")
    )
    made.add_step(ToolCallStep(tools=("get_order_status", "create_ticket"), max_calls=2))
    made.add_step(LLMStep(max_sentences=1, no_answer="No idea."))
    again = BaseChatAgent.from_yaml(made.to_yaml(), models=models)
    assert again.config == made.config
    assert again.to_yaml() == made.to_yaml()
    assert again.config.steps[0].parameters == {"filename": "en-returns.md"}
    with again:
        assert again("Who won the world cup in 1998?").text == "No idea."


def test_yaml_of_every_section_comes_back(models: Path) -> None:
    config = AgentConfig.model_validate(
        {
            "dialogue": {"intents": [IntentConfig(name="hi", examples=("hi",)).model_dump()]},
            "retrieval": {"rerank": {"model": "org/r"}, "chunking": {"maxTokens": 64}},
            "llm": {
                "model": "openai/x",
                "baseURL": "http://127.0.0.1/v1",
                "sampling": {"topP": 0.5},
            },
            "cache": {"mode": "semantic"},
            "identity": {"keys": [{"user": "a", "keyEnv": "A_KEY"}]},
            "limits": {"queue": 3},
        }
    )
    agent = BaseChatAgent(config, models=models)
    assert BaseChatAgent.from_yaml(agent.to_yaml()).config == config


def test_an_agent_without_retrieval_needs_no_store(models: Path) -> None:
    with BaseChatAgent(models=models) as agent:
        assert agent("Hello!").text
        assert agent("What is the capital of France?").refusal


def test_what_is_wrong_is_said_with_its_name(models: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="vector store address"):
        BaseChatAgent(models=models).add_step(RetrievalStep(vector_store="nowhere://x"))(
            "Hi there?"
        )
    other = RetrievalStep(embedding_model="org/none", vector_store=f"faiss://{tmp_path}/index")
    with pytest.raises(AgentError, match="embeddingModel"):
        BaseChatAgent(models=models).add_step(other)("Is it there?")
    with pytest.raises(InvalidConfigError, match="cannot be made"):
        BaseChatAgent.from_yaml("steps: [{python: 'nowhere.at.all:Step'}]")

    class Local:
        async def __call__(self, state: object) -> object:
            return state

    with pytest.raises(InvalidConfigError, match="cannot be named in YAML"):
        _ = BaseChatAgent().add_step(Local()).config  # pyright: ignore[reportArgumentType]
