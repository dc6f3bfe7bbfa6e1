"""Counting tokens away from the model, for example in the process that cuts documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

BATCH = 1024


class TokenizerFile:
    """Counts with the `tokenizer.json` of a model. Pickles as the path: it is read where it is
    used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokenizer: Tokenizer | None = None

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Count the tokens of each text without the special ones, with no limit on the length."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_file(str(self._path))
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        counts: list[int] = []
        for start in range(0, len(texts), BATCH):
            part = list(texts[start : start + BATCH])
            encoded = self._tokenizer.encode_batch_fast(part, add_special_tokens=False)
            counts += [len(each) for each in encoded]
        return counts

    def __reduce__(self) -> tuple[type[TokenizerFile], tuple[Path]]:
        return TokenizerFile, (self._path,)
