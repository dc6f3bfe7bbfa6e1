"""The `images` and `image-size` commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dev import containers, debian, image_loading, images, rootfs
from dev.commands import CommandRunner, require_root
from dev.errors import DevError
from dev.images import Image, ImageBuilder
from dev.progress import Progress
from dev.schedule import Note, Task, run_tasks
from dev.settings import Paths

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]


def add_parsers(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    build = commands.add_parser("images", help="build the images and load them into the cluster")
    build.add_argument("names", nargs="*", metavar="NAME", help="only these, such as operator")
    build.add_argument("--tag", action="append", dest="tags", help="a tag of the agent's image")
    build.add_argument("--operator-tag", default="0.1.0")
    build.add_argument("--push", metavar="REGISTRY", help="push there instead of loading")
    build.add_argument("--prune", action="store_true", help="drop the layers of older builds")
    build.set_defaults(run=run)
    size = commands.add_parser("image-size", help="print an image's unpacked size in MB")
    size.add_argument("name")
    size.set_defaults(run=print_size)


def run(options: argparse.Namespace, paths: Paths) -> int:
    wanted = images.project(options.tags or images.AGENT_TAGS, options.operator_tag)
    if options.names:
        known = {image.name: image for image in wanted}
        if unknown := set(options.names) - set(known):
            raise DevError(f"no images {sorted(unknown)}; there are {sorted(known)}")
        wanted = [known[name] for name in options.names]
    require_root()
    runner = CommandRunner()
    builder = ImageBuilder(paths, runner)
    after: Callable[[Image], str] | None = None
    if options.push:
        after = lambda image: builder.push(image, options.push)  # noqa: E731
    elif containers.answers(paths):
        after = builder.load
    packages_log = paths.build_logs / "packages.log"
    steps = [
        Task("packages", lambda note: debian.ensure_packages(runner, packages_log, note)),
        Task("base", lambda note: _base(paths, runner, builder, note), ("packages",)),
        *_tasks(builder, wanted, after, ("base",)),
    ]
    try:
        run_tasks(steps, Progress(len(steps)), runner)
        if options.prune:
            builder.prune()
    finally:
        builder.finish()
    return 0


def tasks(paths: Paths, builder: ImageBuilder) -> list[Task]:
    """All of the project's images, as a part of `up`."""
    needs = ("base image", "containerd")
    base = Task("image base", lambda _: builder.load(images.base(paths)), needs)
    return [base, *_tasks(builder, images.project(), builder.load, needs)]


def _base(paths: Paths, runner: CommandRunner, builder: ImageBuilder, note: Note) -> str:
    rootfs.ensure(paths, runner)
    built = builder.build(images.base(paths), note)
    loaded = builder.load(images.base(paths)) if containers.answers(paths) else "not loaded"
    return f"{built} and {loaded}"


def _tasks(
    builder: ImageBuilder,
    wanted: Sequence[Image],
    after: Callable[[Image], str] | None,
    needs: tuple[str, ...],
) -> list[Task]:
    def task(image: Image) -> Task:
        def make(note: Note) -> str:
            built = builder.build(image, note)
            return f"{built} and {after(image)}" if after else f"{built}; no cluster to load it to"

        return Task(f"image {image.name}", make, needs)

    return [task(image) for image in wanted]


def print_size(options: argparse.Namespace, paths: Paths) -> int:
    print(round(image_loading.unpacked_size(paths, options.name) / 10**6))
    return 0
