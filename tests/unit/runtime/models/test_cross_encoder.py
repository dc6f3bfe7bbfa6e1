"""A tiny cross-encoder with random weights, converted both ways: the scores must agree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models.catalogue import find, find_cross_encoder, kind
from agent_runtime.models.cross_encoder import OnnxReranker

REPOSITORY = Path(__file__).resolve().parents[4]
WORDS = [
    "when", "will", "my", "order", "ship", "within", "two", "days", "returns", "are", "free", "for",
    "a", "month", "refund", "退", "货",
]  # fmt: skip
QUESTION = "when will my order ship"
TEXTS = [
    "order ship within two days",
    "returns are free",
    "",
    "a month " * 60,
    "退货 for a month",
    *(" ".join(WORDS[n : n + 5]) for n in range(12)),
]

MAKE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
from agent_runtime.models.catalogue import find_cross_encoder
from agent_runtime.models.convert import convert
from agent_runtime.models.cross_encoder_convert import convert_cross_encoder, is_cross_encoder
from agent_runtime.models.cross_encoder_torch import TorchReranker

folder, words, question, texts = Path(sys.argv[1]), *json.loads(sys.argv[2])
source = folder / "source" / "org" / "tiny"
source.mkdir(parents=True)
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
(source / "vocab.txt").write_text("\\n".join(special + sorted(set(words))))
BertTokenizerFast(str(source / "vocab.txt"), model_max_length=64).save_pretrained(source)
for labels in (2, 1):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=40, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=64, num_labels=labels, initializer_range=0.3,
    )
    BertForSequenceClassification(config).save_pretrained(source)
    assert is_cross_encoder(str(source)) and not is_cross_encoder(str(folder / "no" / "model"))
    for kind in ("onnx", "exact", "sentence-transformers"):
        output, format = folder / kind / "org/tiny", kind.replace("exact", "onnx")
        try:
            convert_cross_encoder(str(source), "org/tiny", output, format, (), kind == "exact")
        except Exception as error:
            assert labels == 2 and "gives 2 scores" in str(error), error
        else:
            assert labels == 1
found = find_cross_encoder(folder / "sentence-transformers", "org/tiny")
scores = TorchReranker(*found, "cpu", 1).score(question, texts)
assert scores.shape == (len(texts),)
assert TorchReranker(*found, "cpu", 1).score(question, []).shape == (0,)
assert convert(str(source), folder / "by-name", "onnx").kind == "cross-encoder"
print(json.dumps(scores.tolist()))
"""


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """Return where the models are and torch's scores; torch stays out of this process."""
    folder = tmp_path_factory.mktemp("reranker")
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(folder), json.dumps([WORDS, QUESTION, TEXTS])],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("kind", "apart", "alike"), [("exact", 1e-4, 0.9999), ("onnx", 0.2, 0.9)])
def test_onnx_scores_agree_with_torch(
    converted: tuple[Path, list[float]], kind: str, apart: float, alike: float
) -> None:
    """Random weights suffer more from int8 than trained ones."""
    folder, torch_scores = converted
    reranker = OnnxReranker(*find_cross_encoder(folder / kind, "org/tiny"), threads=1)
    scores = reranker.score(QUESTION, TEXTS)
    assert reranker.model == "org/tiny"
    assert scores.dtype == np.float32
    assert np.ptp(torch_scores) > 0.2  # they do tell texts apart
    assert np.abs(scores - torch_scores).max() < apart
    assert np.corrcoef(scores, torch_scores)[0, 1] > alike
    assert reranker.score(QUESTION, []).shape == (0,)


def test_padding_and_order_change_no_score(converted: tuple[Path, list[float]]) -> None:
    folder, _ = converted
    reranker = OnnxReranker(*find_cross_encoder(folder / "exact", "org/tiny"), threads=1)
    alone = [float(reranker.score(QUESTION, [text])[0]) for text in TEXTS]
    assert reranker.score(QUESTION, TEXTS) == pytest.approx(alone, abs=1e-4)


def test_a_model_of_another_kind_is_named(converted: tuple[Path, list[float]]) -> None:
    models = converted[0] / "onnx"
    assert kind(models, "org/tiny") == "cross-encoder"
    with pytest.raises(InvalidConfigError, match="is a model of kind cross-encoder"):
        find(models, "org/tiny")
    with pytest.raises(ModelNotFoundError, match=r"retrieval\.rerank\.model: 'org/none'"):
        find_cross_encoder(models, "org/none")
