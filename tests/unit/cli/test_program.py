"""The program: one line for each error, no traceback, and the exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chatagent_operator.cli import program
from chatagent_operator.cli.errors import CommandError
from chatagent_operator.kube.errors import ApiError, RejectedError


def run(monkeypatch: pytest.MonkeyPatch, *line: str) -> object:
    """Run the program and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["kubectl-chatagent", *line])
    with pytest.raises(SystemExit) as ended:
        program.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (KeyboardInterrupt(), ["status", "shop", "--watch"], 130),
        (KeyboardInterrupt(), ["get", "shop", "--watch"], 0),
        (RejectedError(403, "you may not"), ["status", "shop"], 1),
        (ApiError(0, "no route"), ["status", "shop"], 3),
        (ApiError(429, "too many requests"), ["status", "shop"], 3),
        (CommandError("it was deleted", 4), ["status", "shop"], 4),
    ],
)
def test_exit_codes(
    error: BaseException,
    line: list[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(program, "_run", fail)
    assert run(monkeypatch, *line) == code
    said = capsys.readouterr().err
    assert said.count("\n") == (0 if isinstance(error, KeyboardInterrupt) else 1)


@pytest.mark.parametrize("text", ["", "words", "a: [b", "clusters: []\ncurrent-context: a\n"])
def test_a_kubeconfig_that_cannot_be_used(
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8")
    assert run(monkeypatch, "--kubeconfig", str(path), "get") == 3
    said = capsys.readouterr().err
    assert said.startswith("error: the kubeconfig cannot be used: ")
    assert said.count("\n") == 1
    path.unlink()
    assert run(monkeypatch, "--kubeconfig", str(path), "get") == 3
    assert capsys.readouterr().err == f"error: the kubeconfig '{path}' does not exist\n"
