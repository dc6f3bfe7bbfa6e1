"""From token ids to a reply: whole characters, stop strings, calls of tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from agent_runtime.errors import GeneratorUnavailableError
from agent_runtime.models import estimate
from agent_runtime.models.generators.codec import Codec
from agent_runtime.models.generators.stops import Stops
from agent_runtime.models.generators.toolcalls import MARKERS, PlainReader

STATUS = {
    "type": "function",
    "function": {
        "name": "get_order_status",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}, "count": {"type": "integer"}},
        },
    },
}


def _codec(special: Sequence[str] = ()) -> Codec:
    """A byte-level tokenizer without merges: a Chinese character is three tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE({letter: id for id, letter in enumerate(alphabet)}, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_special_tokens(list(special))
    return Codec(bytewise, frozenset())


def _ids(codec: Codec, text: str) -> list[int]:
    return codec._tokenizer.encode(text).ids  # pyright: ignore[reportPrivateUsage]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_character_comes_once_it_is_whole(text: str) -> None:
    codec = _codec()
    decoding = codec.decoding(special=False)
    pieces = [decoding.feed(id) for id in _ids(codec, text)]
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_that_was_cut_off_is_left_out() -> None:
    codec = _codec()
    decoding = codec.decoding(special=False)
    assert "".join(decoding.feed(id) for id in _ids(codec, "退货")[:-1]) == "退"


def test_markers_of_calls_are_seen_though_they_are_special() -> None:
    codec = _codec(["[TOOL_CALLS]", "<s>"])
    decoding = codec.decoding(special=False)
    assert "".join(decoding.feed(id) for id in _ids(codec, "a<s>[TOOL_CALLS]b")) == "a[TOOL_CALLS]b"


@given(
    st.text(alphabet="abc", max_size=30),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_stop_strings_are_found_however_the_text_is_divided(
    text: str, strings: list[str], data: st.DataObject
) -> None:
    found = [at for string in strings if (at := text.find(string)) >= 0]
    stops = Stops(strings)
    shown, rest = "", text
    while rest and not stops.met:
        length = data.draw(st.integers(1, len(rest)))
        shown += stops.feed(rest[:length])
        rest = rest[length:]
    shown += stops.end()
    if found:
        assert stops.met
        # Where two overlap, the one that is whole first ends the reply.
        ends = min(text.find(each) + len(each) for each in strings if each in text)
        assert shown in {text[:at] for at in found if at < ends}
    else:
        assert shown == text


def test_text_waits_no_longer_than_it_has_to() -> None:
    stops = Stops(["END"])
    assert [stops.feed(each) for each in ("a", "bE", "N", "x", "EN", "D", "y")] == [
        "a", "b", "", "ENx", "", "", "",
    ]  # fmt: skip
    assert stops.end() == ""


def _read(text: str, functions: Sequence[Any] = (STATUS,), step: int = 3) -> tuple[str, list[Any]]:
    reader = PlainReader(functions)
    shown = "".join(reader.feed(text[at : at + step]) for at in range(0, len(text), step))
    rest, calls = reader.end()
    assert len({call.id for call in calls}) == len(calls)
    return shown + rest, [(call.name, dict(call.arguments)) for call in calls]


CALL = '{"name": "get_order_status", "arguments": {"order_id": "A-1"}}'
ONE = ("get_order_status", {"order_id": "A-1"})


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        (f"<tool_call>\n{CALL}\n</tool_call>", "", [ONE]),
        (
            f"Let me look.<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}",
            "Let me look.",
            [ONE] * 2,
        ),
        (
            "<tool_call>\n<function=get_order_status>\n<parameter=order_id>\n7\n</parameter>\n"
            "<parameter=count>\n7\n</parameter>\n</function>\n</tool_call>",
            "",
            [("get_order_status", {"order_id": "7", "count": 7})],
        ),
        (f"[TOOL_CALLS] [{CALL}, {CALL}]", "", [ONE] * 2),
        ('[TOOL_CALLS]get_order_status[ARGS]{"order_id": "A-1"}', "", [ONE]),
        (f"<|python_tag|>{CALL}", "", [ONE]),
        (CALL.replace("arguments", "parameters"), "", [ONE]),
        ('{"name": "another", "arguments": {}}', '{"name": "another", "arguments": {}}', []),
        ('{"total": 3} is the total', '{"total": 3} is the total', []),
        ("1 < 2 <tool", "1 < 2 <tool", []),
        ("\nPlain.", "\nPlain.", []),
    ],
)
def test_calls_are_taken_out_of_the_text(
    text: str, shown: str, calls: list[Any], step: int
) -> None:
    assert _read(text, step=step) == (shown, calls)


def test_without_functions_everything_is_the_reply() -> None:
    assert _read(f"<tool_call>{CALL}</tool_call>", functions=()) == (
        f"<tool_call>{CALL}</tool_call>",
        [],
    )


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{oops}</tool_call>",
        '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "get_order_status", "arguments": [1]}</tool_call>',
        "[TOOL_CALLS]get_order_status{",
        "[TOOL_CALLS] 7",
    ],
)
def test_a_call_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(GeneratorUnavailableError, match="tool call"):
        _read(text)


@given(st.text(alphabet="<>[]{}|_ tolcaTOLCARGSpyhng/", max_size=60), st.integers(1, 7))
def test_text_with_no_marker_comes_through_whole(text: str, step: int) -> None:
    if not any(marker in text for marker in MARKERS):
        assert _read(text, step=step) == (text, [])


def test_the_estimate_counts_words_and_chinese_characters() -> None:
    assert estimate.tokens("") == 0
    assert estimate.tokens("退货要多久") == 5
    assert estimate.tokens("how long does it take now") == 8
    assert estimate.tokens("x" * 400) == 100
    assert estimate.estimates(["退", "a b"]) == [1, 3]
