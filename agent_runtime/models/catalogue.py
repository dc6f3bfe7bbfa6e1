"""The models of an image: `<models>/<org>/<name>/model.json` says what each is.

The manifest is written by `agent-runtime convert` and read when a pod starts. Nothing here loads
a model or looks for one elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agent_runtime.errors import InvalidConfigError, ModelNotFoundError

MANIFEST = "model.json"


class Manifest(BaseModel):
    """What a converted model is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As on the Hugging Face Hub, `org/name`."""
    format: Literal["onnx", "sentence-transformers"]
    dimension: int
    pooling: str
    """How token vectors become one vector. For onnx it is part of the graph."""
    normalize: bool
    max_tokens: int
    quantization: Literal["int8", "none"]
    languages: tuple[str, ...]
    """Languages that the model's card names, as ISO 639-1 codes; empty: it names none."""


class Described:
    """What a manifest says of a model, for every embedder that serves one."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    @property
    def model(self) -> str:
        return self._manifest.name

    @property
    def dimension(self) -> int:
        return self._manifest.dimension

    @property
    def max_tokens(self) -> int:
        return self._manifest.max_tokens

    def reads(self, language: str) -> bool:
        return not self._manifest.languages or language in self._manifest.languages


def names(models: Path) -> list[str]:
    """List the models below a folder."""
    found = sorted(models.glob(f"*/*/{MANIFEST}"))
    return [f"{path.parent.parent.name}/{path.parent.name}" for path in found]


def find(models: Path, name: str) -> tuple[Path, Manifest]:
    """Return the folder and manifest of a model.

    Raises:
        ModelNotFoundError: it is not there; the message lists those that are.
        InvalidConfigError: its manifest is broken.
    """
    if name not in names(models):
        has = ", ".join(names(models)) or "none"
        raise ModelNotFoundError(
            f"pipeline.retrieval.embeddingModel: {name!r} is not in this image; it has: {has}"
        )
    folder = models / name
    try:
        return folder, Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidConfigError(f"{folder / MANIFEST}: {error}") from error
