"""A decoder-only language model on torch, such as Llama or Qwen."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoModelForCausalLM, PretrainedConfig

from agent_runtime.config.llm import LLMConfig
from agent_runtime.models.generators import pretrained
from agent_runtime.models.generators.local import LocalGenerator
from agent_runtime.models.generators.rows import TransformersEngine, device, dtype

ROWS = {"cuda": 16, "cpu": 4}
"""Rows of a batch: prompts of a chat fill the memory for keys and values."""
CONTEXT = 4096
"""Tokens that a model reads and writes, where its configuration does not say it."""


def load(config: LLMConfig, source: Path | str, described: PretrainedConfig) -> LocalGenerator:
    """Load weights and tokenizer. Raises ModelNotFoundError or InvalidConfigError."""
    tokenizer = pretrained.tokenizer(source)
    on = device()
    try:
        model = AutoModelForCausalLM.from_pretrained(str(source), dtype=dtype(on), device_map=on)
    except (OSError, ValueError) as error:
        raise pretrained.not_found(source, error) from error
    codec = pretrained.codec(tokenizer, model, chats=True)
    pad = tokenizer.pad_token_id
    filler = pad if pad is not None else min(codec.ends, default=0)
    reads = int(getattr(described, "max_position_embeddings", None) or CONTEXT)
    engine = TransformersEngine(model, filler, left=True, rows=ROWS[on.type])
    return LocalGenerator(config, codec, engine, min(reads, config.context_tokens or reads))
