"""An encoder-decoder on torch, such as flan-t5: a text in, a text out."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoModelForSeq2SeqLM, PretrainedConfig

from agent_runtime.config.llm import LLMConfig
from agent_runtime.models.generators import pretrained
from agent_runtime.models.generators.local import LocalGenerator
from agent_runtime.models.generators.reading import Reading
from agent_runtime.models.generators.rows import TransformersEngine, device, dtype

ROWS = {"cuda": 32, "cpu": 8}


def load(config: LLMConfig, source: Path | str, described: PretrainedConfig) -> LocalGenerator:
    """Load weights and tokenizer. Raises ModelNotFoundError or InvalidConfigError."""
    tokenizer = pretrained.tokenizer(source)
    on = device()
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(str(source), dtype=dtype(on), device_map=on)
    except (OSError, ValueError) as error:
        raise pretrained.not_found(source, error) from error
    codec = pretrained.codec(tokenizer, model, chats=False)
    reading = Reading.of(described.to_dict())
    engine = TransformersEngine(model, tokenizer.pad_token_id or 0, left=False, rows=ROWS[on.type])
    return reading.generator(config, codec, engine)
