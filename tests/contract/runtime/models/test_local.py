"""Generators that run in the process, on tiny models: what they say, in batches and in pieces."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ctranslate2.converters import TransformersConverter
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from agent_runtime.domain import Finish, Piece, ToolCall, Turn
from agent_runtime.errors import (
    GeneratorTimeoutError,
    InvalidConfigError,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
)
from agent_runtime.models.catalogue import find_generator, kind
from agent_runtime.models.generators import load, templates
from agent_runtime.models.generators.batches import Job
from agent_runtime.models.generators.local import LocalGenerator
from agent_runtime.models.generators.messages import messages, tools
from tests.contract.runtime.models import tiny
from tests.contract.runtime.models.prompts import (
    AFTER_THE_CALL,
    FUNCTIONS,
    ORDER_STATUS,
    TOOL_TURNS,
    answer,
    llm,
    prompt,
)
from tests.contract.runtime.processes import REPOSITORY

QUESTIONS = [
    "When does my order ship?",
    "refund",
    "How long does a return take once the parcel has arrived, and who pays for it in the end?",
    "Can the sofa be sent back?",
    "days",
]
RANDOM = ("tiny/t5", "tiny/llama")


class Loading:
    """Loads generators and watches the batches that their engines run."""

    def __init__(self) -> None:
        self.loaded: list[LocalGenerator] = []
        self.batches: list[list[Job]] = []

    def __call__(self, image: Path, name: str, **fields: Any) -> LocalGenerator:
        generator = load(llm(f"huggingface/{name}", **fields), image, None)
        assert isinstance(generator, LocalGenerator)
        self.loaded.append(generator)
        engine: Any = generator._batcher._engine  # pyright: ignore[reportPrivateUsage]
        run = engine.run

        def watched(jobs: Sequence[Job]) -> None:
            self.batches.append(list(jobs))
            run(jobs)

        engine.run = watched
        return generator


@pytest.fixture
async def loading() -> AsyncIterator[Loading]:
    opened = Loading()
    yield opened
    for generator in opened.loaded:
        await generator.aclose()


@pytest.fixture
def last(loading: Loading, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No row writes its last token before this is set."""
    may = threading.Event()
    put = Job.put

    def waiting(job: Job, token: int) -> bool:
        if job.written == job.max_tokens - 1:
            may.wait(60)
        return put(job, token)

    monkeypatch.setattr(Job, "put", waiting)
    yield may
    may.set()  # else `loading` would wait for the row


def talkative(generator: LocalGenerator) -> LocalGenerator:
    """None of its tokens is the end of a reply, which what is sampled could begin with."""
    generator._codec.ends = frozenset({10**6})  # pyright: ignore[reportPrivateUsage]
    return generator


@pytest.mark.parametrize("name", RANDOM)
async def test_transformers_says_what_generate_says(
    loading: Loading, transformers: Path, name: str
) -> None:
    generator = loading(transformers, name)
    for question in QUESTIONS:
        reply = await answer(generator.generate(prompt(question, max_tokens=40)))
        text, count = _generated(transformers / name, question, 40)
        assert reply.text.rstrip("�") == text.rstrip("�")
        assert reply.usage.completion_tokens == count
        assert reply.finish_reason == ("length" if count == 40 else "stop")


@pytest.mark.parametrize("name", RANDOM)
async def test_ctranslate2_says_the_same_where_nothing_is_rounded(
    loading: Loading,
    sources: Path,
    ctranslate2: Path,
    transformers: Path,
    tmp_path: Path,
    name: str,
) -> None:
    exact = tmp_path / "models" / name
    exact.parent.mkdir(parents=True)
    TransformersConverter(str(sources / name)).convert(str(exact))
    for file in (ctranslate2 / name).iterdir():
        if file.name not in {"model.bin", "config.json"}:
            text = file.read_text()
            (exact / file.name).write_text(
                text.replace('"quantization": "int8"', '"quantization": "none"')
            )
    first, second = loading(tmp_path / "models", name), loading(transformers, name)
    for question in QUESTIONS:
        asked = prompt(question, max_tokens=30)
        one, other = await answer(first.generate(asked)), await answer(second.generate(asked))
        assert (one.text, one.usage) == (other.text, other.usage)


async def test_int8_says_the_same_where_the_model_is_sure(loading: Loading, image: Path) -> None:
    written = loading(image, "tiny/taught-t5")
    for question, said in tiny.TRANSFORMED.items():
        reply = await answer(written.generate(prompt(question)))
        assert (reply.text, reply.finish_reason) == (said, "stop")
    chat = loading(image, "tiny/taught")
    for question, said in tiny.LESSONS.items():
        if said != tiny.CALLED:
            assert (await answer(chat.generate(prompt(question)))).text == said


@pytest.mark.parametrize("name", RANDOM)
async def test_a_batch_says_what_its_rows_say_alone(
    loading: Loading, image: Path, name: str
) -> None:
    generator = loading(image, name)
    asked = [prompt(question, max_tokens=4 * (at + 1)) for at, question in enumerate(QUESTIONS)]
    alone = [await answer(generator.generate(each)) for each in asked]
    del loading.batches[:]
    together = await asyncio.gather(*(answer(generator.generate(each)) for each in asked))
    same = sum(one.text == other.text for one, other in zip(alone, together, strict=True))
    # Padding changes the order of additions, and int8 the scale of a row's neighbours' rounding.
    assert same >= len(asked) - 1
    assert [reply.usage for reply in together] == [reply.usage for reply in alone]
    assert len(loading.batches) < len(asked)


async def test_replies_come_in_pieces_as_they_are_written(loading: Loading, image: Path) -> None:
    generator = loading(image, "tiny/taught")
    question, said = list(tiny.LESSONS.items())[1]
    pieces = [event async for event in generator.generate(prompt(question))]
    assert isinstance(pieces[-1], Finish)
    texts = [piece.text for piece in pieces if isinstance(piece, Piece)]
    assert len(texts) > 5
    assert "".join(texts) == said


async def test_who_stops_reading_ends_the_row_and_delays_nobody(
    loading: Loading, image: Path, last: threading.Event
) -> None:
    generator = talkative(loading(image, "tiny/llama"))
    asked = prompt("When?", max_tokens=900, temperature=1.0)
    reply = generator.generate(asked)
    assert isinstance(await anext(reply), Piece)
    await reply.aclose()
    last.set()
    await answer(generator.generate(prompt("When?", max_tokens=2)))
    (left,) = loading.batches[0]
    assert left.over
    assert left.written < 900


async def test_a_full_queue_refuses_early(loading: Loading, transformers: Path) -> None:
    generator = loading(transformers, "tiny/llama")
    generator._batcher._queue = 2  # pyright: ignore[reportPrivateUsage]
    asked = prompt("When?", max_tokens=50)
    tasks = [asyncio.create_task(answer(generator.generate(asked))) for _ in range(12)]
    done = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [each for each in done if isinstance(each, OverloadedError)]
    assert refused
    assert all(each.retry_after >= 1 for each in refused)
    assert len([each for each in done if not isinstance(each, BaseException)]) >= 2


async def test_a_reply_that_takes_too_long_is_given_up(
    loading: Loading, image: Path, last: threading.Event
) -> None:
    generator = talkative(loading(image, "tiny/llama", timeoutSeconds=0.05))
    with pytest.raises(GeneratorTimeoutError, match=r"0\.05 s"):
        await answer(generator.generate(prompt("When?", max_tokens=900, temperature=1.5)))
    last.set()
    generator = loading(image, "tiny/llama")
    assert (await answer(generator.generate(prompt("When?", max_tokens=3)))).text


async def test_stop_strings_end_a_reply_across_tokens(loading: Loading, image: Path) -> None:
    generator = loading(image, "tiny/taught")
    asked = prompt("When do you open?", stop=("ine, an", "never"))
    pieces = [event async for event in generator.generate(asked)]
    assert "".join(each.text for each in pieces if isinstance(each, Piece)) == "We open at n"
    assert isinstance(pieces[-1], Finish)
    assert pieces[-1].reason == "stop"
    configured = loading(image, "tiny/taught", sampling={"stop": [" at"]})
    assert (await answer(configured.generate(prompt("When do you open?")))).text == "We open"


async def test_sampling_differs_and_greed_does_not(loading: Loading, image: Path) -> None:
    generator = loading(image, "tiny/llama")

    async def said(**sampling: Any) -> str:
        return (await answer(generator.generate(prompt("When?", max_tokens=12, **sampling)))).text

    hot = await asyncio.gather(*(said(temperature=1.5) for _ in range(4)))
    cold = await asyncio.gather(*(said(temperature=0.0, top_p=0.3) for _ in range(4)))
    assert len(set(hot)) > 1
    assert len(set(cold)) == 1
    assert {len({job.sampling for job in batch}) for batch in loading.batches} == {1}


async def test_a_model_with_tools_in_its_template_calls_them(loading: Loading, image: Path) -> None:
    generator = loading(image, "tiny/taught", functions="native")
    assert generator.calls_tools
    asked = prompt("Where is order A-1007?", functions=(ORDER_STATUS,))
    *before, call, finish = [event async for event in generator.generate(asked)]
    assert before == []
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("get_order_status", {"order_id": "A-1007"})
    assert isinstance(finish, Finish)
    assert finish.reason == "tool_calls"
    reply = await answer(generator.generate(AFTER_THE_CALL))
    assert reply.text == tiny.AFTERWARDS


async def test_a_call_that_is_cut_off_is_none(loading: Loading, image: Path) -> None:
    generator = loading(image, "tiny/taught")
    asked = prompt("Where is order A-1007?", functions=(ORDER_STATUS,), max_tokens=12)
    reply = await answer(generator.generate(asked))
    assert (reply.client_calls, reply.text, reply.finish_reason) == ((), "", "length")


async def test_calls_are_read_as_the_tokenizer_describes_them(
    loading: Loading, transformers: Path
) -> None:
    generator = loading(transformers, "tiny/described")
    asked = prompt("Where is order A-1007?", functions=(ORDER_STATUS,))
    (call,) = (await answer(generator.generate(asked))).client_calls
    assert (call.name, call.arguments) == ("get_order_status", {"order_id": "A-1007"})
    question, said = list(tiny.LESSONS.items())[1]
    assert (await answer(generator.generate(prompt(question)))).text == said


async def test_a_prompt_that_is_too_long_is_refused_by_its_code(
    loading: Loading, image: Path
) -> None:
    for name in ("tiny/llama", "tiny/t5"):
        generator = loading(image, name)
        with pytest.raises(InvalidRequestError) as refused:
            await answer(generator.generate(prompt("order " * 2000)))
        assert refused.value.code == "context_length_exceeded"
    near = loading(image, "tiny/llama")
    reply = await answer(near.generate(prompt("order " * 950, max_tokens=512)))
    assert reply.usage.prompt_tokens + reply.usage.completion_tokens <= near.context_tokens


async def test_a_t5_knows_its_limits(
    loading: Loading, image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    generator = loading(image, "tiny/t5")
    assert generator.languages == ("en",)
    assert "cannot read or write 'zh'" in caplog.text
    assert not generator.calls_tools
    codec = generator._codec  # pyright: ignore[reportPrivateUsage]
    lines, _ = codec.encode(prompt("the order\n\n(or the return)"))
    braces, _ = codec.encode(prompt("the order  {or the return}"))
    assert lines == braces
    assert generator.context_tokens == 1024


def test_templates_are_filled_in_as_transformers_does_it(ctranslate2: Path) -> None:
    folder, manifest = find_generator(ctranslate2, "tiny/taught")
    ours = templates.codec(folder, frozenset(manifest.ends), chats=True)
    theirs = AutoTokenizer.from_pretrained(folder)
    for said, functions in ((TOOL_TURNS, FUNCTIONS), (TOOL_TURNS[:1], [])):
        expected = theirs.apply_chat_template(
            said, tools=functions or None, tokenize=False, add_generation_prompt=True
        )
        assert ours._render is not None  # pyright: ignore[reportPrivateUsage]
        assert ours._render(said, functions) == expected  # pyright: ignore[reportPrivateUsage]


def test_instructions_go_into_the_first_turn_where_a_template_knows_no_system_message(
    ctranslate2: Path, tmp_path: Path
) -> None:
    folder, manifest = find_generator(ctranslate2, "tiny/taught")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    (tmp_path / "chat_template.jinja").write_text(refusing + tiny.CHAT)
    codec = templates.codec(tmp_path, frozenset(manifest.ends), chats=True)
    merged, _ = codec.encode(prompt("When?", instructions="Be short."))
    plain, _ = codec.encode(prompt("Be short.\n\nWhen?"))
    assert merged == plain


def test_a_conversation_that_a_template_refuses_is_a_bad_request(
    ctranslate2: Path, tmp_path: Path
) -> None:
    folder, manifest = find_generator(ctranslate2, "tiny/taught")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    codec = templates.codec(tmp_path, frozenset(manifest.ends), chats=True)
    with pytest.raises(InvalidRequestError, match="roles must alternate"):
        codec.encode(prompt("When?", instructions="Be short."))
    assert not codec.calls_tools


def test_a_named_tool_is_the_only_one_shown() -> None:
    other = (ORDER_STATUS, *AFTER_THE_CALL.tools)
    named = prompt("?", functions=other, tool_choice="get_order_status")
    assert [each["function"]["name"] for each in tools(named)] == ["get_order_status"] * 2
    assert tools(prompt("?", functions=other, tool_choice="none")) == []
    said = messages(prompt("?", instructions="Be short.", before=[Turn("assistant", "Hm.")]))
    assert [each["role"] for each in said] == ["system", "assistant", "user"]


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"model": "huggingface/no/such"}, ModelNotFoundError, r"pipeline\.llm\.model.*'no/such'"),
        (
            {"model": "huggingface/tiny/t5", "functions": "native"},
            InvalidConfigError,
            r"pipeline\.llm\.functions",
        ),
        ({"model": "openai/x"}, InvalidConfigError, r"pipeline\.llm\.apiKeyEnv"),
        (
            {"model": "openai/x", "apiKeyEnv": "NOT_SET"},
            InvalidConfigError,
            r"apiKeyEnv: the variable NOT_SET",
        ),
    ],
)
def test_what_cannot_be_loaded_says_which_field_is_wrong(
    transformers: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    error: type[Exception],
    match: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=match):
        load(llm(**fields), transformers, None)


def test_kinds_are_not_mixed_up(transformers: Path) -> None:
    from agent_runtime.models.catalogue import find

    assert kind(transformers, "tiny/t5") == "generator"
    with pytest.raises(InvalidConfigError, match=r"embeddingModel: 'tiny/t5' is a model of kind"):
        find(transformers, "tiny/t5")


def test_a_cpu_image_generates_without_torch(ctranslate2: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from agent_runtime.models.generators import load
from tests.contract.runtime.models.prompts import answer, llm, prompt
async def main():
    for name in ("tiny/taught", "tiny/taught-t5"):
        generator = load(llm(f"huggingface/{name}"), Path(sys.argv[1]), None)
        await generator.warm_up()
        print((await answer(generator.generate(prompt("When do you open?")))).text.split(",")[0])
        await generator.aclose()
asyncio.run(main())
assert not {"torch", "transformers"} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(ctranslate2)],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["We open at nine", "We open at nine."]


def _generated(folder: Path, question: str, most: int) -> tuple[str, int]:
    """What `generate` says, greedily, and in how many tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    loads: Callable[..., Any]
    if "t5" in folder.name:
        loads = AutoModelForSeq2SeqLM.from_pretrained
        ids, skip = tokenizer(question).input_ids, 1
    else:
        loads = AutoModelForCausalLM.from_pretrained
        shown = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer.encode(shown, add_special_tokens=False)
        skip = len(ids)
    model = loads(folder, dtype=torch.float32)
    output = model.generate(torch.tensor([ids]), max_new_tokens=most, do_sample=False)
    new = [id for id in output[0][skip:].tolist() if id != tokenizer.eos_token_id]
    return tokenizer.decode(new, skip_special_tokens=True), len(new)
