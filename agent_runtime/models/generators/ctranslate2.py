"""A model converted by `agent-runtime convert --format ctranslate2`: int8, for CPUs, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctranslate2

from agent_runtime.config.llm import LLMConfig
from agent_runtime.errors import InvalidConfigError
from agent_runtime.models.catalogue import GeneratorManifest
from agent_runtime.models.generators import templates
from agent_runtime.models.generators.batches import Job
from agent_runtime.models.generators.codec import Codec
from agent_runtime.models.generators.local import LocalGenerator
from agent_runtime.models.generators.reading import Reading
from agent_runtime.settings import cpus

ROWS = 8
SPREAD = 16
"""A decoder steps through what a prompt is longer than the shortest of its batch."""


def load(config: LLMConfig, folder: Path, manifest: GeneratorManifest) -> LocalGenerator:
    """Load a converted model. Raises InvalidConfigError."""
    encodes = manifest.architecture == "seq2seq"
    codec = templates.codec(folder, frozenset(manifest.ends), chats=not encodes)
    kind = ctranslate2.Translator if encodes else ctranslate2.Generator
    computed = "int8" if manifest.quantization == "int8" else "float32"
    try:
        model = kind(str(folder), device="cpu", compute_type=computed, intra_threads=cpus())
    except (RuntimeError, ValueError) as error:
        raise InvalidConfigError(f"{folder} cannot be loaded: {error}") from error
    if encodes:
        reading = Reading(manifest.max_tokens, manifest.relative)
        return reading.generator(config, codec, Translating(model, codec))
    reads = min(manifest.max_tokens, config.context_tokens or manifest.max_tokens)
    return LocalGenerator(config, codec, Continuing(model, codec), reads)


class Translating:
    """Runs an encoder-decoder."""

    rows = ROWS
    gpus = 0
    spread = None

    def __init__(self, model: Any, codec: Codec) -> None:
        self._model, self._codec = model, codec

    def run(self, jobs: Sequence[Job]) -> None:
        self._model.translate_batch(
            [self._codec.tokens(job.ids) for job in jobs],
            beam_size=1,
            max_input_length=0,
            max_decoding_length=max(job.max_tokens for job in jobs),
            callback=_delivering(jobs),
            **_sampling(jobs[0]),
        )


class Continuing:
    """Runs a decoder."""

    rows = ROWS
    gpus = 0
    spread = SPREAD

    def __init__(self, model: Any, codec: Codec) -> None:
        self._model, self._codec = model, codec

    def run(self, jobs: Sequence[Job]) -> None:
        self._model.generate_batch(
            [self._codec.tokens(job.ids) for job in jobs],
            beam_size=1,
            include_prompt_in_result=False,
            max_length=max(job.max_tokens for job in jobs),
            end_token=sorted(jobs[0].ends) or None,
            callback=_delivering(jobs),
            **_sampling(jobs[0]),
        )


def _delivering(jobs: Sequence[Job]) -> Callable[[Any], bool]:
    """Return what hands each token to its job and ends the row with it."""

    def deliver(step: Any) -> bool:
        return jobs[step.batch_id].put(step.token_id)

    return deliver


def _sampling(job: Job) -> dict[str, Any]:
    temperature, top_p = job.sampling
    if temperature == 0:
        return {"sampling_topk": 1}
    return {"sampling_topk": 0, "sampling_topp": top_p, "sampling_temperature": temperature}
