"""Models folders of images, converted once for a machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.contract.runtime.processes import REPOSITORY, agent_runtime

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TORCH = "torch/all-MiniLM-L6-v2"
SOURCES = ("agent_runtime/models/convert.py", "agent_runtime/models/catalogue.py", "uv.lock")


def converted(format: str = "onnx") -> Path:
    """Return a folder with the real embedding model, named by what it is made from."""
    made_from = b"".join((REPOSITORY / name).read_bytes() for name in SOURCES)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(made_from).hexdigest()[:16]
    folder = cache / "chatagent" / "models" / (name if format == "onnx" else f"{name}-{format}")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch, "models")
            command = agent_runtime("convert", MODEL, "--output", str(made), "--format", format)
            subprocess.run(command, cwd=REPOSITORY, check=True)
            # Whole or not at all: another run may look for it at the same time.
            with suppress(OSError):
                made.rename(folder)
    return folder


def both_formats(image: Path) -> None:
    """Put the embedding model into an image's folder as MODEL in ONNX, and as TORCH for torch."""
    for format, name in (("onnx", MODEL), ("sentence-transformers", TORCH)):
        (image / name).parent.mkdir(parents=True)
        (image / name).symlink_to(converted(format) / MODEL)
