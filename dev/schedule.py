"""Runs tasks in threads as soon as the tasks they need are done, so that waiting overlaps work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from dev.commands import CommandRunner
from dev.errors import DevError
from dev.progress import Progress, duration

Note = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """`run` gets a function for progress notes and returns how it ended, such as "reused"."""

    name: str
    run: Callable[[Note], str]
    after: tuple[str, ...] = ()


def run_tasks(tasks: Sequence[Task], progress: Progress, runner: CommandRunner) -> None:
    """Run all tasks. The first failure or a Ctrl-C ends the commands of the others at once."""
    names = {task.name for task in tasks}
    for task in tasks:
        if unknown := set(task.after) - names:
            raise DevError(f"task {task.name} waits for unknown tasks {sorted(unknown)}")
    waiting = list(tasks)
    done: set[str] = set()
    running: dict[Future[None], Task] = {}
    with ThreadPoolExecutor(max_workers=len(tasks) or 1) as pool:
        try:
            while waiting or running:
                ready = [task for task in waiting if done.issuperset(task.after)]
                if not ready and not running:
                    raise DevError(
                        "tasks wait for each other: " + ", ".join(t.name for t in waiting)
                    )
                for task in ready:
                    waiting.remove(task)
                    running[pool.submit(_run_one, task, progress)] = task
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    task = running.pop(future)
                    future.result()
                    done.add(task.name)
        except BaseException:
            runner.cancel()
            raise


def _run_one(task: Task, progress: Progress) -> None:
    started = time.monotonic()
    result = task.run(lambda text: progress.note(task.name, text))
    took = time.monotonic() - started
    progress.finished(task.name, f"{result} in {duration(took)}" if took >= 1 else result)
