"""Engines on transformers: a padded batch through `generate`, each row with its own end."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from agent_runtime.models import torch_threads
from agent_runtime.models.generators.batches import Job
from agent_runtime.settings import cpus


def device() -> torch.device:
    """Return the GPU where there is one, else the CPUs."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype(on: torch.device) -> torch.dtype:
    """Return what weights are loaded in: T5 overflows in float16, and bfloat16 is slow on CPUs."""
    return torch.bfloat16 if on.type == "cuda" else torch.float32


class _Delivery(StoppingCriteria):
    """Hands the newest token of each row to its job, and stops the rows whose jobs are over."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.BoolTensor:
        newest = input_ids[:, -1].tolist()
        over = [job.put(token) for job, token in zip(self._jobs, newest, strict=True)]
        return torch.tensor(over, dtype=torch.bool, device=input_ids.device)  # pyright: ignore[reportReturnType]  # a BoolTensor by its dtype


class TransformersEngine:
    """Runs a model of transformers, encoder-decoder or decoder."""

    spread = None

    def __init__(self, model: PreTrainedModel, pad: int, left: bool, rows: int) -> None:
        """
        Args:
            model: loaded, on its device.
            pad: the token that fills rows up.
            left: whether it stands before the prompt, as decoders need it, or after it.
            rows: most jobs in a batch.
        """
        self._model, self._pad, self._left = model.eval(), pad, left
        self.rows = rows
        devices = {each.device for each in model.parameters()}
        self.gpus = sum(device.type == "cuda" for device in devices)

    def run(self, jobs: Sequence[Job]) -> None:
        longest = max(len(job.ids) for job in jobs)
        ids, mask = zip(*(self._padded(job.ids, longest) for job in jobs), strict=True)
        on = self._model.device
        torch_threads.use(cpus())
        with torch.inference_mode():
            self._model.generate(  # pyright: ignore[reportCallIssue]  # typed for tensors as self
                torch.tensor(ids, device=on),
                attention_mask=torch.tensor(mask, device=on),
                generation_config=self._config(jobs),
                stopping_criteria=StoppingCriteriaList([_Delivery(jobs)]),
            )

    def _padded(self, ids: Sequence[int], longest: int) -> tuple[list[int], list[int]]:
        fill = longest - len(ids)
        pad, empty = [self._pad] * fill, [0] * fill
        own, full = list(ids), [1] * len(ids)
        return (pad + own, empty + full) if self._left else (own + pad, full + empty)

    def _config(self, jobs: Sequence[Job]) -> GenerationConfig:
        temperature, top_p = jobs[0].sampling
        config = copy.deepcopy(self._model.generation_config) or GenerationConfig()
        sampled = temperature > 0
        config.update(
            max_length=None,
            max_new_tokens=max(job.max_tokens for job in jobs),
            num_beams=1,
            do_sample=sampled,
            temperature=temperature if sampled else None,
            top_p=top_p if sampled else None,
            top_k=0 if sampled else None,
            pad_token_id=self._pad,
            eos_token_id=sorted(jobs[0].ends) or None,
        )
        return config
