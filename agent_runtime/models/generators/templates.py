"""Tokenizer and chat template of a model folder without transformers, for CPU images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from tokenizers import Tokenizer

from agent_runtime.errors import InvalidConfigError
from agent_runtime.models.generators.codec import Codec, Render
from agent_runtime.models.generators.messages import Message

REPLACED = {"\n": " ", "\r": " ", "\t": " ", "{": "(", "}": ")"}
"""Characters that T5's vocabulary lacks, with those that come nearest."""


def codec(folder: Path, ends: frozenset[int], chats: bool) -> Codec:
    """Read `tokenizer.json` and, where the model `chats`, its template.

    Raises:
        InvalidConfigError: a file is missing or broken.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the package raises nothing more precise
        raise InvalidConfigError(f"{folder / 'tokenizer.json'}: {error}") from error
    render = _render(folder) if chats else None
    return Codec(tokenizer, ends, render, None if chats else REPLACED)


def _render(folder: Path) -> Render | None:
    described = _read(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    source = file.read_text() if file.exists() else described.get("chat_template")
    if not isinstance(source, str):
        return None
    try:
        from jinja2 import TemplateError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise InvalidConfigError(
            f"{folder.name!r} has a chat template, and this image has no jinja2 to fill it in"
        ) from error

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    # As transformers does it: templates are written for these settings and functions.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the text is read by a model, not by a browser
        extensions=[loopcontrols],
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = refuse  # pyright: ignore[reportArgumentType]
    environment.globals["strftime_now"] = _now  # pyright: ignore[reportArgumentType]
    template = environment.from_string(source)
    special = {
        name: value if isinstance(value, str) else value.get("content")
        for name, value in described.items()
        if name.endswith("_token") and isinstance(value, (str, dict))
    }

    def render(said: Sequence[Message], functions: Sequence[Message]) -> str:
        return template.render(
            messages=list(said),
            tools=list(functions) or None,
            documents=None,
            add_generation_prompt=True,
            enable_thinking=False,
            **special,
        )

    return render


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _now(format: str) -> str:
    return datetime.now(UTC).strftime(format)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidConfigError(f"{path}: {error}") from error
