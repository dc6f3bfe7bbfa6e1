"""A pinned uv in the cache: it makes the project's Python environments."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from dev import debian
from dev.commands import CommandRunner
from dev.golang import SYSTEM_PYTHON, venv_available
from dev.settings import UV_VERSION, Paths


def ensure(paths: Paths) -> Path:
    """The `uv` command."""
    home = paths.cache / "toolchain" / f"uv-{UV_VERSION}"
    uv = home / "bin" / "uv"
    if uv.exists():
        return uv
    home.parent.mkdir(parents=True, exist_ok=True)
    runner = CommandRunner()
    log = paths.build_logs / "uv.log"
    if not venv_available():
        debian.ensure_packages(runner, log, lambda text: print(text, file=sys.stderr))
    python = sys.executable if venv_available() else SYSTEM_PYTHON
    print(f"uv {UV_VERSION}: installing", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as scratch:
        venv, target = Path(scratch) / "venv", Path(scratch) / "uv"
        runner.run([python, "-m", "venv", venv], log)
        requirement = f"uv=={UV_VERSION}"
        runner.run([venv / "bin" / "pip", "install", "--target", target, requirement], log)
        if not home.exists():
            target.rename(home)
    return uv


def print_path(_: argparse.Namespace, paths: Paths) -> int:
    print(ensure(paths))
    return 0
