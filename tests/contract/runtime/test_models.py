"""The converted model against the original, and both adapters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent_runtime.wiring.models import load_model
from tests.contract.runtime.processes import KNOWLEDGE, REPOSITORY

COMPARE = """
import sys, warnings, json
warnings.simplefilter("ignore")
import numpy as np
from pathlib import Path
from agent_runtime.models.convert import convert
from agent_runtime.wiring.models import load_model
onnx, torch, lines = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
name = convert("sentence-transformers/all-MiniLM-L6-v2", torch, "sentence-transformers").name
exact, quantized = load_model(name, torch, 1), load_model(name, onnx, 1)
assert type(exact).__name__ == "SentenceTransformerEmbedder"
assert (exact.dimension, exact.max_tokens) == (quantized.dimension, quantized.max_tokens)
assert exact.count_tokens(lines[0]) == quantized.count_tokens(lines[0])
assert exact.reads("en") and quantized.reads("en") and not quantized.reads("zh")
print(float((exact.embed(lines, "passage") * quantized.embed(lines, "passage")).sum(axis=1).mean()))
from torch import get_num_threads
assert get_num_threads() == 1
"""


def test_the_quantized_model_stays_near_the_original(models: Path, tmp_path: Path) -> None:
    text = (KNOWLEDGE / "en-returns.md").read_text()
    lines = [line for line in text.splitlines() if len(line) > 40][:40]
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(models), str(tmp_path), json.dumps(lines)],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert float(done.stdout.split()[-1]) > 0.985


def test_embeddings_are_unit_rows_in_the_order_of_the_texts(models: Path) -> None:

    embedder = load_model("sentence-transformers/all-MiniLM-L6-v2", models, 1)
    texts = ["short", "a much longer sentence about refunds and returns " * 20, "short"]
    rows = embedder.embed(texts, "passage")
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
    assert float(rows[0] @ rows[2]) == pytest.approx(1, abs=0.02)
    assert float(rows[0] @ rows[1]) < 0.9
    assert embedder.embed([], "passage").shape == (0, 384)


def test_the_runtime_leaves_nothing_in_a_home_folder(models: Path, tmp_path: Path) -> None:
    """ONNX Runtime would write an identifier for its telemetry there."""
    command = [sys.executable, "-m", "agent_runtime", "check", "--models", str(models)]
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
