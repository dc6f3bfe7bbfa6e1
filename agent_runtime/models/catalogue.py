"""The models of an image: `<models>/<org>/<name>/model.json` says what each is.

The manifest is written by `agent-runtime convert` and read when a pod starts. Nothing here loads
a model or looks for one elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_runtime.errors import InvalidConfigError, ModelNotFoundError

MANIFEST = "model.json"
Kind = Literal["embedding", "cross-encoder", "generator"]
"""What a model is for."""
EMBEDDING = "pipeline.retrieval.embeddingModel"
GENERATOR = "pipeline.llm.model"
RERANKER = "pipeline.retrieval.rerank.model"


class Manifest(BaseModel):
    """What a converted model is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As on the Hugging Face Hub, `org/name`."""
    kind: Kind = "embedding"
    format: Literal["onnx", "sentence-transformers"]
    dimension: int
    pooling: str
    """How token vectors become one vector. For onnx it is part of the graph."""
    normalize: bool
    max_tokens: int
    quantization: Literal["int8", "none"]
    languages: tuple[str, ...]
    """Languages that the model's card names, as ISO 639-1 codes; empty: it names none."""
    query_prompt: str = ""
    """What it is to read before a query; empty: nothing."""
    passage_prompt: str = ""
    """The same before a passage."""


class CrossEncoderManifest(BaseModel):
    """What a model that scores a question and a passage is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As on the Hugging Face Hub, `org/name`."""
    kind: Literal["cross-encoder"] = "cross-encoder"
    format: Literal["onnx", "sentence-transformers"]
    max_tokens: int
    """Most tokens of question and passage together; the longer one is cut."""
    quantization: Literal["int8", "none"]
    languages: tuple[str, ...]
    """Languages that the model's card names, as ISO 639-1 codes; empty: it names none."""


class GeneratorManifest(BaseModel):
    """What a model that writes text is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As on the Hugging Face Hub, `org/name`."""
    kind: Literal["generator"] = "generator"
    format: Literal["ctranslate2", "transformers"]
    architecture: Literal["seq2seq", "causal"]
    max_tokens: int
    """Tokens that it was made to read; a causal model writes within them too."""
    relative: bool
    """It knows tokens by their distance, so that it can read more, less well."""
    ends: tuple[int, ...]
    """Tokens that end a reply."""
    quantization: Literal["int8", "none"]
    languages: tuple[str, ...]
    """Languages that the model's card names, as ISO 639-1 codes; empty: it names none."""


class _AnyManifest(BaseModel):
    kind: Kind = "embedding"


_M = TypeVar("_M", bound=BaseModel)


def names(models: Path) -> list[str]:
    """List the models below a folder."""
    found = sorted(models.glob(f"*/*/{MANIFEST}"))
    return [f"{path.parent.parent.name}/{path.parent.name}" for path in found]


def kind(models: Path, name: str) -> Kind:
    """Tell what a model is for. Raises ModelNotFoundError or InvalidConfigError."""
    return _read(_folder(models, name, EMBEDDING), _AnyManifest).kind


def find(models: Path, name: str) -> tuple[Path, Manifest]:
    """Return the folder and manifest of an embedding model.

    Raises:
        ModelNotFoundError: it is not there; the message lists those that are.
        InvalidConfigError: its manifest is broken, or it is no embedding model.
    """
    folder = _folder(models, name, EMBEDDING)
    _expect(folder, name, "embedding", EMBEDDING)
    return folder, _read(folder, Manifest)


def find_generator(models: Path, name: str) -> tuple[Path, GeneratorManifest]:
    """Return the folder and manifest of a generator. Raises as `find` does."""
    folder = _folder(models, name, GENERATOR)
    _expect(folder, name, "generator", GENERATOR)
    return folder, _read(folder, GeneratorManifest)


def find_cross_encoder(models: Path, name: str) -> tuple[Path, CrossEncoderManifest]:
    """Return the folder and manifest of a cross-encoder. Raises as `find` does."""
    folder = _folder(models, name, RERANKER)
    _expect(folder, name, "cross-encoder", RERANKER)
    return folder, _read(folder, CrossEncoderManifest)


def _folder(models: Path, name: str, field: str) -> Path:
    if name not in names(models):
        has = ", ".join(names(models)) or "none"
        raise ModelNotFoundError(f"{field}: {name!r} is not in this image; it has: {has}")
    return models / name


def _expect(folder: Path, name: str, wanted: Kind, field: str) -> None:
    found = _read(folder, _AnyManifest).kind
    if found != wanted:
        raise InvalidConfigError(f"{field}: {name!r} is a model of kind {found}, not {wanted}")


def _read(folder: Path, manifest: type[_M]) -> _M:
    try:
        return manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidConfigError(f"{folder / MANIFEST}: {error}") from error
