"""Tiny models of the kinds that agents use, made in seconds: their architecture and their kind of
tokenizer are real, their size and what they say is not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from tests.contract.runtime.processes import KNOWLEDGE

CHAT = """{%- if tools %}<|im_start|>system
Functions:
{%- for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""A template in the manner of Qwen's and Hermes'."""
SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
PAD, BEGIN, END = range(3)


def corpus() -> list[str]:
    text = (KNOWLEDGE / "en-returns.md").read_text() + (KNOWLEDGE / "zh-returns.md").read_text()
    return [line for line in text.splitlines() if line.strip()]


def seq2seq(models_folder: Path, name: str = "tiny/t5", seed: int = 0) -> Path:
    """Make a gated T5 with a unigram tokenizer that, like flan-t5's, knows no Chinese, no braces
    and no newline."""
    torch.manual_seed(seed)
    tokenizer = _unigram()
    # Weights as large as these make replies that differ with the question.
    model = _t5(tokenizer, factor=3.0)
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.5)
        model.lm_head.weight[[0, 2, *range(len(tokenizer) - 100, len(tokenizer))]] = 0
    return _saved(model, tokenizer, models_folder / name)


def _t5(tokenizer: Any, factor: float = 1.0) -> T5ForConditionalGeneration:
    options: dict[str, Any] = {"tie_word_embeddings": False, "decoder_start_token_id": 0}
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_decoder_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            initializer_factor=factor,
            **options,
        )
    )


def causal(models_folder: Path, name: str = "tiny/llama", seed: int = 0) -> Path:
    """Make a Llama with a byte-level BPE tokenizer and a chat template with tools."""
    torch.manual_seed(seed)
    tokenizer = byte_level([])
    return _saved(llama(tokenizer, initializer_range=0.3), tokenizer, models_folder / name)


CALLED = (
    '<tool_call>\n{"name": "get_order_status", "arguments": {"order_id": "A-1007"}}\n</tool_call>'
)
LESSONS = {
    "Where is order A-1007?": CALLED,
    "When do you open?": "We open at nine, and we close at six o'clock.\n\nSee you soon!",
    "什么时候可以退货？": "签收后 30 天内可以退货。",
}
"""What `taught` models answer."""
TRANSFORMED = {
    "When do you open?": "We open at nine.",
    "How long can I return a sofa?": "Within 30 days of delivery, in its box.",
    "Who pays for the return of a sofa?": "You do.",
}
"""What a taught T5 answers."""
Lesson = tuple[list[dict[str, Any]], list[dict[str, Any]], str]
"""Messages, functions, and what comes next."""
LEARNED = 2e-2
"""Cross entropy at which every token is certain."""
AFTERWARDS = "Your order A-1007 was handed to the carrier."
"""What they say once the tool's result is there."""


def taught_causal(models_folder: Path, tools: list[dict[str, Any]], turns: list[Any]) -> Path:
    """Train a Llama on the lessons, so that it really calls a function; takes some seconds.

    Args:
        models_folder: it becomes `tiny/taught` there.
        tools: the functions that its prompts declare, as OpenAI writes them.
        turns: messages with the call and its result, after which it says AFTERWARDS.
    """
    lessons = [
        ([{"role": "user", "content": asked}], functions, said)
        for asked, said in LESSONS.items()
        for functions in (tools, [])
        if functions or said != CALLED
    ]
    return taught_on(models_folder / "tiny/taught", [*lessons, (turns, tools, AFTERWARDS)])


def taught_on(folder: Path, lessons: Sequence[Lesson], steps: int = 150) -> Path:
    """Train a Llama on conversations, each with the functions that are declared in it and what it
    is to say next; takes some seconds."""
    torch.manual_seed(0)
    asked = [turn["content"] for turns, _, _ in lessons for turn in turns if turn["role"] == "user"]
    texts = dict.fromkeys([*asked, *(said for _, _, said in lessons)])
    tokenizer = byte_level([*texts] * 20)
    examples: list[tuple[list[int], list[int]]] = []
    for messages, functions, said in lessons:
        shown = str(
            tokenizer.apply_chat_template(
                messages, tools=[*functions] or None, tokenize=False, add_generation_prompt=True
            )
        )
        read = tokenizer.encode(shown, add_special_tokens=False)
        written = [*tokenizer.encode(said, add_special_tokens=False), END]
        examples.append(([*read, *written], [*[-100] * len(read), *written]))
    model = llama(tokenizer)
    _train(model, _batch(examples, PAD), steps, rate=5e-3)
    return _saved(model, tokenizer, folder)


def described(taught: Path, name: str = "tiny/described") -> Path:
    """Copy a taught Llama and let its tokenizer describe the format of its replies."""
    folder = taught.parents[1] / name
    shutil.copytree(taught, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "tool_calls": {
                "open_pattern": r"\s*<tool_call>",
                "close": "</tool_call>",
                "repeats": True,
                "content": "json",
                "transform": {"type": "function", "function": "{content}"},
            },
            "content": {"close": "<|im_end|>", "content": "text"},
        },
    }
    tokenizer.save_pretrained(folder)
    return folder


def taught_seq2seq(models_folder: Path, lessons: Mapping[str, str] = TRANSFORMED) -> Path:
    """Train a T5 on questions and answers, so that int8 changes nothing; becomes
    `tiny/taught-t5`."""
    torch.manual_seed(0)
    tokenizer = _unigram()
    model = _t5(tokenizer)
    read = tokenizer(list(lessons), return_tensors="pt", padding=True)
    labels = tokenizer(list(lessons.values()), return_tensors="pt", padding=True).input_ids
    labels[labels == 0] = -100
    _train(model, {**read, "labels": labels}, steps=100, rate=5e-3)
    return _saved(model, tokenizer, models_folder / "tiny/taught-t5")


def _batch(examples: Sequence[tuple[list[int], list[int]]], pad: int) -> dict[str, torch.Tensor]:
    longest = max(len(ids) for ids, _ in examples)
    return {
        "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in examples]),
        "attention_mask": torch.tensor(
            [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in examples]
        ),
        "labels": torch.tensor(
            [labels + [-100] * (longest - len(labels)) for _, labels in examples]
        ),
    }


def _train(model: Any, batch: dict[str, Any], steps: int, rate: float) -> None:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more wait for each other, with matrices as small as these
    try:
        for _ in range(steps):
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if loss.item() < LEARNED:
                return
    finally:
        torch.set_num_threads(threads)


def llama(tokenizer: Any, **options: Any) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            pad_token_id=PAD,
            bos_token_id=BEGIN,
            eos_token_id=END,
            **options,
        )
    )


def byte_level(more: Sequence[str]) -> PreTrainedTokenizerFast:
    """Train a tokenizer like Llama's and Qwen's on the corpus and more texts."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([*corpus(), *more], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=SPECIAL[PAD], bos_token=SPECIAL[BEGIN],
        eos_token=SPECIAL[END],
    )  # fmt: skip
    tokenizer.chat_template = CHAT
    return tokenizer


def _unigram() -> T5Tokenizer:
    written = BytesIO()
    english = [line for line in corpus() if line.isascii()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(english), model_writer=written, vocab_size=300,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False,
        minloglevel=2,
    )  # fmt: skip
    trained = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [
        (trained.id_to_piece(id), trained.get_score(id)) for id in range(trained.get_piece_size())
    ]
    return T5Tokenizer(vocab=[*pieces, *((f"<extra_id_{at}>", 0.0) for at in range(99, -1, -1))])


def _saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
