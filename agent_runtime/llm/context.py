"""Assembling the prompt within the model's budget of tokens. Pure but for counting tokens.

The question and the instructions have to fit; then come the results of tools, cut where they are
too long; then passages, best first, and of the history the newest turns, each whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from agent_runtime.config import LLMConfig
from agent_runtime.domain import Passage, Prompt, Sampling, Span, State, ToolResult, Turn
from agent_runtime.errors import InvalidRequestError
from agent_runtime.llm.prompts import CHAT_TEMPLATE, NOTHING_FOUND, SYSTEM, TEXT_TEMPLATE
from agent_runtime.text.injection import injected
from agent_runtime.text.jsons import as_text

HISTORY_SHARE = 0.25
"""Most of what is left for passages and history that history gets while passages want it."""
RESULTS_SHARE = 0.6
"""Most of what the question leaves that the results of tools get."""
OVERHEAD = 8
"""Tokens around each turn: roles and separators of chat templates."""
T = TypeVar("T")
_PLACE = re.compile(r"\{(context|question|history)\}")


class Counted(Protocol):
    """What has to be known of a generator."""

    @property
    def context_tokens(self) -> int: ...

    def count_tokens(self, text: str) -> int: ...


def assemble(state: State, config: LLMConfig, generator: Counted) -> Prompt:
    """Return the prompt of a turn.

    Raises:
        InvalidRequestError: the question alone is longer than the model can read.
    """
    sampling = sampled(config, state.request.sampling)
    theirs = [turn.content for turn in state.request.turns if turn.role == "system"]
    instructions = "\n\n".join([config.system_prompt or SYSTEM, *theirs])
    count = generator.count_tokens
    window = min(config.context_tokens or generator.context_tokens, generator.context_tokens)
    fixed = [instructions, config.prompt_template or TEXT_TEMPLATE, state.question.asked]
    room = window - (sampling.max_tokens or 0) - sum(count(text) + OVERHEAD for text in fixed)
    if room < 0:
        raise InvalidRequestError(
            f"messages: the question is longer than the {window} tokens that the model reads and "
            f"writes, of which {sampling.max_tokens} are for the answer",
            "messages",
            "context_length_exceeded",
        )
    results = (*state.handed_in, *state.results)
    results = _shortened(results, count, int(room * RESULTS_SHARE))
    state = replace(state, results=results)
    room -= sum(count(as_text(result.content)) + OVERHEAD for result in results)
    chosen = _choose(state, count, max(0, room))
    evidence = state.evidence and replace(state.evidence, passages=chosen.passages)
    places = _places(state, chosen)
    return Prompt(
        instructions=instructions,
        turns=_turns(state, chosen, config, places),
        text=_text(config, places),
        question=state.question,
        evidence=evidence,
        results=state.results,
        tools=state.tools,
        tool_choice=state.request.tool_choice,
        sampling=sampling,
    )


def sampled(config: LLMConfig, asked: Sampling) -> Sampling:
    """Return what a request asks for, and the configuration's values for the rest."""
    own = config.sampling
    longest = asked.max_tokens
    return Sampling(
        temperature=own.temperature if asked.temperature is None else asked.temperature,
        top_p=own.top_p if asked.top_p is None else asked.top_p,
        max_tokens=own.max_tokens if longest is None else min(longest, own.max_tokens),
        stop=own.stop if asked.stop is None else asked.stop,
    )


def _shortened(
    results: tuple[ToolResult, ...], count: Callable[[str], int], room: int
) -> tuple[ToolResult, ...]:
    """Cut results so that all of them fit, each to an equal share."""
    kept: list[ToolResult] = []
    for result in results:
        text, share = as_text(result.content), room // len(results) - OVERHEAD
        tokens = count(text)
        if tokens > share:
            # A text is not cut at its tokens: a little less than its share is left.
            length = int(len(text) * max(0, share) / tokens * 0.9)
            result = replace(result, content=f"{text[:length]} … (cut)")
        kept.append(result)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _Chosen:
    passages: tuple[Passage, ...]
    texts: list[str]
    """The passages as the model reads them."""
    history: tuple[Turn, ...]


def _choose(state: State, count: Callable[[str], int], room: int) -> _Chosen:
    passages = list(state.evidence.passages) if state.evidence else []
    texts = [shown(at, each) for at, each in enumerate(passages, 1)]
    costs = [count(text) + OVERHEAD for text in texts]
    turns = [(turn, count(turn.content) + OVERHEAD) for turn in reversed(state.question.history)]
    history = _fitting(turns, int(room * HISTORY_SHARE) if passages else room)
    room -= sum(cost for _, cost in history)
    kept = _fitting(list(zip(passages, costs, strict=True)), room)
    room -= sum(cost for _, cost in kept)
    history += _fitting(turns[len(history) :], room)
    return _Chosen(
        tuple(passage for passage, _ in kept),
        texts[: len(kept)],
        tuple(turn for turn, _ in reversed(history)),
    )


def _fitting(items: Sequence[tuple[T, int]], room: int) -> list[tuple[T, int]]:
    """Return the first items that fit together."""
    kept: list[tuple[T, int]] = []
    for item, cost in items:
        if cost > room:
            break
        room -= cost
        kept.append((item, cost))
    return kept


def shown(number: int, passage: Passage) -> str:
    """Return a passage as the model reads it: its number, where it stands, its text.

    Sentences that order a model about are left out: what it does not read, it cannot follow.
    """
    chunk = passage.indexed.chunk
    above = " > ".join(dict.fromkeys((chunk.title, *chunk.headings)))
    return f"[{number}] {above}\n{_harmless(chunk.text, chunk.sentences)}"


def _harmless(text: str, sentences: Sequence[Span]) -> str:
    orders = injected([text[start:end] for start, end in sentences])
    for (start, end), order in zip(reversed(sentences), reversed(orders), strict=True):
        text = text[:start] + text[end:] if order else text
    return text


def _places(state: State, chosen: _Chosen) -> dict[str, str]:
    results = [f"Result of {each.call.name}: {as_text(each.content)}" for each in state.results]
    return {
        "context": "\n\n".join([*chosen.texts, *results]) or NOTHING_FOUND,
        "passages": "\n\n".join(chosen.texts) or NOTHING_FOUND,
        "question": state.question.asked,
        "history": "\n".join(f"{t.role.capitalize()}: {t.content}" for t in chosen.history),
    }


def filled(template: str, places: dict[str, str]) -> str:
    """Fill a template's places once: a brace in a text that is filled in means nothing."""
    text = _PLACE.sub(lambda found: places[found.group(1)], template)
    return re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text


def _turns(
    state: State, chosen: _Chosen, config: LLMConfig, places: dict[str, str]
) -> tuple[Turn, ...]:
    template = config.prompt_template or CHAT_TEMPLATE
    inline = "{history}" in template
    if state.evidence is None and not config.prompt_template:
        asked = state.question.asked
    else:
        asked = filled(template, {**places, "context": places["passages"]})
    history = () if inline else chosen.history
    return (*history, Turn("user", asked), *_called(state.results))


def _called(results: Sequence[ToolResult]) -> list[Turn]:
    calls = [Turn("assistant", "", tool_calls=tuple(each.call for each in results))]
    said = [Turn("tool", as_text(each.content), tool_call_id=each.call.id) for each in results]
    return [*calls, *said] if results else []


def _text(config: LLMConfig, places: dict[str, str]) -> str:
    text = filled(config.prompt_template or TEXT_TEMPLATE, places)
    return f"{config.system_prompt}\n\n{text}" if config.system_prompt else text
