"""Requests made from the OpenAPI document, right ones and wrong ones: never a fault of our own.

One worker makes them: hypothesis parses the source of lambdas to describe its strategies, and
before CPython 3.11.8 `ast.parse` in two threads at once may raise a SystemError ("AST constructor
recursion depth mismatch", gh-106905), which is told as a case that fails and then does not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from tests.contract.runtime.processes import REPOSITORY, Agent

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)


def test_what_the_document_allows_or_not_is_never_a_5xx(quickstart: Agent, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")), "run",
            f"{quickstart.base}/openapi.json", "--phases", "coverage,fuzzing",
            "--max-examples", "8", "--checks", CHECKS, "--workers", "1", "--seed", "1",
            "--generation-database", "none",
        ],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
            "SCHEMATHESIS_HOOKS": "tests.contract.runtime.http.hooks",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    metrics = httpx.get(f"{quickstart.base}/metrics").text
    assert 'reason="InternalError"' not in metrics
