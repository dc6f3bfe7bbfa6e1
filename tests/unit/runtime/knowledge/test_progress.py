"""What an ingestion shows: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import threading

import pytest

from agent_runtime.knowledge import progress as module
from agent_runtime.knowledge.progress import progress
from agent_runtime.knowledge.quiet import NICE, quiet_thread


def test_a_log_gets_a_line_in_five_seconds_and_one_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with progress() as shown:
        for done in range(1, 101):
            now += 0.11
            shown(done, 100, done * 3)
    assert capsys.readouterr().err.splitlines() == [
        "indexed 46 of 100 documents, 138 chunks, 9.1 documents/s, about 6 s left",
        "indexed 92 of 100 documents, 276 chunks, 9.1 documents/s, about 1 s left",
        "indexed 100 of 100 documents, 300 chunks, 9.1 documents/s",
    ]


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress() as shown:
        shown(1, 4, 10)
        shown(4, 4, 40)
    written = capsys.readouterr().err
    assert "4/4" in written
    assert "40 chunks" in written


def test_a_quiet_thread_gives_way() -> None:
    with quiet_thread() as executor:

        def priority() -> int:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        assert executor.submit(priority).result() >= NICE
        assert priority() <= executor.submit(priority).result()
