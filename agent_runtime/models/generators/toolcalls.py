"""Calls of tools in the text that a model writes, in the formats that chat models share."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from agent_runtime.domain import Json, ToolCall
from agent_runtime.errors import GeneratorUnavailableError
from agent_runtime.models.generators.chunks import new_id
from agent_runtime.models.generators.messages import Message
from agent_runtime.models.generators.stops import held_back

MARKERS = ("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>")
"""Tokens that begin or end calls; in some vocabularies they are special."""
_OPENERS = ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>")
_HERMES = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)
_CODER = re.compile(r"\s*<function=([^>\n]+)>(.*?)(?:</function>\s*)?$", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\s*(.*?)\s*</parameter>", re.DOTALL)
_MISTRAL = re.compile(r"\s*([\w.-]+)(?:\[ARGS\])?\s*(?=\{)")


class Reader(Protocol):
    """Separates what a model writes into the reply and its calls."""

    @property
    def special(self) -> bool:
        """Whether it looks for special tokens."""
        ...

    def feed(self, text: str) -> str:
        """Take in text; return what belongs to the reply and can be shown now."""
        ...

    def end(self) -> tuple[str, list[ToolCall]]:
        """Return the rest of the reply and the calls. Raises GeneratorUnavailableError."""
        ...


class PlainReader:
    """Reads `<tool_call>` (Hermes, Qwen), `[TOOL_CALLS]` (Mistral), `<|python_tag|>` and a reply
    that is JSON as a whole (Llama). Without functions, everything is the reply."""

    special = False

    def __init__(self, functions: Sequence[Message]) -> None:
        self._schemas = {
            each["function"]["name"]: each["function"]["parameters"] for each in functions
        }
        self._text = ""
        """Not shown yet."""
        self._shown = False
        self._calling = False

    def feed(self, text: str) -> str:
        if not self._schemas:
            return text
        self._text += text
        if self._calling or self._maybe_json():
            return ""
        begins = [at for opener in _OPENERS if (at := self._text.find(opener)) >= 0]
        if begins:
            self._calling = True
            shown, self._text = self._text[: min(begins)], self._text[min(begins) :]
        else:
            keep = held_back(self._text, _OPENERS)
            shown = self._text[: len(self._text) - keep]
            if not self._shown and not shown.strip():
                return ""  # white space before a reply is part of it, and before a call is not
            self._text = self._text[len(self._text) - keep :]
        self._shown = self._shown or bool(shown.strip())
        return shown if self._shown else ""

    def _maybe_json(self) -> bool:
        """Tell whether the reply may be one JSON value, which its end decides."""
        return not self._shown and self._text.lstrip()[:1] in ("{", "")

    def end(self) -> tuple[str, list[ToolCall]]:
        if self._calling:
            return "", list(self._calls(self._text))
        if self._text and self._maybe_json():
            with contextlib.suppress(GeneratorUnavailableError):
                return "", [self._call(_json(self._text))]
        return self._text, []  # a reply that begins with a brace is a reply all the same

    def _calls(self, text: str) -> Iterator[ToolCall]:
        if text.startswith("<tool_call>"):
            for inner in _HERMES.findall(text):
                coder = _CODER.match(inner)
                yield self._coder(coder) if coder else self._call(_json(inner))
        elif text.startswith("<|python_tag|>"):
            yield self._call(_json(text.removeprefix("<|python_tag|>")))
        for part in text.split("[TOOL_CALLS]")[1:]:
            if named := _MISTRAL.match(part):
                yield self._call({"name": named.group(1), "arguments": part[named.end() :]})
                continue
            found = _json(part)
            for each in cast("list[Any]", found) if isinstance(found, list) else [found]:
                yield self._call(each)

    def _call(self, found: Any) -> ToolCall:
        if isinstance(found, dict):
            call = cast("dict[str, Any]", found)
            call = cast("dict[str, Any]", call.get("function") or call)
            name = call.get("name")
            arguments = call.get("arguments", call.get("parameters", {}))
            if isinstance(arguments, str):
                arguments = _json(arguments)
            if name in self._schemas and isinstance(arguments, dict):
                return ToolCall(new_id(), str(name), cast("dict[str, Json]", arguments))
        raise GeneratorUnavailableError("the model wrote a tool call that cannot be read")

    def _coder(self, match: re.Match[str]) -> ToolCall:
        name = match.group(1).strip()
        properties = self._schemas.get(name, {}).get("properties", {})
        arguments = {
            key: _typed(value, properties.get(key, {}))
            for key, value in _PARAMETER.findall(match.group(2))
        }
        return self._call({"name": name, "arguments": arguments})


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise GeneratorUnavailableError(
            f"the model wrote a tool call that is no JSON: {error}"
        ) from error


def _typed(value: str, schema: Mapping[str, Any]) -> Json:
    if schema.get("type") == "string":
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
