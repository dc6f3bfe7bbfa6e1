"""The images of the cluster and of the project: built if their inputs changed, then loaded."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from dev import binaries, buildah, containers, image_inputs, image_loading, rootfs
from dev.commands import CommandRunner
from dev.errors import DevError
from dev.lock import locked
from dev.settings import BASE_IMAGE, IMAGE_PREFIX, PAUSE_IMAGE, REPOSITORY, Paths

Note = Callable[[str], None]
AGENT_TAGS = ("0.1.0", "0.1.1")  # two, so that a rollout has somewhere to go
IMAGES = REPOSITORY / "dev" / "images"


@dataclass(frozen=True)
class Image:
    """`built_on_base` images take the argument BASE_IMAGE, as a user's own builds do."""

    name: str
    tags: tuple[str, ...]
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    built_on_base: bool = True

    @property
    def references(self) -> list[str]:
        return [f"{IMAGE_PREFIX}/{self.name}:{tag}" for tag in self.tags]

    def build_arguments(self) -> dict[str, str]:
        base = {"BASE_IMAGE": BASE_IMAGE} if self.built_on_base else {}
        return {**base, **self.arguments}


def pause(paths: Paths) -> Image:
    folder = binaries.location(paths.binaries, binaries.PAUSE).parent
    tag = PAUSE_IMAGE.rpartition(":")[2]
    return Image("pause", (tag,), IMAGES / "pause/Dockerfile", folder, built_on_base=False)


def base(paths: Paths) -> Image:
    archive = rootfs.archive_path(paths)
    tag = BASE_IMAGE.rpartition(":")[2]
    arguments = {"ROOTFS": archive.name}
    dockerfile = IMAGES / "base/Dockerfile"
    return Image("base", (tag,), dockerfile, archive.parent, arguments, built_on_base=False)


def project(agent_tags: Sequence[str] = AGENT_TAGS, operator_tag: str = "0.1.0") -> list[Image]:
    """What the project itself and its demo run on. The repository is the context of its own two."""
    agent = Image(
        "agent-runtime",
        tuple(agent_tags),
        REPOSITORY / "Dockerfile.agent",
        REPOSITORY,
        {"ACCELERATOR": "cpu"},
    )
    operator = Image("operator", (operator_tag,), REPOSITORY / "Dockerfile.operator", REPOSITORY)
    return [agent, operator, *(_borrowed(*pair) for pair in BORROWED)]


BORROWED = (("chroma", "1.5.9"), ("haproxy", "2.6"), ("redis", "7.0"))


def _borrowed(name: str, tag: str) -> Image:
    return Image(name, (tag,), IMAGES / name / "Dockerfile", IMAGES / name)


class ImageBuilder:
    """Builds and loads; remembers by which inputs each image came to be."""

    def __init__(self, paths: Paths, runner: CommandRunner) -> None:
        self._paths = paths
        self._runner = runner
        self._mutex = threading.Lock()
        self._claiming = threading.Lock()
        self._claim: ExitStack | None = None

    def build(self, image: Image, note: Note) -> str:
        reference, digest = image.references[0], self.digest(image)
        if self._recorded(self._built).get(reference) == digest:
            return "reused"
        if not image.dockerfile.exists():
            raise DevError(f"{image.dockerfile} is missing; the image {image.name} needs it")
        self._claim_storage(note)
        if self._recorded(self._built).get(reference) == digest:
            return "built by another run"
        log = self._paths.build_logs / f"image-{image.name}.log"
        log.unlink(missing_ok=True)
        note("building")
        buildah.build(
            self._paths,
            self._runner,
            tag=reference,
            dockerfile=image.dockerfile,
            context=image.context,
            arguments=image.build_arguments(),
            log=log,
        )
        image_loading.export(self._paths, self._runner, image.name, reference, log)
        self._record(self._built, {reference: digest})
        size = image_loading.unpacked_size(self._paths, image.name) / 10**6
        return f"built, {size:.0f} MB,"

    def _claim_storage(self, note: Note) -> None:
        """Before its first build, a run waits for the builds of others, and then removes what
        killed ones left. The lock is kept until `finish`."""
        with self._claiming:
            if self._claim is not None:
                return

            def waiting(pid: str) -> None:
                note(f"waiting for the builds of process {pid}")

            self._claim = ExitStack()
            self._claim.enter_context(locked(self._paths.build_lock, waiting))
            buildah.remove_leftovers(self._paths)

    def finish(self) -> None:
        """Undo what buildah keeps mounted after its builds, and let others build."""
        if self._claim is not None:
            buildah.remove_leftovers(self._paths)
            self._claim.close()
            self._claim = None

    def load(self, image: Image) -> str:
        """Needs a containerd that runs."""
        digest = self._recorded(self._built)[image.references[0]]
        wanted = dict.fromkeys(image.references, digest)
        recorded = self._recorded(self._loaded)
        present = containers.image_names(self._paths)
        if all(recorded.get(name) == digest and name in present for name in wanted):
            return "already loaded"
        image_loading.load(self._paths, image.name, image.references)
        self._record(self._loaded, wanted)
        return "loaded"

    def push(self, image: Image, registry: str) -> str:
        log = self._paths.build_logs / f"image-{image.name}.log"
        verify = os.environ.get("CHATAGENT_DEV_TLS_VERIFY", "true")
        for tag in image.tags:
            target = f"docker://{registry.rstrip('/')}/{image.name}:{tag}"
            command = [*buildah.buildah(self._paths), "push", f"--tls-verify={verify}"]
            self._runner.run([*command, image.references[0], target], log)
        return f"pushed to {registry}"

    def prune(self) -> None:
        self._claim_storage(lambda _: None)
        buildah.prune(self._paths)

    def digest(self, image: Image) -> str:
        if not image.dockerfile.exists():
            return "no Dockerfile"
        base_inputs = ""
        if image.built_on_base:
            base_inputs = self._recorded(self._built).get(BASE_IMAGE, "")
        arguments = image.build_arguments()
        if image.name == "base":  # its archive is big; its name says by which recipe it was made
            dockerfile, archive = image.dockerfile.read_bytes(), rootfs.archive_path(self._paths)
            made = archive.stat().st_mtime_ns if archive.exists() else 0
            return f"{archive.name}-{made}-{len(dockerfile)}"
        return image_inputs.digest(image.dockerfile, image.context, arguments, base_inputs)

    @property
    def _built(self) -> Path:
        return self._paths.image_storage / "built.json"

    @property
    def _loaded(self) -> Path:
        return self._paths.containerd / "loaded.json"

    def _recorded(self, path: Path) -> dict[str, str]:
        with self._mutex:
            return json.loads(path.read_text()) if path.exists() else {}

    def _record(self, path: Path, entries: Mapping[str, str]) -> None:
        with self._mutex, locked(path.with_suffix(".lock")):
            known = json.loads(path.read_text()) if path.exists() else {}
            scratch = path.with_suffix(".new")
            scratch.write_text(json.dumps(known | dict(entries), indent=2))
            scratch.replace(path)
