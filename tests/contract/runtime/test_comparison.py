"""`agent-runtime evaluate --baseline`: two real agents, and what becomes of broken ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatagent_operator.api.rollout import Evaluation
from chatagent_operator.core.judging.quality import Summary, compute_shares, judge
from chatagent_operator.core.judging.report import build_report_text
from tests.contract.runtime.processes import (
    DEADLINE,
    KNOWLEDGE,
    REPOSITORY,
    Agent,
    Chroma,
    Ingestion,
    agent_runtime,
)
from tests.ports import free_port

LIMITS = Evaluation.model_validate({"configMap": {"name": "questions"}})


class Run:
    """One run of the command: exit code, last words, output."""

    def __init__(self, folder: Path, new: str, baseline: str, questions: Path) -> None:
        words = folder / "termination.json"
        self.file = folder / "report.jsonl"
        flags = ["--url", new, "--baseline", baseline, "--questions", str(questions)]
        done = subprocess.run(
            agent_runtime("evaluate", *flags, "--concurrency", "2", "--report", str(self.file)),
            cwd=REPOSITORY,
            env={"AGENT_TERMINATION_LOG": str(words), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        self.code = done.returncode
        self.output = done.stdout
        self.errors = done.stderr
        self.message: dict[str, Any] = json.loads(words.read_text())
        self.size = words.stat().st_size


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fifth of the quickstart's, as lines of JSON."""
    listed = yaml.safe_load((KNOWLEDGE.parent / "questions.yaml").read_text("utf-8"))["questions"]
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in listed[::5]))
    return path


@pytest.fixture(scope="module")
def poor(chroma: Chroma, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent that has a third of the documents."""
    folder = tmp_path_factory.mktemp("poor")
    source = folder / "knowledge"
    source.mkdir()
    for each in sorted(KNOWLEDGE.iterdir())[::3]:
        shutil.copy(each, source)
    Ingestion(folder, models, chroma.url("poor"), source).run()
    agent = Agent(folder, models, chroma.url("poor"))
    agent.start()
    agent.becomes(ready=True)
    yield agent
    agent.stop()


class _Broken(BaseHTTPRequestHandler):
    def answer(self) -> None:
        body = b'{"error": {"message": "the model is gone"}}'
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(500)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    do_GET = do_POST = answer  # noqa: N815  the base class has it so


@pytest.fixture(scope="module")
def broken() -> Iterator[str]:
    """A server that answers everything with 500."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_agent_is_as_good_as_itself(tmp_path: Path, quickstart: Agent, questions: Path) -> None:
    run = Run(tmp_path, quickstart.base, quickstart.base, questions)
    assert run.code == 0, run.errors
    found = Summary.model_validate(run.message)
    assert found.worse == []
    verdict, message = judge(found.measures, LIMITS)
    assert verdict == "Succeeded", message
    ours, theirs = compute_shares(found.measures)
    assert ours == theirs
    assert None not in ours.model_dump().values()


def test_one_that_lacks_documents_is_found_out(
    tmp_path: Path, quickstart: Agent, poor: Agent, questions: Path
) -> None:
    run = Run(tmp_path, poor.base, quickstart.base, questions)
    assert run.code == 0, run.errors
    assert run.size <= 4096
    found = Summary.model_validate(run.message)
    verdict, message = judge(found.measures, LIMITS)
    assert verdict == "Failed"
    assert "retrieval hits" in message
    assert found.measures.retrieval_hits.lost > 10
    kept = json.loads(build_report_text(run.output) or "")
    assert kept["summary"]["questions"] == len(kept["changed"]) + len(kept["same"])
    assert "retrievalHits" in kept["changed"][0]["lost"]
    assert json.loads(build_report_text(run.file.read_text("utf-8")) or "") == kept


def test_errors_of_the_new_agent_are_wrong_answers(
    tmp_path: Path, quickstart: Agent, broken: str, questions: Path
) -> None:
    run = Run(tmp_path, broken, quickstart.base, questions)
    assert run.code == 0, run.errors
    found = Summary.model_validate(run.message)
    assert found.failed.new == found.questions
    assert "500: " in (found.error or "")
    assert judge(found.measures, LIMITS)[0] == "Failed"


def test_a_baseline_that_answers_nothing_is_no_measure(
    tmp_path: Path, quickstart: Agent, broken: str, questions: Path
) -> None:
    run = Run(tmp_path, quickstart.base, broken, questions)
    assert (run.code, run.message["reason"]) == (5, "NoReplies")
    assert broken in run.message["message"]


@pytest.mark.parametrize("away", ["new", "baseline"])
def test_an_agent_that_is_not_there_is_named(
    tmp_path: Path, quickstart: Agent, questions: Path, away: str
) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    both = (gone, quickstart.base) if away == "new" else (quickstart.base, gone)
    run = Run(tmp_path, *both, questions)
    assert (run.code, run.message["reason"]) == (4, "Unavailable")
    assert gone in run.message["message"]
    assert gone in run.errors


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a list of at least one question"),
        ('{"id": "x"}\n', "questions.jsonl:1: questions[0] (x): lang: Field required"),
        ("\n{oops\n", "questions.jsonl:2: questions[0]: it is not JSON"),
        (None, "questions.jsonl: No such file"),
    ],
)
def test_a_broken_set_is_named_and_nobody_is_asked(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "questions.jsonl"
    if text is not None:
        path.write_text(text)
    gone = f"http://127.0.0.1:{free_port()}"
    run = Run(tmp_path, gone, gone, path)
    assert (run.code, run.message["reason"]) == (3, "InvalidQuestions")
    assert said in run.message["message"]
    assert said in run.errors


def test_flags_that_do_not_go_together_are_refused(tmp_path: Path, questions: Path) -> None:
    flags = ["--baseline", "http://127.0.0.1:1", "--questions", str(questions)]
    done = subprocess.run(
        agent_runtime("evaluate", *flags),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    assert "--baseline: it is compared with --url" in done.stderr
