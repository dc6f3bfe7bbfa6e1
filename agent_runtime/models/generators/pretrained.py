"""Loading a tokenizer with transformers, and what its description says of the model's replies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel
from transformers.utils.chat_parsing import ResponseParser

from agent_runtime.domain import ToolCall
from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models.generators.chunks import arguments_of, new_id
from agent_runtime.models.generators.codec import Codec
from agent_runtime.models.generators.messages import Message
from agent_runtime.models.generators.templates import REPLACED
from agent_runtime.models.generators.toolcalls import Reader


def configuration(source: Path | str) -> PretrainedConfig:
    """Read what a model is. Raises ModelNotFoundError."""
    try:
        return AutoConfig.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise not_found(source, error) from error


def not_found(source: Path | str, error: Exception) -> ModelNotFoundError:
    """Say that a model can be had neither from the image nor from the Hub or its cache."""
    why = str(error).strip().splitlines()[0][:300]
    return ModelNotFoundError(f"pipeline.llm.model: {str(source)!r} cannot be loaded: {why}")


def tokenizer(source: Path | str) -> Any:
    """Load a fast tokenizer. Raises ModelNotFoundError or InvalidConfigError."""
    try:
        loaded = AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise not_found(source, error) from error
    if getattr(loaded, "backend_tokenizer", None) is None:
        raise InvalidConfigError(f"pipeline.llm.model: {str(source)!r} has no tokenizer.json")
    return loaded


def ends(model: PreTrainedModel, loaded: Any) -> frozenset[int]:
    """Return the tokens that end a reply: by the generation config, else by the tokenizer."""
    said = getattr(model.generation_config, "eos_token_id", None)
    if said is None:
        said = loaded.eos_token_id
    return frozenset([said] if isinstance(said, int) else said or ())


def codec(loaded: Any, model: PreTrainedModel, chats: bool) -> Codec:
    """Build the codec of a loaded tokenizer, with its chat template where it `chats`."""

    def render(said: Sequence[Message], functions: Sequence[Message]) -> str:
        return str(
            loaded.apply_chat_template(
                list(said),
                tools=list(functions) or None,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )

    def reader(prompt: str, functions: Sequence[Message]) -> Reader:
        return _DescribedReader(described, prompt, functions)

    described = getattr(loaded, "response_template", None)
    has_template = chats and bool(loaded.chat_template)
    return Codec(
        Tokenizer.from_str(loaded.backend_tokenizer.to_str()),
        ends(model, loaded),
        render if has_template else None,
        None if chats else REPLACED,
        reader if has_template and described else None,
    )


class _DescribedReader:
    """Reads replies as the tokenizer's own `response_template` describes them. Thoughts are not
    part of the reply."""

    special = True

    def __init__(self, described: Any, prompt: str, functions: Sequence[Message]) -> None:
        self._parser = ResponseParser(described, prefix=prompt, tools=list(functions) or None)
        self._calls: list[ToolCall] = []

    def feed(self, text: str) -> str:
        return self._take(self._parser.feed(text)) if text else ""

    def end(self) -> tuple[str, list[ToolCall]]:
        _, events = self._parser.finalize()
        return self._take(events), self._calls

    def _take(self, events: Sequence[Any]) -> str:
        shown: list[str] = []
        for event in events:
            kind, name = event["type"], event.get("field")
            if kind == "region_close" and name == "tool_calls":
                self._calls.append(_call(event["value"]))
            elif kind == "region_chunk" and name == "content" and not event.get("dirty"):
                shown.append(event.get("text") or "")
        return "".join(shown)


def _call(value: Any) -> ToolCall:
    function = value.get("function", value)
    name, arguments = str(function["name"]), function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = arguments_of(arguments, name)
    return ToolCall(new_id(), name, arguments)
