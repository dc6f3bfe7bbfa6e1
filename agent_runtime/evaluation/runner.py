"""Asks a set of questions and judges the replies. Whom it asks is a function's business."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from agent_runtime.domain import Turn
from agent_runtime.errors import AgentError
from agent_runtime.evaluation.judging import Judged, Observed, failed, judge
from agent_runtime.evaluation.questions import Question

Ask = Callable[[str, Sequence[Turn]], Awaitable[Observed]]
"""Ask a question after the turns before it. Raises AgentError where there is no reply."""
Progress = Callable[[int, int], None]
"""Called with how many questions of how many are answered."""


async def run(
    questions: Sequence[Question],
    ask: Ask,
    concurrency: int = 1,
    progress: Progress | None = None,
) -> list[Judged]:
    """Ask all questions and return what became of each, in their order.

    One at a time by default, so that the times are those of a single user. A question without a
    reply is judged as wrong; it does not stop the others.
    """
    forbidden = {text for question in questions for text in question.forbidden}
    places = asyncio.Semaphore(concurrency)
    done = 0

    async def one(question: Question) -> Judged:
        nonlocal done
        async with places:
            started = time.perf_counter()
            try:
                observed = await ask(question.question, question.history)
            except AgentError as error:
                result = failed(question, str(error), time.perf_counter() - started)
            else:
                taken = time.perf_counter() - started
                seconds = taken if observed.seconds is None else observed.seconds
                result = judge(question, observed, seconds, forbidden)
        done += 1
        if progress:
            progress(done, len(questions))
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(question)) for question in questions]
    return [task.result() for task in tasks]
