"""A T5 of flan-t5-large's shape: the agent's generators against `transformers.generate`.

`python -m bench.t5` makes the model with random weights, converts it once into a cache folder, and
asks both sides for 32 tokens after 512, one request at a time and with clients that ask at once.
Nobody stops early: the weights never prefer the end. On a CPU the agent runs CTranslate2 in int8,
with `--device cuda` its batches on torch in bfloat16; `generate` answers one request after another,
as a server does that puts a lock around it, in float32 on a CPU and in bfloat16 on a GPU. The sides
take turns, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

from agent_runtime.config.llm import LLMConfig
from agent_runtime.domain import Prompt, Question, Sampling
from agent_runtime.models.convert_generator import convert_generator
from agent_runtime.models.generators import load
from agent_runtime.settings import cpus

READ, WRITTEN = 512, 32
NAME = "bench/t5-large"
SHAPES = {
    # d_model, d_ff, layers of encoder and decoder each, heads
    "large": (1024, 2816, 24, 16),
    "small": (512, 1024, 8, 6),
}
VOCABULARY = 32_128
RESULTS = Path(__file__).with_name("results")

Ask = Callable[[int], Awaitable[int]]
"""Answers the request of this number; returns the tokens that were written."""


@dataclass
class Measured:
    """Latencies in seconds, and what was written in how long."""

    latencies: list[float] = field(default_factory=list[float])
    tokens: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of all threads: what a busy machine changes least."""

    def row(self) -> str:
        p50, p95 = np.percentile(self.latencies, [50, 95])
        cpu = self.cpu / len(self.latencies)
        return f"{p50:,.2f} s | {p95:,.2f} s | {_rate(self):,.1f} | {cpu:,.2f} s"


def text(number: int) -> str:
    """A request of exactly 512 tokens with the end, another one for each number."""
    return " ".join(f"w{(number * 7919 + at * 31) % 30_000}" for at in range(READ - 1))


def made(shape: str, folder: Path) -> None:
    """Write the model with random weights, the same each time."""
    d_model, d_ff, layers, heads = SHAPES[shape]
    torch.manual_seed(0)
    options: dict[str, Any] = {"tie_word_embeddings": False, "decoder_start_token_id": 0}
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY, d_model=d_model, d_ff=d_ff, d_kv=64, num_layers=layers,
            num_decoder_layers=layers, num_heads=heads, feed_forward_proj="gated-gelu", **options,
        )
    )  # fmt: skip
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.05)
        model.lm_head.weight[[0, 1, 2]] = 0
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -20.0)]
    pieces += [(f"▁w{at}", -10.0) for at in range(30_000)]
    pieces += [(f"x{at}", -15.0) for at in range(VOCABULARY - 100 - len(pieces))]
    pieces += [(f"<extra_id_{at}>", 0.0) for at in range(99, -1, -1)]
    model.save_pretrained(folder)
    T5Tokenizer(vocab=pieces).save_pretrained(folder)


def prepared(shape: str, cache: Path, format: str) -> Path:
    """Return a models folder with the model in a format, made once."""
    models = cache / f"t5-{shape}-{format}"
    if not (models / NAME / "model.json").exists():
        source = cache / f"t5-{shape}-source"
        made(shape, source)
        convert_generator(str(source), NAME, models / NAME, format, ())
        shutil.rmtree(source)
    return models


async def agent(models: Path) -> Ask:
    """The agent's generator, as `serve` runs it."""
    config = LLMConfig(model=f"huggingface/{NAME}", timeout_seconds=600)
    generator = load(config, models, None)
    await generator.warm_up()

    async def ask(number: int) -> int:
        asked = text(number)
        prompt = Prompt(
            "", (), asked, Question(asked, asked, "en"), None,
            sampling=Sampling(max_tokens=WRITTEN),
        )  # fmt: skip
        finish: Any = None
        async for event in generator.generate(prompt):
            finish = event
        assert finish.usage.prompt_tokens == READ, finish
        return finish.usage.completion_tokens

    return ask


async def plain(models: Path, device: str) -> Ask:
    """`transformers.generate`, one request after another."""
    torch.set_num_threads(cpus())
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model: Any = T5ForConditionalGeneration.from_pretrained(models / NAME, dtype=dtype)
    model = model.to(device).eval()
    tokenizer: Any = T5Tokenizer.from_pretrained(models / NAME)
    lock = asyncio.Lock()

    def generate(number: int) -> int:
        ids = tokenizer(text(number), return_tensors="pt").input_ids.to(device)
        assert ids.shape[1] == READ
        with torch.inference_mode():
            output = model.generate(ids, do_sample=False, max_new_tokens=WRITTEN)
        tokenizer.decode(output[0])
        return output.shape[1] - 1

    async def ask(number: int) -> int:
        async with lock:
            return await asyncio.to_thread(generate, number)

    return ask


async def measure(ask: Ask, into: Measured, clients: int, each: int, start: int) -> None:
    """Let clients ask, each again as soon as it has its answer."""

    async def client(number: int) -> None:
        for at in range(each):
            began = time.perf_counter()
            written = await ask(start + number * each + at)
            into.tokens += written
            into.latencies.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(number) for number in range(clients)))
    into.seconds += time.perf_counter() - began
    into.cpu += time.process_time() - cpu


async def compare(arguments: argparse.Namespace) -> str:
    device = arguments.device
    format = "transformers" if device == "cuda" else "ctranslate2"
    shape, cache = arguments.shape, arguments.cache
    ours = "agent, torch bf16" if device == "cuda" else "agent, CTranslate2 int8"
    theirs = f"generate, {'bf16' if device == 'cuda' else 'float32'}"
    asks = {
        theirs: await plain(prepared(shape, cache, "transformers"), device),
        ours: await agent(prepared(shape, cache, format)),
    }
    for ask in asks.values():
        await measure(ask, Measured(), 1, 1, 999)
    loads = (1, arguments.clients)
    measured = {(side, clients): Measured() for clients in loads for side in asks}
    loads_before = os.getloadavg()[0]
    for turn in range(arguments.rounds):
        for (side, clients), into in measured.items():
            await measure(asks[side], into, clients, arguments.each, turn * 1000)
    for into in measured.values():
        assert into.tokens == WRITTEN * len(into.latencies), "somebody stopped early"
    rows = [f"| {side} | {clients} | {into.row()} |" for (side, clients), into in measured.items()]
    gains = [
        f"{_rate(measured[ours, clients]) / _rate(measured[theirs, clients]):.1f}× with {clients}"
        for clients in loads
    ]
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "transformers", "ctranslate2")
    )
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{cpus()} cores, {_cpu()}"
    return "\n".join(
        [
            f"# A T5 of flan-t5-{shape}'s shape: {READ} tokens in, {WRITTEN} out",
            "",
            f"{date.today()}, `python -m bench.t5 --device {device} --shape {shape} --clients "
            f"{arguments.clients} --each {arguments.each} --rounds {arguments.rounds}`.",
            f"{platform.machine()}, {machine}, load average {loads_before:.1f} before the first "
            f"request, {os.getloadavg()[0]:.1f} after the last.",
            f"Python {platform.python_version()}, {packages}. Random weights.",
            "",
            "| Generator | Requests at once | P50 | P95 | Tokens/s | CPU time of a request |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Tokens a second against `generate`: {', '.join(gains)} at once.",
            "",
        ]
    )


def _rate(measured: Measured) -> float:
    return measured.tokens / measured.seconds


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="large")
    parser.add_argument("--clients", type=int, default=4, help="that ask at once")
    parser.add_argument("--each", type=int, default=2, help="requests of a client in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=None, help="unless bench/results/…")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chatagent" / "bench"
    parser.add_argument("--cache", type=Path, default=cache)
    arguments = parser.parse_args()
    report = asyncio.run(compare(arguments))
    print(report)
    device = "" if arguments.device == "cpu" else f"-{arguments.device}"
    output = arguments.output or RESULTS / f"t5{device}-{date.today()}.md"
    output.write_text(report)


if __name__ == "__main__":
    main()
