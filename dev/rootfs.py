"""The root file system of the base image: a minimal Debian, as slim as Debian's own slim image."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from dev import mounts
from dev.commands import CommandRunner, output, succeeds
from dev.lock import locked
from dev.settings import DEBIAN_RELEASE, Paths, go_architecture

INCLUDE = "ca-certificates"  # so that no later build writes to a bundle that the host mounts there
EMPTIED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "tmp", "run")
REMOVED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
)
FILES = {
    # Packages that an image adds come without their documentation too.
    "etc/dpkg/dpkg.cfg.d/slim": "".join(f"path-exclude /{folder}/*\n" for folder in REMOVED),
    "etc/apt/apt.conf.d/slim": (
        'APT::Install-Recommends "false";\n'
        'Acquire::Languages "none";\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    ),
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
}


def recipe_digest() -> str:
    recipe = repr((DEBIAN_RELEASE, go_architecture(), INCLUDE, EMPTIED, REMOVED, FILES))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def archive_path(paths: Paths) -> Path:
    return paths.rootfs / f"{DEBIAN_RELEASE}-{recipe_digest()}.tar"


def ensure(paths: Paths, runner: CommandRunner) -> str:
    archive = archive_path(paths)
    if archive.exists():
        return "reused"
    with locked(paths.rootfs_lock):
        if not archive.exists():
            _make(archive, paths, runner)
    return f"made, {archive.stat().st_size // 10**6} MB,"


def _make(archive: Path, paths: Paths, runner: CommandRunner) -> None:
    remove_leftovers(paths)
    log = paths.build_logs / "rootfs.log"
    scratch = Path(tempfile.mkdtemp(dir=paths.rootfs, prefix=".new-"))
    root, packed = scratch / "root", scratch / "rootfs.tar"
    try:
        # fmt: off
        runner.run(
            [
                "debootstrap", "--variant=minbase", f"--include={INCLUDE}",
                DEBIAN_RELEASE, root, *sources().get(DEBIAN_RELEASE, [])[:1],
            ],
            log,
        )
        slim(root)
        runner.run(["tar", "--numeric-owner", "--sort=name", "-C", root, "-cf", packed, "."], log)
        # fmt: on
        packed.rename(archive)
    finally:
        remove_leftovers(paths)


def sources() -> dict[str, list[str]]:
    """The mirrors from which the host's apt gets each suite of this release. None for a suite:
    debootstrap has a default of its own."""
    lines = output(["apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(SITE)"])
    found: dict[str, list[str]] = {}
    for codename, component, site in (line.split() for line in sorted(set(lines.splitlines()))):
        if codename.startswith(DEBIAN_RELEASE) and component == "main":
            found.setdefault(codename, []).append(site)
    return found


def sources_list() -> str:
    """Security updates and all, for the packages that images add."""
    suites = sources().items()
    return "".join(f"deb {site} {suite} main\n" for suite, mirrors in suites for site in mirrors)


def slim(root: Path) -> None:
    mounts.unmount_below(root)
    for folder in EMPTIED:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for folder in REMOVED:
        shutil.rmtree(root / folder, ignore_errors=True)
    for name, text in FILES.items():
        (root / name).write_text(text)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    if listed := sources_list():
        (root / "etc/apt/sources.list").write_text(listed)
    for name in ("etc/resolv.conf", "etc/hostname"):  # the build machine's, copied by debootstrap
        (root / name).unlink(missing_ok=True)


def remove_leftovers(paths: Paths) -> None:
    """Of runs that were killed, debootstrap having mounted /proc and /sys into what it built. The
    lock is held."""
    for folder in paths.rootfs.glob(".new-*"):
        mounts.unmount_below(folder)
        if not os.path.ismount(folder):
            succeeds(["rm", "-rf", "--one-file-system", folder])
