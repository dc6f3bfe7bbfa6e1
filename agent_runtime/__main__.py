"""The command line, `agent-runtime serve | ingest | convert | check`: flags, exit codes and the
container's last words."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from agent_runtime import settings, termination, wiring
from agent_runtime.config import AgentConfig, load
from agent_runtime.errors import AgentError, InvalidConfigError


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 0, 1 for a failure that the report explains, or 2 for usage."""
    environment = settings.read(os.environ)
    arguments = _parser(environment).parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.INFO)  # some packages switch their own debugging on
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if arguments.command == "convert":
        logging.getLogger().setLevel(logging.WARNING)  # it lists every tensor otherwise
    report: Path | None = getattr(arguments, "report", environment.termination_log)
    try:
        done = _run(arguments, environment)
    except AgentError as error:
        termination.write(report, {"reason": error.reason, "message": str(error)})
        sys.exit(f"{error.reason}: {error}")
    except Exception as error:
        termination.write(report, {"reason": AgentError.reason, "message": repr(error)})
        raise
    if done is not None:
        termination.write(report, done)
        print(json.dumps(done, ensure_ascii=False))


def _run(
    arguments: argparse.Namespace, environment: settings.Environment
) -> dict[str, object] | None:
    if arguments.command == "convert":
        name = wiring.convert(arguments.model, arguments.output, arguments.format)
        return {"model": name, "folder": str(arguments.output / name)}
    if arguments.command == "check":
        return {"models": wiring.check(arguments.models)}
    config = _config(arguments.config)
    if not arguments.vector_store:
        raise InvalidConfigError("--vector-store or AGENT_VECTOR_STORE is needed")
    store, token = arguments.vector_store, environment.vector_store_token
    if arguments.command == "ingest":
        return wiring.ingest(
            config, store, token, arguments.models, _sources(arguments.source), arguments.wait
        )
    wiring.serve(
        config, store, token, arguments.models, arguments.revision, arguments.host,
        arguments.port, arguments.drain,
    )  # fmt: skip
    return None


def _config(path: Path) -> AgentConfig:
    try:
        return load(path)
    except OSError as error:
        raise InvalidConfigError(f"{path}: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise InvalidConfigError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        wrong = ((".".join(map(str, each["loc"])), each["msg"]) for each in error.errors())
        raise InvalidConfigError(
            "; ".join(f"{'.'.join(filter(None, ('pipeline', at)))}: {why}" for at, why in wrong)
        ) from error


def _sources(given: Sequence[str]) -> dict[str, Path]:
    sources: dict[str, Path] = {}
    for each in given:
        name, equals, folder = each.partition("=")
        if not (name and equals and folder) or name in sources or "/" in name:
            raise InvalidConfigError(f"--source {each!r}: NAME=DIR is needed, each name once")
        sources[name] = Path(folder)
    return sources


def _parser(environment: settings.Environment) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("agent-runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    pipeline = argparse.ArgumentParser(add_help=False)
    pipeline.add_argument("config", type=Path, metavar="CONFIG.yaml")
    pipeline.add_argument(
        "--vector-store", default=environment.vector_store, metavar="URL",
        help="chroma://HOST:PORT/COLLECTION, or chroma+https://… (AGENT_VECTOR_STORE)",
    )  # fmt: skip
    pipeline.add_argument("--models", type=Path, default=environment.models, metavar="DIR")

    serve = commands.add_parser("serve", parents=[pipeline], help="serve one revision")
    serve.add_argument("--revision", default=environment.revision)
    serve.add_argument("--host", default="0.0.0.0")  # noqa: S104  a pod's port
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument(
        "--drain", type=float, default=5.0, metavar="SECONDS",
        help="go on serving for so long after SIGTERM, until no new request comes",
    )  # fmt: skip

    ingest = commands.add_parser("ingest", parents=[pipeline], help="index documents")
    ingest.add_argument("--source", action="append", required=True, metavar="NAME=DIR")
    ingest.add_argument("--report", type=Path, default=environment.termination_log, metavar="FILE")
    ingest.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="for the store to answer"
    )

    convert = commands.add_parser("convert", help="convert an embedding model for an image")
    convert.add_argument("model", help="name on the Hugging Face Hub, or a folder …/ORG/NAME")
    convert.add_argument("--output", type=Path, required=True, metavar="DIR")
    convert.add_argument("--format", choices=("onnx", "sentence-transformers"), default="onnx")

    check = commands.add_parser(
        "check", help="see whether this image is whole: a build's last step"
    )
    check.add_argument("--models", type=Path, default=environment.models, metavar="DIR")
    return parser


if __name__ == "__main__":
    main()
