"""What the pipeline itself costs: the LLM answers at once and embedding costs next to nothing.

`python -m bench.overhead` runs this runtime and its peers on one machine in turns, round after
round, so that a neighbour's load meets all of them. Each serves the same passages over
`/v1/chat/completions` from one process. The peers get environments of their own, made once.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from bench.contestants import NOTHING, OURS, PEERS, Contestant, body, contestants
from bench.corpus import REPOSITORY, questions, write_passages
from bench.load import closed_loop, open_loop, post, run

OWN = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "numpy", "bm25s")
PACKAGES = {
    "haystack": (
        "haystack-ai",
        "faiss-haystack",
        "hayhooks",
        "fastapi",
        "uvicorn",
        "uvloop",
        "httptools",
    ),
    "langchain": (
        "langchain-core",
        "langchain-community",
        "rank-bm25",
        "fastapi",
        "uvicorn",
        "uvloop",
    ),
}


def measure(found: Sequence[Contestant], arguments: argparse.Namespace) -> None:
    """Let them run in turns; what is computed once is done before."""
    bodies = [body(question) for question in questions()]
    requests = {each.name: [post(each.url, sent) for sent in bodies] for each in found}
    for each in found:
        run(closed_loop(each.url, requests[each.name], 4, 2.0))
    for _ in range(arguments.rounds):
        for each in found:
            sent = requests[each.name]
            each.paced.add(run(open_loop(each.url, sent, arguments.rate, arguments.seconds)))
            before = each.cpu_seconds()
            each.full.add(run(closed_loop(each.url, sent, arguments.clients, arguments.seconds)))
            each.cpu += each.cpu_seconds() - before


def report(
    found: Sequence[Contestant], arguments: argparse.Namespace, passages: int, load: float
) -> str:
    """Return the result as Markdown."""
    rows = "\n".join(_row(each, found) for each in found)
    flags = f"--rounds {arguments.rounds} --seconds {arguments.seconds:g}"
    own = ", ".join(f"{name} {version(name)}" for name in OWN)
    return f"""# Pipeline overhead with an instant LLM

{date.today()}, `python -m bench.overhead {flags}`: in turns, {arguments.rounds} rounds of
{arguments.seconds:g} s at {arguments.rate:g} requests/s and {arguments.seconds:g} s with
{arguments.clients} clients. {passages} passages of the quickstart, the best 5 for its hand-written
questions, a hashing embedder of 384 dimensions. Client and servers on one machine:
{platform.machine()}, {os.cpu_count()} cores, {_processor()}, load average {load:.1f} before.
Python {platform.python_version()}.

| | p50 | p95 | p99 | {arguments.clients} clients | ours is | CPU each | errors |
|---|---|---|---|---|---|---|---|
{rows}

"nothing" answers every request with the same bytes: what the load generator itself reaches on this
machine at that time. All keep the vectors in FAISS. "hybrid" does what agent-runtime does: the
best 20 of BM25 and of dense search, fused by rank; "dense" leaves BM25 out.

- agent-runtime: {own}. Dialogue, dense and lexical search fused by rank, context within the token
  budget, sessions, limits, metrics. No answer cache.
{_peers(found)}"""


def _row(each: Contestant, found: Sequence[Contestant]) -> str:
    ours = next((other.full.rate for other in found if other.name == OURS), 0.0)
    compared = ours and each.full.rate and each.name not in (OURS, NOTHING)
    ratio = f"{ours / each.full.rate:.1f}×" if compared else ""
    errors = len(each.paced.errors) + len(each.full.errors)
    latencies = " | ".join(f"{each.paced.percentile(p):.1f} ms" for p in (50, 95, 99))
    cpu = f"{1000 * each.cpu / max(1, len(each.full.latencies)):.2f} ms"
    return f"| {each.name} | {latencies} | {each.full.rate:.0f}/s | {ratio} | {cpu} | {errors} |"


def _peers(found: Sequence[Contestant]) -> str:
    lines: list[str] = []
    for peer, packages in PACKAGES.items():
        if any(each.name.startswith(peer) for each in found):
            pinned = (PEERS / peer / "requirements.txt").read_text().split()
            named = [line.replace("==", " ") for line in pinned if line.split("==")[0] in packages]
            lines.append(f"- {peer}: {', '.join(named)}.\n")
    return "".join(lines)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "processor unknown")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load in each round")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--only", action="append", default=[], help="a contestant; repeatable")
    arguments = parser.parse_args()
    found = contestants(arguments.only)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        passages = Path(name) / "passages.json"
        count = write_passages(passages)
        try:
            for number, each in enumerate(found):
                each.start(passages, Path(name) / f"{number}.log")
            measure(found, arguments)
        finally:
            for each in found:
                each.stop()
    text = report(found, arguments, count, load)
    if not arguments.only:
        file = REPOSITORY / "bench" / "results" / f"overhead-{date.today()}.md"
        file.write_text(text, encoding="utf-8")
    print(text)
    for each in found:
        for error in [*each.paced.errors, *each.full.errors][:3]:
            print(f"{each.name}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
