"""The command line: flags, exit codes and the container's last words."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from agent_runtime import settings, termination, wiring
from agent_runtime.config import AgentConfig, load
from agent_runtime.errors import (
    AgentError,
    InvalidConfigError,
    InvalidQuestionsError,
    NoRepliesError,
    UnavailableError,
)
from agent_runtime.evaluation import comparison
from agent_runtime.evaluation.report import as_json, as_markdown, bounds, shortfalls
from agent_runtime.schema import schemas
from agent_runtime.telemetry import logs

EXIT_CODES = {InvalidQuestionsError.reason: 3, UnavailableError.reason: 4, NoRepliesError.reason: 5}
"""Of `evaluate`: what a second try would not change, and what it might. Anything else is 1."""
FORMATS = ("onnx", "sentence-transformers", "ctranslate2", "transformers")


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command.

    Exits with 0, 1 for a failure that the report explains, 2 for usage, or one of EXIT_CODES.
    """
    try:
        environment = settings.read(os.environ)
    except AgentError as error:
        sys.exit(f"{error.reason}: {error}")
    arguments = _parser(environment).parse_args(argv)
    logs.configure(environment.log_format)
    if arguments.command == "convert":
        logging.getLogger().setLevel(logging.WARNING)  # it lists every tensor otherwise
    report: Path | None = getattr(arguments, "report", environment.termination_log)
    try:
        done = _run(arguments, environment)
    except AgentError as error:
        termination.write(report, {"reason": error.reason, "message": str(error)})
        print(f"{error.reason}: {error}", file=sys.stderr)
        evaluates = arguments.command == "evaluate"
        sys.exit(EXIT_CODES.get(error.reason, 1) if evaluates else 1)
    except Exception as error:
        termination.write(report, {"reason": AgentError.reason, "message": repr(error)})
        raise
    if done is not None:
        termination.write(report, done)
        print(json.dumps(done, ensure_ascii=False))


def _run(
    arguments: argparse.Namespace, environment: settings.Environment
) -> dict[str, object] | None:
    match arguments.command:
        case "schema":
            return _schema(arguments.name)
        case "convert":
            name = wiring.convert(
                arguments.model,
                arguments.output,
                arguments.format,
                arguments.query_prompt,
                arguments.passage_prompt,
            )
            return {"model": name, "folder": str(arguments.output / name)}
        case "check":
            return {"models": wiring.check(arguments.models)}
        case "evaluate":
            return _evaluate(arguments, environment)
        case _:
            pass
    config, environment = _config(arguments.config), _environment(arguments, environment)
    if arguments.command == "ingest":
        return wiring.ingest(config, environment, _sources(arguments.source), arguments.wait)
    wiring.serve(config, environment, arguments.host, arguments.port, arguments.drain)
    return None


def _environment(
    arguments: argparse.Namespace, environment: settings.Environment
) -> settings.Environment:
    """Return the environment with what flags say instead."""
    return replace(
        environment,
        vector_store=arguments.vector_store,
        models=arguments.models,
        revision=getattr(arguments, "revision", environment.revision),
    )


def _evaluate(
    arguments: argparse.Namespace, environment: settings.Environment
) -> dict[str, object] | None:
    """Print the report. Exits with 1 where a bound is missed. Returns the summary of two agents."""
    if arguments.concurrency < 1:
        raise InvalidConfigError(f"--concurrency {arguments.concurrency}: at least 1 is needed")
    if arguments.baseline:
        return _compare(arguments, environment)
    wanted = bounds(arguments.fail_under)
    if bool(arguments.url) == bool(arguments.config):
        raise InvalidConfigError("either CONFIG.yaml or --url is needed")
    agent = arguments.url or _config(arguments.config)
    report = wiring.evaluate(
        arguments.questions, agent, _environment(arguments, environment),
        arguments.concurrency, arguments.wait,
    )  # fmt: skip
    as_text = json.dumps(as_json(report), ensure_ascii=False, indent=2)
    if arguments.output:
        arguments.output.write_text(as_text + "\n", encoding="utf-8")
    print(as_text if arguments.format == "json" else as_markdown(report))
    if missed := shortfalls(report, wanted):
        sys.exit("\n".join(missed))
    return None


def _compare(arguments: argparse.Namespace, environment: settings.Environment) -> dict[str, object]:
    """Print a line of JSON for each question and return the summary."""
    if not arguments.url or arguments.config:
        raise InvalidConfigError("--baseline: it is compared with --url, and with no CONFIG.yaml")
    if arguments.fail_under or arguments.format != "markdown":
        raise InvalidConfigError("--baseline: it goes with neither --fail-under nor --format")
    pairs = wiring.compare(
        arguments.questions, arguments.url, arguments.baseline, environment,
        arguments.concurrency, arguments.wait,
    )  # fmt: skip
    counts = comparison.summary(pairs)
    report = [json.dumps(each, ensure_ascii=False) for each in (*comparison.lines(pairs), counts)]
    if arguments.output:
        arguments.output.write_text("\n".join(report) + "\n", encoding="utf-8")
    print("\n".join(report[:-1]))
    return counts


def _schema(name: str | None) -> dict[str, object]:
    known = schemas()
    if name is not None and name not in known:
        raise InvalidConfigError(f"there is no schema {name!r}, but: {', '.join(known)}")
    return known if name is None else known[name]


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
        help="such as chroma://HOST:PORT/COLLECTION (AGENT_VECTOR_STORE, retrieval.vectorStore)",
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
        "--wait", type=float, default=300.0, metavar="SECONDS",
        help="for a store that does not answer, at the start or in between",
    )  # fmt: skip

    evaluate = commands.add_parser("evaluate", help="ask a set of questions and judge the replies")
    evaluate.add_argument("config", type=Path, nargs="?", metavar="CONFIG.yaml")
    evaluate.add_argument(
        "--questions", type=Path, required=True, metavar="FILE",
        help="YAML, or .jsonl with a question on each line",
    )  # fmt: skip
    evaluate.add_argument("--url", help="an agent that is served, instead of a configuration")
    evaluate.add_argument(
        "--baseline", metavar="URL", help="another one that is served: compare --url with it"
    )
    evaluate.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS",
        help="for what is served to be there",
    )  # fmt: skip
    evaluate.add_argument("--vector-store", default=environment.vector_store, metavar="URL")
    evaluate.add_argument("--models", type=Path, default=environment.models, metavar="DIR")
    evaluate.add_argument("--concurrency", type=int, default=1, metavar="N")
    evaluate.add_argument(
        "--report", dest="output", type=Path, metavar="FILE", help="write the JSON there too"
    )
    evaluate.add_argument("--format", choices=("markdown", "json"), default="markdown")
    evaluate.add_argument(
        "--fail-under", action="append", default=[], metavar="MEASURE=BOUND",
        help="exit with 1 where a measure is worse, such as cited=0.9 or injected=0",
    )  # fmt: skip

    schema = commands.add_parser("schema", help="print the JSON Schemas of the messages")
    schema.add_argument("name", nargs="?", help="one of them, such as Answer")

    convert = commands.add_parser("convert", help="convert a model for an image")
    convert.add_argument("model", help="name on the Hugging Face Hub, or a folder …/ORG/NAME")
    convert.add_argument("--output", type=Path, required=True, metavar="DIR")
    convert.add_argument(
        "--format",
        choices=("onnx", "sentence-transformers", "ctranslate2", "transformers"),
        default="onnx",
    )
    for kind in ("query", "passage"):
        convert.add_argument(
            f"--{kind}-prompt",
            metavar="TEXT",
            help=f"what an embedding model is to read before a {kind}; absent: as it says itself",
        )

    check = commands.add_parser(
        "check", help="see whether this image is whole: a build's last step"
    )
    check.add_argument("--models", type=Path, default=environment.models, metavar="DIR")
    return parser


if __name__ == "__main__":
    main()
