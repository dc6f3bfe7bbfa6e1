"""What a client sees: both languages, streams, OpenAI's own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.runtime.processes import KNOWLEDGE, Agent


@pytest.fixture
def client(quickstart: Agent) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{quickstart.base}/v1", api_key="unused", max_retries=0)


@pytest.mark.parametrize(
    ("question", "fact", "source"),
    [
        ("How long does a refund to PayPal take?", "2–4 business days", "en-refunds.md"),
        ("东西买回来不喜欢，多少天之内可以退？", "30 天", "zh-returns.md"),
    ],
)
def test_a_question_is_answered_from_its_document(
    client: openai.OpenAI, question: str, fact: str, source: str
) -> None:
    reply = client.chat.completions.create(
        model="extractive", messages=[{"role": "user", "content": question}]
    )
    message: Any = reply.choices[0].message
    assert fact in message.content
    assert source in {each.filename for each in message.annotations}
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_quotes_stand_word_for_word_in_the_reply_and_in_the_file(quickstart: Agent) -> None:
    message = quickstart.ask("How long is the warranty?").json()["choices"][0]["message"]
    assert message["annotations"]
    for each in message["annotations"]:
        assert message["content"][each["start_index"] : each["end_index"]] == each["quote"]
        assert each["quote"] in Path(KNOWLEDGE, each["filename"]).read_text()


def test_a_stream_gives_the_same_answer_and_citations(
    client: openai.OpenAI, quickstart: Agent
) -> None:
    question = "东西买回来不喜欢，多少天之内可以退？"
    plain = quickstart.ask(question).json()["choices"][0]["message"]
    stream = client.chat.completions.create(
        model="agent", stream=True, messages=[{"role": "user", "content": question}]
    )
    deltas: list[Any] = [chunk.choices[0].delta for chunk in stream]
    assert "".join(delta.content or "" for delta in deltas) == plain["content"]
    cited = [each for delta in deltas for each in getattr(delta, "annotations", None) or ()]
    assert cited == plain["annotations"] != []


def test_what_nobody_knows_is_not_invented(quickstart: Agent) -> None:
    reply = quickstart.ask("Who won the football world cup in 1998?").json()
    message = reply["choices"][0]["message"]
    assert message["annotations"] == []
    assert "could not find" in message["content"]


def test_errors_come_as_openai_s_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="n: Input should be 1"):
        client.chat.completions.create(
            model="agent", n=2, messages=[{"role": "user", "content": "Hello?"}]
        )


def test_names_of_revision_and_conversation_come_back(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="agent",
        messages=[{"role": "user", "content": "Hello?"}],
        extra_body={"conversation_id": "c-1"},
    )
    assert raw.headers["x-conversation-id"] == "c-1"
    assert raw.headers["x-agent-revision"] == "rev-1"
