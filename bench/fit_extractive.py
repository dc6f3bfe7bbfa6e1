"""Fit the two models of agent_runtime/llm/scoring.py to the dev half of a set of questions, and to
calibration.yaml, whose questions only tell what the documents answer from what they do not.

    python bench/fit_extractive.py --models DIR

It prints what to write into MATCH and CONFIDENCE, with cross-validated figures. It never looks at
the other half: what is tuned on a question says nothing about the next one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent_runtime import settings, wiring
from agent_runtime.config import AgentConfig
from agent_runtime.domain import Evidence, Request, Turn
from agent_runtime.evaluation.questions import Question, load
from agent_runtime.llm.quotes import take_apart
from agent_runtime.llm.scoring import BEST, CONFIDENCE, MATCH, Views, ask, ranked, sureness, views
from agent_runtime.text.terms import Analyzer
from agent_runtime.wiring.compose import compose

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"
CALIBRATION = Path(__file__).parent / "calibration.yaml"
MATCH_L2, CONFIDENCE_L2 = 0.005, 0.003
"""Ridge penalties, chosen by cross-validation among 0.0001 to 0.02."""
FOLDS = 8
THRESHOLD = AgentConfig().llm.min_score
"""Even odds are moved here, so that the default of `llm.minScore` divides them."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """A question with what was retrieved for it."""

    table: Floats
    """Shape [stretches, MATCH]."""
    right: Floats
    """1 for a stretch of a right document that holds one of the facts. Shape [stretches]."""
    sureness: Floats
    answerable: bool
    found: bool
    """A right document is among those of the best stretches."""


async def evidences(
    questions: Sequence[Question], config: AgentConfig, environment: settings.Environment
) -> list[Evidence]:
    """Ask an agent and return what it found for each question."""
    runtime = compose(config, environment)
    found: list[Evidence] = []
    try:
        await runtime.start()
        runtime.ready()
        for at, each in enumerate(questions):
            turns = (*each.history, Turn("user", each.question))
            answer = await (await runtime.pipeline.respond(Request(turns, f"fit-{at}"))).whole()
            if answer.evidence:
                found.append(answer.evidence)
    finally:
        await runtime.stop()
    return found


def example(question: Question, evidence: Evidence, analyzer: Analyzer) -> Example:
    """Take what was found apart as the generator does."""
    asked = ask(evidence, analyzer.units(evidence.question))
    taken = [take_apart(each.indexed, analyzer.terms) for each in evidence.passages]
    seen: list[Views] = [views(each, asked, rank) for rank, each in enumerate(taken)]
    quotes = [(each.chunk, each.chunk.text[slice(*q.span)]) for each in taken for q in each.quotes]
    best = ranked(seen)
    documents = {Path(taken[rank].chunk.key.path).name for _, rank, _ in best[:BEST]}
    right = [
        float(
            Path(chunk.key.path).name in question.sources and any(f in text for f in question.facts)
        )
        for chunk, text in quotes
    ]
    return Example(
        np.vstack([each.table for each in seen]).astype(float),
        np.array(right),
        np.array(sureness(asked, taken, seen, best)),
        bool(question.sources),
        not documents.isdisjoint(question.sources),
    )


def fit_match(examples: Sequence[Example], rounds: int = 3000) -> Floats:
    """Maximize the softmax probability of the right stretches, by gradient descent."""
    weights = np.zeros(len(MATCH))
    for _ in range(rounds):
        gradient = MATCH_L2 * weights
        for each in examples:
            odds = each.table @ weights
            chance = np.exp(odds - odds.max())
            chance /= chance.sum()
            among = chance * each.right
            gradient += (chance - among / among.sum()) @ each.table / len(examples)
        weights -= 0.5 * gradient
    return weights


def fit_confidence(examples: Sequence[Example]) -> Floats:
    """Logistic regression by Newton's method; both classes count the same."""
    x = np.stack([each.sureness for each in examples])
    y = np.array([each.answerable for each in examples], float)
    share = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    ridge = np.diag([*[CONFIDENCE_L2] * (x.shape[1] - 1), 1e-9])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-x @ weights))
        slope = (x.T * (share * chance * (1 - chance))) @ x + ridge
        weights -= np.linalg.solve(slope, x.T @ (share * (chance - y)) + ridge @ weights)
    return weights


def validated(
    examples: Sequence[Example],
    fit: Callable[[Sequence[Example]], Floats],
    score: Callable[[Example, Floats], float],
) -> list[float]:
    """Return each example's score by weights that were fitted without its fold."""
    order = np.random.default_rng(0).permutation(len(examples)) % FOLDS
    fitted = [
        fit([each for each, fold in zip(examples, order, strict=True) if fold != out])
        for out in range(FOLDS)
    ]
    return [score(each, fitted[fold]) for each, fold in zip(examples, order, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--questions", type=Path, default=QUICKSTART / "questions.yaml")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION)
    parser.add_argument("--knowledge", type=Path, default=QUICKSTART / "knowledge")
    given = parser.parse_args()
    listed = [*load(given.questions), *load(given.calibration)]
    questions = [each for each in listed if each.split == "dev"]
    config = AgentConfig()
    with tempfile.TemporaryDirectory() as folder:
        environment = replace(
            settings.read(os.environ), models=given.models, vector_store=f"faiss://{folder}/fit"
        )
        wiring.ingest(config, environment, {"help": given.knowledge}, 10.0)
        found = asyncio.run(evidences(questions, config, environment))
    analyzer = Analyzer()
    examples = [example(q, e, analyzer) for q, e in zip(questions, found, strict=True)]

    ranking = [each for each in examples if each.right.any()]
    first = validated(ranking, fit_match, lambda e, w: float(e.right[int((e.table @ w).argmax())]))
    print(f"a right stretch comes first: {np.mean(first):.3f} of {len(ranking)}")
    print({k: round(float(w), 1) for k, w in zip(MATCH, fit_match(ranking), strict=True)})

    # To refuse is right where the answer was not found: no weights are bent to answer there.
    examples = [each for each in examples if each.found or not each.answerable]
    odds = np.array(validated(examples, fit_confidence, lambda e, w: float(e.sureness @ w)))
    known = np.array([each.answerable for each in examples])
    print(f"answered: {np.mean(odds[known] > 0):.3f}, refused: {np.mean(odds[~known] <= 0):.3f}")
    weights = fit_confidence(examples)
    weights[-1] += np.log(THRESHOLD / (1 - THRESHOLD))
    print({k: round(float(w), 1) for k, w in zip(CONFIDENCE, weights, strict=True)})


if __name__ == "__main__":
    main()
