"""Asking an agent a set of questions: in this process, or at a URL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from agent_runtime.config import AgentConfig
from agent_runtime.domain import Answer, Request, Turn
from agent_runtime.errors import NoRepliesError
from agent_runtime.evaluation import questions
from agent_runtime.evaluation.comparison import Pair, pair
from agent_runtime.evaluation.judging import Cited, Observed
from agent_runtime.evaluation.remote import Remote
from agent_runtime.evaluation.report import Report, summarize
from agent_runtime.evaluation.runner import Ask, run
from agent_runtime.settings import Environment
from agent_runtime.wiring.compose import compose
from agent_runtime.wiring.runtime import Runtime


def evaluate(
    asked: Path,
    agent: AgentConfig | str,
    environment: Environment,
    concurrency: int = 1,
    wait: float = 0.0,
) -> Report:
    """Return the report.

    Args:
        asked: YAML file with the questions.
        agent: what to ask: an agent to be put together here, or the URL of one.
        environment: addresses and secrets; AGENT_TOKEN is the bearer token for a URL.
        concurrency: questions at the same time.
        wait: seconds for an agent at a URL to be there at all.

    Raises:
        InvalidConfigError: the set is empty or broken.
        AgentError: the agent does not start.
    """
    listed = questions.load(asked)

    async def work() -> Report:
        async with AsyncExitStack() as stack:
            if isinstance(agent, str):
                token = environment.variables.get("AGENT_TOKEN")
                ask: Ask = await stack.enter_async_context(Remote(agent, token, wait=wait))
            else:
                runtime = compose(agent, environment)
                stack.push_async_callback(runtime.stop)
                await runtime.start()
                runtime.ready()
                ask = asking(runtime)
            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task("asking", total=len(listed))
                judged = await run(
                    listed, ask, concurrency, lambda done, _: bar.update(task, completed=done)
                )
            return summarize(judged)

    return asyncio.run(work())


def compare(
    asked: Path,
    new: str,
    baseline: str,
    environment: Environment,
    concurrency: int = 1,
    wait: float = 0.0,
) -> list[Pair]:
    """Ask two agents that are served the same questions, both at the same time.

    Args:
        asked: file with the questions.
        new: URL of the agent that is judged.
        baseline: URL of the one that it is judged beside.
        environment: AGENT_TOKEN is the bearer token for both.
        concurrency: questions at the same time, at each.
        wait: seconds for each to be there at all.

    Raises:
        InvalidQuestionsError: the set is empty or broken.
        UnavailableError: one of them is not there.
        NoRepliesError: the baseline answers every question with an error.
    """
    listed = questions.load(asked)
    token = environment.variables.get("AGENT_TOKEN")

    async def work() -> list[Pair]:
        async with (
            Remote(new, token, wait=wait) as ours,
            Remote(baseline, token, wait=wait) as theirs,
        ):
            both = await asyncio.gather(
                run(listed, ours, concurrency), run(listed, theirs, concurrency)
            )
        errors = [each.error for each in both[1] if each.error]
        if len(errors) == len(listed):
            raise NoRepliesError(f"{baseline} answers no question: {errors[0]}")
        return pair(*both)

    return asyncio.run(work())


def asking(runtime: Runtime) -> Ask:
    """Return what asks an agent of this process."""

    async def ask(question: str, history: Sequence[Turn]) -> Observed:
        request = Request((*history, Turn("user", question)), f"evaluation-{uuid.uuid4()}")
        return observed(await (await runtime.pipeline.respond(request)).whole())

    return ask


def observed(answer: Answer) -> Observed:
    """Return an answer as it is judged."""
    cited = [
        Cited(_file(each.chunk.key.path), each.quote, each.chunk.text) for each in answer.citations
    ]
    found = answer.evidence.passages if answer.evidence else ()
    retrieved = tuple(_file(each.indexed.chunk.key.path) for each in found)
    return Observed(answer.text, tuple(cited), retrieved)


def _file(path: str) -> str:
    return path.rsplit("/", 1)[-1]
