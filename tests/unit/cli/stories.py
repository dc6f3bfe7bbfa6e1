"""Agents in the states that the commands show."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime

from tests.unit.cli.cluster import (
    AGENTS,
    DEPLOYMENTS,
    REVISIONS,
    SHOP,
    Body,
    FakeServer,
    agent,
    deployment,
    revision,
)

OLD, STABLE, CANARY = "1a2b3c4d", "5b1f0c9e", "9d7f6748"
NOW = datetime(2026, 1, 3, 8, 3, tzinfo=UTC)
EXCEEDED = (
    "errors: 0.21 (stable revision 0.01) exceeds the stable revision by more than maxIncrease 0.01"
)
IMAGE = "registry.example/agent-runtime"
PIPELINE = {"llm": {"model": "openai/llama", "promptTemplate": "Be brief.\n{question}\n"}}
NEW_PIPELINE = {
    "llm": {"model": "openai/llama", "promptTemplate": "Be brief and kind.\n{question}\n"},
    "retrieval": {"topK": 8},
}


def condition(kind: str, status: str, reason: str, message: str = "") -> Body:
    return {
        "type": kind,
        "status": status,
        "observedGeneration": 7,
        "lastTransitionTime": "2026-01-03T08:00:00Z",
        "reason": reason,
        "message": message,
    }


CONDITIONS = [
    condition("Accepted", "True", "Accepted"),
    condition("WorkloadsReady", "True", "Available"),
    condition("Progressing", "True", "Analysing", "1 of 3 measurements succeeded"),
    condition("Degraded", "False", "AsExpected"),
    condition("Reconciling", "True", "Analysing", "1 of 3 measurements succeeded"),
    condition("Ready", "True", "Serving"),
]

ROLLOUT = {
    "weight": 5,
    "approvedWeight": 5,
    "step": 1,
    "steps": 6,
    "stepStartedAt": "2026-01-03T08:01:00Z",
    "weightedAt": "2026-01-03T08:01:00Z",
    "startedAt": "2026-01-03T08:00:00Z",
    "message": "1 of 3 measurements succeeded",
}

ANALYSIS = {
    "verdict": "Inconclusive",
    "measuredAt": "2026-01-03T08:02:48Z",
    "samples": 41,
    "succeeded": 1,
    "inconclusive": 1,
    "measurements": 2,
    "metrics": [
        {
            "name": "errors",
            "verdict": "Inconclusive",
            "canary": 0.024390243,
            "stable": 0.0125,
            "message": "only 41 of 50 turns of the new revision",
        },
        {
            "name": "latency-p95",
            "verdict": "Succeeded",
            "canary": 1.21,
            "stable": 1.0875,
            "message": "1.21 (stable revision 1.087)",
        },
        {"name": "tool-failures", "verdict": "Succeeded", "canary": 0.0, "message": "0"},
    ],
}

EVALUATION = {
    "verdict": "Succeeded",
    "message": "40 questions: retrieval hits 0.95 (stable revision 0.925)",
    "report": "shop-evaluation-77aa",
    "canary": {"retrievalHits": 0.95, "facts": 0.8875},
    "stable": {"retrievalHits": 0.925, "facts": 0.9},
}

HISTORY = [
    {
        "revision": OLD,
        "outcome": "Promoted",
        "startedAt": "2026-01-01T08:00:00Z",
        "endedAt": "2026-01-01T09:00:00Z",
    }
]

CANARY_STATUS: Body = {
    "phase": "Canary",
    "url": "http://shop.demo.svc",
    "stableRevision": STABLE,
    "canaryRevision": CANARY,
    "rollout": ROLLOUT,
    "analysis": ANALYSIS,
    "evaluation": EVALUATION,
    "draining": [{"revision": OLD, "since": "2026-01-03T07:40:00Z"}],
    "history": HISTORY,
    "conditions": CONDITIONS,
}

FAILED_STATUS: Body = {
    "phase": "Degraded",
    "url": "http://shop.demo.svc",
    "stableRevision": STABLE,
    "failedRevision": CANARY,
    "failedReason": "AnalysisFailed",
    "failedMessage": EXCEEDED,
    "rollout": {
        "lastCommandId": "before",
        "lastCommandResult": "refused: the rollout does not wait for approval",
        "message": "revision 9d7f6748 is rolled back",
    },
    "history": [
        {
            "revision": CANARY,
            "outcome": "Failed",
            "reason": "AnalysisFailed",
            "message": EXCEEDED,
            "startedAt": "2026-01-03T08:00:00Z",
            "endedAt": "2026-01-03T08:02:30Z",
        },
        *HISTORY,
    ],
    "conditions": [
        condition("Degraded", "True", "AnalysisFailed", "revision 9d7f6748 is rolled back"),
        condition("Stalled", "True", "AnalysisFailed", "revision 9d7f6748 is rolled back"),
        condition("Ready", "True", "Serving"),
    ],
}

KEPT_STATUS: Body = {
    "phase": "Ready",
    "url": "http://shop.demo.svc",
    "stableRevision": CANARY,
    "previous": {"revision": STABLE, "since": "2026-01-03T08:01:00Z"},
    "history": [
        {"revision": CANARY, "outcome": "Promoted", "endedAt": "2026-01-03T08:01:00Z"},
        *HISTORY,
    ],
    "conditions": [condition("Progressing", "False", "Completed", f"revision {CANARY} serves")],
}


def server(status: Body, **spec: object) -> FakeServer:
    """The agent, three stored revisions, and their Deployments."""
    desired = {"image": f"{IMAGE}:1.5.0", "pipeline": NEW_PIPELINE} | spec
    body = agent(deepcopy(status), **desired)
    return FakeServer(
        {
            SHOP: body,
            f"{AGENTS}/namespaces/demo/chatagents": [body],
            f"{AGENTS}/chatagents": [body],
            REVISIONS: [
                revision(1, OLD, image=f"{IMAGE}:1.3.0"),
                revision(2, STABLE, image=f"{IMAGE}:1.4.0", pipeline=PIPELINE),
                revision(3, CANARY, image=f"{IMAGE}:1.5.0", pipeline=NEW_PIPELINE),
            ],
            DEPLOYMENTS: [
                deployment(STABLE, 2, 2),
                deployment(CANARY, 1, 1),
                deployment(OLD, 1, 1),
            ],
        }
    )
