"""The commands. Run as `python3 -m dev COMMAND` from the repository's root."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from dev import cluster, demo, extras, gateway_api, image_commands, teardown
from dev.commands import CommandRunner, explain, require_root
from dev.errors import DevError
from dev.lock import locked
from dev.progress import Progress, duration
from dev.schedule import run_tasks
from dev.settings import API_URL, Paths


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        return options.run(options, Paths.from_environment())
    except DevError as error:
        print(f"\n{error}", file=sys.stderr)
    except OSError as error:
        print(f"\n{explain(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m dev", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring the cluster up, or what is missing of it")
    up.add_argument("--images", action="store_true", help="build and load the images meanwhile")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="end it; images stay for a quick next `up`")
    down.add_argument("--purge", action="store_true", help="drop images and credentials as well")
    down.set_defaults(run=_down)
    commands.add_parser("status", help="what runs").set_defaults(run=extras.status)
    kubeconfig = commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    kubeconfig.set_defaults(run=extras.print_kubeconfig)
    program = commands.add_parser("bin", help="print the path of a program such as kubectl or helm")
    program.add_argument("program")
    program.set_defaults(run=extras.print_program)
    image_commands.add_parsers(commands)
    demo.add_parsers(commands)
    gpus = commands.add_parser("gpus", help="let the node claim to have N GPUs (0: none)")
    gpus.add_argument("count", type=int, metavar="N")
    gpus.set_defaults(run=extras.gpus)
    kwok = commands.add_parser("kwok", help="add N fake nodes for scale tests (0: none)")
    kwok.add_argument("count", type=int, metavar="NODES")
    kwok.set_defaults(run=extras.kwok)
    gateway_api.add_parser(commands)
    return parser


def _waiting(holder: str) -> None:
    print(f"another run (pid {holder}) is at it; waiting for its end", file=sys.stderr)


def _up(options: argparse.Namespace, paths: Paths) -> int:
    require_root()
    with locked(paths.lock, _waiting):
        cluster.prepare_state(paths)
        runner = CommandRunner()
        wanted = cluster.Cluster(paths, runner)
        tasks = wanted.tasks()
        if options.images:
            tasks += image_commands.tasks(paths, wanted.builder)
        progress = Progress(len(tasks))
        try:
            run_tasks(tasks, progress, runner)
        finally:
            wanted.builder.finish()
    took = duration(progress.elapsed)
    print(f"up after {took}: {API_URL}, KUBECONFIG={paths.kubeconfig}", file=sys.stderr)
    return 0


def _down(options: argparse.Namespace, paths: Paths) -> int:
    require_root()
    if not paths.state.exists():
        print(f"nothing to do: {paths.state} does not exist", file=sys.stderr)
        return 0
    with locked(paths.lock, _waiting):
        teardown.down(paths, Progress(teardown.STEPS), purge=options.purge)
        if options.purge and [item.name for item in paths.state.iterdir()] == [paths.lock.name]:
            paths.lock.unlink()
            paths.state.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
