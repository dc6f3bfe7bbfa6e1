"""Generators: models that write the reply, in this process or behind a URL."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from agent_runtime.config.llm import LLMConfig
from agent_runtime.errors import InvalidConfigError, ModelNotFoundError
from agent_runtime.models import catalogue
from agent_runtime.ports import Generator


def load(config: LLMConfig, models: Path, environ_key: str | None) -> Generator:
    """Load or connect the generator that `llm.model` names; not for `extractive`.

    Args:
        config: the agent's `llm`.
        models: an image's models folder.
        environ_key: the value of the variable that `llm.apiKeyEnv` names, if any.

    Raises:
        ModelNotFoundError: neither the image nor the Hub or its cache holds the model.
        InvalidConfigError: the image cannot run it, or it lacks what the configuration asks for.
    """
    if config.api_key_env and not environ_key:
        raise InvalidConfigError(
            f"pipeline.llm.apiKeyEnv: the variable {config.api_key_env} is not set"
        )
    generator = _load(config, models, environ_key)
    if config.functions == "native" and not generator.calls_tools:
        raise InvalidConfigError(
            f"pipeline.llm.functions: {config.model!r} has no function calling of its own"
        )
    return generator


def _load(config: LLMConfig, models: Path, key: str | None) -> Generator:
    kind, _, name = config.model.partition("/")
    if kind == "openai":
        from agent_runtime.models.generators.openai import OpenAIGenerator

        return OpenAIGenerator(config, key)
    if kind == "hf-inference":
        from agent_runtime.models.generators.hf_inference import HFInferenceGenerator

        return HFInferenceGenerator(config, key)
    if kind == "huggingface":
        return _in_process(config, models, name)
    raise InvalidConfigError(f"pipeline.llm.model: {config.model!r} is no model to load")


def _in_process(config: LLMConfig, models: Path, name: str) -> Generator:
    source: Path | str = name
    if name in catalogue.names(models):
        source, manifest = catalogue.find_generator(models, name)
        if manifest.format == "ctranslate2":
            from agent_runtime.models.generators import ctranslate2

            return ctranslate2.load(config, source, manifest)
    if importlib.util.find_spec("torch") is None:
        has = ", ".join(catalogue.names(models)) or "none"
        raise ModelNotFoundError(
            f"pipeline.llm.model: {name!r} is not in this image, which has no torch to run models "
            f"in other formats than ctranslate2; it has: {has}"
        )
    from agent_runtime.models.generators import (
        pretrained,
        transformers_causal,
        transformers_seq2seq,
    )

    described = pretrained.configuration(source)
    module = transformers_seq2seq if described.is_encoder_decoder else transformers_causal
    return module.load(config, source, described)
