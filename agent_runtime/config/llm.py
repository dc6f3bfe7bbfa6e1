"""What writes the answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent_runtime.config.base import ConfigModel, EnvName, HttpUrl


class SamplingConfig(ConfigModel):
    """How a generator chooses its words. A request may ask for other values."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0 always takes the likeliest word."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the probability that words are drawn from."""

    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 512
    """Longest answer, in tokens."""

    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=4)
    ] = ()
    """Strings that end the answer."""


class LLMConfig(ConfigModel):
    """What writes the answer."""

    model: Annotated[
        str,
        Field(
            pattern=r"^(extractive|(huggingface|hf-inference|openai)/\S+)$",
            max_length=200,
        ),
    ] = "extractive"
    """`extractive` answers with the sentences of the retrieved passages that match the question
    best, quoted and cited, and says so when nothing matches; it needs no download.
    `huggingface/ORG/NAME` runs in the pod: CTranslate2 in int8 where the image holds it converted,
    else transformers. `hf-inference/ORG/NAME` asks Hugging Face's Inference Providers or the
    endpoint at `baseURL`. `openai/NAME` asks any server with OpenAI's API at `baseURL`, such as
    vLLM or TGI."""

    base_url: HttpUrl | None = None
    """Where a remote model is served; for `openai/NAME` up to and with `/v1`. Absent: OpenAI's or
    Hugging Face's own."""

    api_key_env: EnvName | None = None
    """Environment variable with the key for a remote model."""

    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long the whole generation may take, in seconds."""

    functions: Literal["auto", "native", "routed"] = "auto"
    """How the model calls tools. `native`: by function calling of its own. `routed`: tools are
    chosen by the meaning of the question and their arguments taken from it, for models that cannot
    write JSON. `auto`: native where the model's chat template or API has it."""

    context_tokens: Annotated[int, Field(ge=128, le=10_000_000)] | None = None
    """Most tokens that the model reads and writes. Absent: what the model says, 8192 for a remote
    one."""

    sampling: SamplingConfig = SamplingConfig()
    """How words are chosen; without meaning for `extractive`."""

    system_prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    """Instructions for a chat model. Absent: to answer from the passages, to cite them, and to say
    so where they hold no answer."""

    prompt_template: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    """The question as the model gets it, with `{context}` for the passages, `{question}`, and
    `{history}` for the turns before. Absent: one that suits the kind of model."""

    max_sentences: Annotated[int, Field(ge=1, le=10)] = 3
    """Most sentences in an answer of `extractive`."""

    min_score: Annotated[float, Field(ge=0, le=1)] = 0.35
    """Lowest match between the question and a sentence (0 to 1) that counts as an answer of
    `extractive`."""

    no_answer: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Reply when there is no answer. Absent: a sentence in the language of the question."""

    @model_validator(mode="after")
    def _template_has_places(self) -> LLMConfig:
        template = self.prompt_template
        if template is not None and "{question}" not in template:
            raise ValueError("promptTemplate: {question} has to stand in it")
        return self
