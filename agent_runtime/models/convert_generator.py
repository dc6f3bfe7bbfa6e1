"""Converting a generator for an image: CTranslate2 in int8 for CPUs, or transformers' own format.

Tokenizer and chat template stand beside the weights, so that a pod needs nothing of the Hub.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from ctranslate2.converters import TransformersConverter
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
)

from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models.catalogue import MANIFEST, GeneratorManifest

FORMATS = ("ctranslate2", "transformers")
SEQ2SEQ_TOKENS, CAUSAL_TOKENS = 512, 4096
"""What a model reads, where its configuration does not say it."""


def convert_generator(
    source: str, name: str, folder: Path, format: str, languages: tuple[str, ...]
) -> GeneratorManifest:
    """Write a generator into a folder, which is emptied first.

    Args:
        source: a folder in transformers' format, or a name on the Hub.
        name: `org/name`.
        folder: where it goes.
        format: one of FORMATS.
        languages: what its card says.

    Raises:
        ModelNotFoundError: there is no such model.
        InvalidConfigError: it has no fast tokenizer, or CTranslate2 does not know its kind.
    """
    try:
        config: Any = AutoConfig.from_pretrained(source)
        tokenizer: Any = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{source!r} cannot be loaded: {error}") from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise InvalidConfigError(f"{source!r} has no fast tokenizer (tokenizer.json)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if format == "ctranslate2":
        _to_ctranslate2(source, folder)
    else:
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        kind.from_pretrained(source, dtype="auto").save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    manifest = GeneratorManifest(
        name=name,
        format="ctranslate2" if format == "ctranslate2" else "transformers",
        architecture="seq2seq" if config.is_encoder_decoder else "causal",
        max_tokens=_max_tokens(config),
        relative="relative_attention_num_buckets" in config.to_dict(),
        ends=_ends(source, config, tokenizer),
        quantization="int8" if format == "ctranslate2" else "none",
        languages=languages,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _to_ctranslate2(source: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            TransformersConverter(source).convert(scratch, quantization="int8", force=True)
        except ValueError as error:
            raise InvalidConfigError(f"CTranslate2 cannot convert {source!r}: {error}") from error
        for file in Path(scratch).iterdir():
            shutil.move(file, folder / file.name)


def _max_tokens(config: Any) -> int:
    default = SEQ2SEQ_TOKENS if config.is_encoder_decoder else CAUSAL_TOKENS
    names = ("n_positions", "max_position_embeddings")
    return int(next((found for name in names if (found := getattr(config, name, None))), default))


def _ends(source: str, config: Any, tokenizer: Any) -> tuple[int, ...]:
    """Read which tokens end a reply: chat models have several."""
    try:
        said = GenerationConfig.from_pretrained(source).eos_token_id
    except OSError:
        said = getattr(config, "eos_token_id", None)
    said = tokenizer.eos_token_id if said is None else said
    return (said,) if isinstance(said, int) else tuple(said or ())
