"""Converting a cross-encoder for an image, as `convert` does with embedding models.

ONNX for CPUs, with int8 weights; sentence-transformers' own format for GPUs. The activation goes
into the graph, truncation and padding into the tokenizer file, so that serving only runs them.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from sentence_transformers import CrossEncoder
from transformers import AutoConfig

from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models.catalogue import MANIFEST, CrossEncoderManifest

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
DEFAULT_TOKENS = 512


class _Scored(torch.nn.Module):
    """Token ids of question and passage in, one score out."""

    def __init__(self, model: Any, activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._model = model
        self._activation = activation

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        features = dict(zip(_INPUTS, inputs, strict=False))
        return self._activation(self._model(**features).logits[:, 0])


def is_cross_encoder(source: str) -> bool:
    """Tell whether a model classifies its text instead of embedding it."""
    try:
        config: Any = AutoConfig.from_pretrained(source)
    except (OSError, ValueError):
        return False
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def convert_cross_encoder(
    source: str,
    name: str,
    folder: Path,
    format: str,
    languages: tuple[str, ...],
    exact: bool = False,
) -> CrossEncoderManifest:
    """Write a cross-encoder into a folder, which is emptied first.

    Args:
        source: a folder in transformers' format, or a name on the Hub.
        name: `org/name`.
        folder: where it goes.
        format: `onnx` or `sentence-transformers`.
        languages: what its card says.
        exact: keep ONNX weights in float32, which is slower and four times as large.

    Raises:
        ModelNotFoundError: there is no such model.
        InvalidConfigError: it has no fast tokenizer, or gives more than one score.
    """
    try:
        # Eager attention, since the exporter cannot trace the fused kernel's mask.
        encoder = CrossEncoder(
            source, device="cpu", model_kwargs={"attn_implementation": "eager"}
        ).eval()
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{source!r} cannot be loaded: {error}") from error
    if encoder.num_labels != 1:
        raise InvalidConfigError(f"{source!r} gives {encoder.num_labels} scores, not one")
    tokens = _longest(encoder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if format == "onnx":
        _export(encoder, folder, tokens, exact)
    else:
        encoder.save_pretrained(str(folder), create_model_card=False)
    manifest = CrossEncoderManifest(
        name=name,
        format="onnx" if format == "onnx" else "sentence-transformers",
        max_tokens=tokens,
        quantization="int8" if format == "onnx" and not exact else "none",
        languages=languages,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _longest(encoder: CrossEncoder) -> int:
    """Return what it reads; some tokenizers name a number beyond all measure."""
    tokenizer: Any = encoder.tokenizer
    named = (getattr(encoder, "max_seq_length", None), tokenizer.model_max_length)
    return next((int(each) for each in named if each and each < 1e6), DEFAULT_TOKENS)


def _export(encoder: CrossEncoder, folder: Path, tokens: int, exact: bool) -> None:
    tokenizer: Any = encoder.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InvalidConfigError("the model has no fast tokenizer (tokenizer.json)")
    backend.enable_truncation(tokens, strategy="longest_first")
    backend.enable_padding(
        pad_id=tokenizer.pad_token_id,
        pad_token=tokenizer.pad_token,
        pad_type_id=tokenizer.pad_token_type_id,
    )
    backend.save(str(folder / "tokenizer.json"))
    names = [name for name in _INPUTS if name in tokenizer.model_input_names]
    example = tokenizer([("a", "b c")] * 2, return_tensors="pt")
    axes = {0: "batch", 1: "tokens"}
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # The exporter by tracing is deprecated; the new one needs onnxscript on top.
        warnings.simplefilter("ignore")
        full = folder / "model.onnx" if exact else Path(scratch, "full.onnx")
        torch.onnx.export(
            _Scored(encoder.model, encoder.activation_fn or torch.nn.Identity()),
            tuple(example[name] for name in names),
            str(full),
            input_names=names,
            output_names=["score"],
            dynamic_axes={**dict.fromkeys(names, axes), "score": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
        if not exact:
            quantize_dynamic(
                full,
                folder / "model.onnx",
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
