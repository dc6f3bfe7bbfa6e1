"""A model's tokenizer and chat template: a prompt to token ids, token ids to text.

It needs the package tokenizers only, so that images without transformers have it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from agent_runtime.domain import Prompt
from agent_runtime.errors import InvalidRequestError
from agent_runtime.models.generators.messages import Message, messages, tools
from agent_runtime.models.generators.toolcalls import MARKERS, PlainReader, Reader

Render = Callable[[Sequence[Message], Sequence[Message]], str]
"""Messages and functions to the text that a chat model continues."""
ReaderFactory = Callable[[str, Sequence[Message]], Reader]
"""Prompt and functions to what reads the model's answer."""
_PROBE = "probe_of_the_template"


class Codec:
    """What stands between a Prompt and a model that knows token ids only."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        ends: frozenset[int],
        render: Render | None = None,
        replaced: Mapping[str, str] | None = None,
        reader: ReaderFactory | None = None,
    ) -> None:
        """
        Args:
            tokenizer: becomes the codec's own.
            ends: tokens that end a reply.
            render: the chat template; None for models that continue or transform a text.
            replaced: characters that the tokenizer does not know, with what they become.
            reader: the model's own format of replies, where its tokenizer describes it.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer, self.ends, self._render, self._reader = tokenizer, ends, render, reader
        self._replaced = str.maketrans(dict(replaced or {}))
        found = {marker: tokenizer.token_to_id(marker) for marker in MARKERS}
        self._markers = {id: marker for marker, id in found.items() if id is not None}

    @property
    def chats(self) -> bool:
        """Whether the model has a chat template."""
        return self._render is not None

    @property
    def calls_tools(self) -> bool:
        """Whether the chat template shows functions to the model."""
        if self._render is None:
            return False
        function = {"name": _PROBE, "description": "", "parameters": {"type": "object"}}
        try:
            text = self._render(
                [{"role": "user", "content": "?"}], [{"type": "function", "function": function}]
            )
        except Exception:  # a template may raise whatever it likes
            return False
        return _PROBE in text

    def knows(self, text: str) -> bool:
        """Tell whether the tokenizer has tokens for all of a text."""
        unknown = self._tokenizer.token_to_id(
            getattr(self._tokenizer.model, "unk_token", None) or "<unk>"
        )
        return unknown not in self._tokenizer.encode(text, add_special_tokens=False).ids

    def count(self, text: str) -> int:
        """Count the tokens of a text without the special ones."""
        text = text.translate(self._replaced)
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(self, prompt: Prompt) -> tuple[list[int], Reader]:
        """Return the ids of a prompt and what reads the answer to it.

        Raises:
            InvalidRequestError: the chat template refuses the conversation.
        """
        if self._render is None:
            text = prompt.text.translate(self._replaced)
            return self._tokenizer.encode(text).ids, PlainReader(())
        functions = tools(prompt)
        try:
            text = _rendered(self._render, messages(prompt, decoded=True), functions)
        except Exception as error:
            raise InvalidRequestError(
                f"the model's chat template refuses the conversation: {error}", "messages"
            ) from error
        reader = self._reader(text, functions) if self._reader else PlainReader(functions)
        return self._tokenizer.encode(text, add_special_tokens=False).ids, reader

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Return the tokens as the vocabulary writes them."""
        return [self._tokenizer.id_to_token(id) or "" for id in ids]

    def decoding(self, special: bool) -> Decoding:
        """Return what turns ids into text one by one.

        Args:
            special: keep special tokens, for a reader that looks for them.
        """
        return Decoding(self._tokenizer, {} if special else self._markers, not special)


class Decoding:
    """Token ids to text, as they come. A character that is not whole yet is held back."""

    def __init__(self, tokenizer: Tokenizer, markers: Mapping[int, str], skip: bool) -> None:
        self._tokenizer, self._markers, self._skip = tokenizer, markers, skip
        self._stream = DecodeStream(skip_special_tokens=skip)

    def feed(self, token: int) -> str:
        """Return the text that this token completes, if any."""
        if (marker := self._markers.get(token)) is not None:
            self._stream = DecodeStream(skip_special_tokens=self._skip)
            return marker
        return self._stream.step(self._tokenizer, token) or ""


def _rendered(render: Render, said: list[Message], functions: list[Message]) -> str:
    try:
        return render(said, functions)
    except Exception:
        if len(said) < 2 or said[0]["role"] != "system":
            raise
        # Some templates know no system message: the instructions go before the first turn.
        first = {**said[1], "content": f"{said[0]['content']}\n\n{said[1]['content']}"}
        return render([first, *said[2:]], functions)
