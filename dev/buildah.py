"""Builds images with buildah, in storage of its own below the cache."""

from __future__ import annotations

import configparser
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev import mounts
from dev.commands import Argument, CommandRunner, output
from dev.processes import BOOT_ID
from dev.settings import Paths

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries")


def buildah(paths: Paths) -> list[Argument]:
    # What the run folder says of mounts is true until the next boot only.
    run = paths.image_storage / f"run-{BOOT_ID.read_text()[:8]}"
    # fmt: off
    return [
        "buildah", "--storage-driver", "overlay",
        "--root", paths.image_storage / "storage", "--runroot", run,
    ]
    # fmt: on


def build(
    paths: Paths,
    runner: CommandRunner,
    *,
    tag: str,
    dockerfile: Path,
    context: Path,
    arguments: Mapping[str, str],
    log: Path,
) -> None:
    """`--isolation chroot` because a build must work where no container may be started yet."""
    words = [word for item in arguments.items() for word in ("--build-arg", "=".join(item))]
    # fmt: off
    runner.run(
        [
            *buildah(paths), "bud", "--isolation", "chroot", "--pull-never", "--layers",
            "--jobs", "2",
            "--format", "oci", "--tag", tag, "--file", dockerfile, *words,
            *registry_access(paths), context,
        ],
        log,
    )
    # fmt: on


def remove_leftovers(paths: Paths) -> None:
    """Working containers and mounts of builds that were killed; the lock is held."""
    if not (paths.image_storage / "storage").exists() or not Path("/usr/bin/buildah").exists():
        return
    if output([*buildah(paths), "containers", "--quiet"]).strip():
        output([*buildah(paths), "rm", "--all"])
    mounts.unmount_below(paths.image_storage)


def prune(paths: Paths) -> None:
    """Drop all layers that no named image is made of; build stages then start afresh once."""
    output([*buildah(paths), "rmi", "--prune", "--force"])


def registry_access(paths: Paths) -> list[Argument]:
    """Mounts that let pip and uv in a build reach what they reach on the host.

    Mounts and not build arguments: an argument stays in the image's history.
    """
    folder = paths.image_storage / "access"
    folder.mkdir(parents=True, exist_ok=True)
    mounted: dict[Path, str] = {}
    if CA_BUNDLE.exists():
        mounted[CA_BUNDLE] = str(CA_BUNDLE)
    configs = {
        "/etc/pip.conf": pip_config(os.environ, pip_files()),
        "/etc/uv/uv.toml": uv_config(os.environ),
    }
    for target, text in configs.items():
        path = folder / Path(target).name
        path.write_text(text)
        mounted[path] = target
    return [f"--volume={source}:{target}:ro" for source, target in mounted.items()]


def pip_files() -> list[Path]:
    home = Path.home()
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / ".config/pip/pip.conf"]
    if named := os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    return files


def pip_config(environment: Mapping[str, str], files: Sequence[Path]) -> str:
    """The host's pip settings as one file: its files first, so that the environment overrides."""
    merged = configparser.RawConfigParser()
    merged.read_dict({"global": {"cert": str(CA_BUNDLE)}})
    merged.read([str(file) for file in files])
    merged.set("global", "cert", str(CA_BUNDLE))  # where the bundle is mounted in the build
    for name in PIP_SETTINGS:
        if value := environment.get("PIP_" + name.upper().replace("-", "_")):
            merged.set("global", name, value)
    text = io.StringIO()
    merged.write(text)
    return text.getvalue()


def uv_config(environment: Mapping[str, str]) -> str:
    index = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    text = "native-tls = true\n"
    if index:
        text += f'\n[[index]]\nurl = "{index}"\ndefault = true\n'
    return text
