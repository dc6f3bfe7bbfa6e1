"""What the commands show, as text (compared with golden files) and as JSON."""

from __future__ import annotations

import argparse
import io
import json
from datetime import timedelta
from typing import Any

import pytest
import yaml

from chatagent_operator.api import rollout
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.cli import commands, watching
from chatagent_operator.cli.arguments import build_parser
from chatagent_operator.cli.cluster import Cluster
from chatagent_operator.cli.errors import NO_ANSWER, CommandError
from chatagent_operator.cli.evaluations import show_evaluation
from chatagent_operator.cli.printing import format_age, text_width, truncate
from chatagent_operator.cli.result import Result
from chatagent_operator.core.agent import Agent
from chatagent_operator.core.children.evaluation import build_report
from chatagent_operator.core.judging import report as questions
from chatagent_operator.core.view.evaluations import UnstoredReport
from chatagent_operator.kube.errors import ApiError
from tests.conftest import Golden
from tests.unit.cli.stories import (
    CANARY,
    CANARY_STATUS,
    FAILED_STATUS,
    KEPT_STATUS,
    NOW,
    STABLE,
    server,
)
from tests.unit.core.simulation import spec

REPORT = "/api/v1/namespaces/demo/configmaps/shop-evaluation-77aa"
EVALUATION = rollout.Evaluation.model_validate({"configMap": {"name": "questions"}})


def words(*line: str) -> argparse.Namespace:
    return build_parser().parse_args(line)


@pytest.mark.parametrize(
    ("name", "status", "spec"),
    [
        ("cli-canary", CANARY_STATUS, {}),
        ("cli-failed", FAILED_STATUS, {}),
        ("cli-kept", KEPT_STATUS, {}),
        ("cli-new", {"observedGeneration": None}, {}),
        (
            "cli-paused",
            CANARY_STATUS
            | {
                "rollout": CANARY_STATUS["rollout"]
                | {
                    "approvedWeight": 25,
                    "paused": "Command",
                    "replacing": True,
                    "step": 2,
                    "steps": 3,
                },
                "analysis": {},
                "evaluation": {},
                "draining": [],
            },
            {
                "rollout": {
                    "steps": [{"setWeight": 5}, {"pause": {"duration": "10m"}}, {"pause": {}}]
                }
            },
        ),
    ],
)
async def test_one_agent(
    golden: Golden, name: str, status: dict[str, Any], spec: dict[str, Any]
) -> None:
    found = await commands.get_agents(server(status, **spec).cluster, words("get", "shop"))
    golden.check(f"{name}.txt", found.render("text", NOW) + "\n")


async def test_all_agents(golden: Golden) -> None:
    fake = server(CANARY_STATUS)
    here = await commands.get_agents(fake.cluster, words("get"))
    everywhere = await commands.get_agents(Cluster(fake, None), words("get", "-A"))
    text = f"{here.render('text', NOW)}\n\n{everywhere.render('text', NOW)}\n"
    golden.check("cli-table.txt", text)


async def test_the_document_holds_what_the_text_does() -> None:
    found = await commands.get_agents(
        server(CANARY_STATUS).cluster, words("get", "shop", "-o", "json")
    )
    document = json.loads(found.render("json", NOW))
    assert [(each["revision"], each["role"], each["weight"]) for each in document["revisions"]] == [
        (STABLE, "stable", 95),
        (CANARY, "canary", 5),
        ("1a2b3c4d", "draining", 0),
    ]
    assert [each["state"] for each in document["steps"]].index("current") == 1
    assert document["analysis"]["metrics"][0]["verdict"] == "Inconclusive"


async def test_history_and_diff(golden: Golden) -> None:
    cluster = server(FAILED_STATUS).cluster
    past = await commands.show_history(cluster, words("history", "shop"))
    golden.check("cli-history.txt", past.render("text", NOW) + "\n")
    changed = await commands.show_diff(cluster, words("diff", "shop"))
    golden.check("cli-diff.txt", changed.render("text", NOW) + "\n")
    by_number = await commands.show_diff(cluster, words("diff", "shop", "2", "3"))
    assert by_number.document == changed.document
    assert {each["path"] for each in changed.document["changes"]} == {
        "image",
        "pipeline.llm.promptTemplate",
        "pipeline.retrieval.topK",
    }


async def test_a_revision_that_is_kept_has_a_role_until_it_has_another() -> None:
    status = KEPT_STATUS

    async def roles() -> dict[str, str | None]:
        past = await commands.show_history(server(status).cluster, words("history", "shop"))
        shown = await commands.get_agents(server(status).cluster, words("get", "shop"))
        revisions = past.document["revisions"]
        found = {each["revision"]: each["role"] for each in revisions if each["role"]}
        assert found == {each["revision"]: each["role"] for each in shown.document["revisions"]}
        return found

    assert await roles() == {STABLE: "previous", CANARY: "stable"}
    status = status | {"canaryRevision": STABLE}
    assert await roles() == {STABLE: "canary", CANARY: "stable"}
    draining = [{"revision": STABLE, "since": "2026-01-03T08:01:00Z"}]
    status = KEPT_STATUS | {"draining": draining}
    assert await roles() == {STABLE: "draining", CANARY: "stable"}


@pytest.mark.parametrize("word", ["canary", "9", "ffff", "abc"])
async def test_a_revision_that_is_not_there(word: str) -> None:
    with pytest.raises(CommandError, match=r"revisions are 3 \(9d7f6748\), 2 \(5b1f0c9e\)"):
        await commands.show_diff(
            server(FAILED_STATUS).cluster, words("diff", "shop", word, "stable")
        )


def kept(log: str) -> dict[str, Any]:
    """The ConfigMap that the operator makes of a Job's log."""
    model = ChatAgentSpec.model_validate(spec())
    of = UnstoredReport(REPORT.rpartition("/")[2], CANARY, "a-pod")
    return build_report(Agent("demo", "shop", "uid-1", 7, model), of, log)


def question_line(name: str, question: str, *lost: str) -> dict[str, Any]:
    """A question as the Job prints it."""
    return {
        "id": name,
        "question": question,
        "lost": list(lost),
        "gained": [],
        "new": {"reply": "I do not know."},
        "baseline": {"reply": "Within\n30 days."},
    }


async def test_an_evaluation(golden: Golden) -> None:
    fake = server(CANARY_STATUS)
    lines: list[dict[str, Any]] = [
        question_line("returns-3", "Can I return a lamp?", "facts"),
        question_line("a", "And?"),
        *[question_line("long", "?" * questions.BYTES)] * 3,
        {"questions": 5, "measures": {}},
    ]
    fake.objects[REPORT] = kept("".join(f"{json.dumps(line)}\n" for line in lines))
    found = await show_evaluation(fake.cluster, words("evaluate", "shop"))
    golden.check("cli-evaluation.txt", found.render("text", NOW) + "\n")
    document = json.loads(found.render("json", NOW))
    assert yaml.safe_load(found.render("yaml", NOW)) == document
    assert (document["questions"], document["leftOut"], document["log"]) == (5, 3, None)
    (changed,) = document["changed"]
    assert (changed["id"], changed["canary"]["reply"]) == ("returns-3", "I do not know.")


async def test_of_a_job_that_failed_the_log_is_shown() -> None:
    fake = server(CANARY_STATUS)
    fake.objects[REPORT] = kept("questions.yaml:3: no id\nbye\n")
    found = await show_evaluation(fake.cluster, words("evaluate", "shop"))
    assert found.document["log"] == "questions.yaml:3: no id\nbye\n"
    assert "without a report. Its log:\n  questions.yaml:3: no id\n  bye" in found.render(
        "text", NOW
    )


async def test_an_agent_without_an_evaluation() -> None:
    with pytest.raises(CommandError, match=r"spec\.rollout\.analysis\.evaluation"):
        await show_evaluation(server(FAILED_STATUS).cluster, words("evaluate", "shop"))


async def test_a_status_of_another_version() -> None:
    fake = server({"rollout": {"weight": "five"}})
    with pytest.raises(CommandError, match=r"status\.rollout\.weight") as refused:
        await commands.get_agents(fake.cluster, words("get", "shop"))
    assert refused.value.exit_code == NO_ANSWER


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (3599, "59m"),
        (3600, "1h"),
        (5400, "1h30m"),
        (90000, "1d1h"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    since = (NOW - timedelta(seconds=seconds)).isoformat()
    assert format_age(since, NOW) == text


def test_wide_characters_take_two_columns() -> None:
    assert text_width("退货 ok") == 7
    assert truncate("退货退货", 5) == "退货…"
    assert truncate("return", 6) == "return"


class _EnoughError(Exception):
    """The test has seen enough."""


async def _watched(looks: list[Result | ApiError], out: io.StringIO) -> str:
    left = iter(looks)

    async def look() -> Result:
        found = next(left, None)
        if found is None:
            raise _EnoughError
        if isinstance(found, ApiError):
            raise found
        return found

    with pytest.raises(_EnoughError):
        await watching.watch_view(look, "text", lambda: NOW, out)
    return out.getvalue()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.0)


def shown(state: int, text: str) -> Result:
    return Result({"state": state}, lambda _: text)


@pytest.mark.usefixtures("at_once")
async def test_a_pipe_gets_a_block_for_each_change() -> None:
    looks: list[Result | ApiError] = [shown(1, "one, 1s"), shown(1, "one, 2s"), shown(2, "two")]
    assert await _watched(looks, io.StringIO()) == "one, 1s\n\ntwo\n\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("at_once")
async def test_a_terminal_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    monkeypatch.setenv("LINES", "5")
    looks: list[Result | ApiError] = [
        shown(1, "a\nb"),
        ApiError(0, "gone"),
        shown(1, "c\n" * 9),
        shown(1, "x" * 30),
    ]
    text = await _watched(looks, _Terminal())
    first, second, third, fourth = text.split("\x1b[J")[1:]
    assert first == "a\nb\n\x1b[2A\r"
    assert second == "a\nb\n\nno response: 0…\n\x1b[4A\r"
    assert third == "c\nc\nc\n…\n\x1b[4A\r"
    assert fourth == "x" * 14 + "…\n"


@pytest.mark.usefixtures("at_once")
async def test_a_refusal_ends_the_watch() -> None:
    async def look() -> Result:
        raise ApiError(403, "forbidden")

    with pytest.raises(ApiError):
        await watching.watch_view(look, "text", lambda: NOW, io.StringIO())
