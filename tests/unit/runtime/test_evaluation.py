"""Reading a set of questions, judging replies, figures and bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
import yaml

from agent_runtime.domain import Turn
from agent_runtime.errors import (
    AgentError,
    InvalidConfigError,
    InvalidQuestionsError,
    UnavailableError,
)
from agent_runtime.evaluation.judging import Cited, Observed, holds, judge
from agent_runtime.evaluation.questions import Question, load
from agent_runtime.evaluation.remote import Remote
from agent_runtime.evaluation.report import as_json, as_markdown, bounds, shortfalls, summarize
from agent_runtime.evaluation.runner import run
from chatagent_operator.api.rollout import Rollout

REPOSITORY = Path(__file__).parents[3]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
TRADES = REPOSITORY / "bench" / "trades"
DOCUMENTATION = REPOSITORY / "docs" / "evaluation.md"
ANSWERED = Question("a", "en", "How long?", sources=("a.md",), facts=("30 days",))
REFUSED = Question("b", "zh", "谁？")
TRAP = Question("c", "en", "What?", sources=("a.md",), facts=("30 days",), forbidden=("HACKED",))


def test_the_quickstarts_facts_stand_in_every_source() -> None:
    questions = load(QUICKSTART / "questions.yaml")
    assert len(questions) >= 150
    for each in questions:
        for source in each.sources:
            text = (QUICKSTART / "knowledge" / source).read_text(encoding="utf-8")
            assert all(holds(text, fact) for fact in each.facts), each.id


@pytest.mark.parametrize("folder", sorted(TRADES.iterdir()), ids=lambda folder: folder.name)
def test_a_trades_facts_stand_in_its_sources_together(folder: Path) -> None:
    questions = load(folder / "questions.yaml")
    assert len(questions) >= 60
    assert {each.lang for each in questions} == {"en", "zh"}
    for each in questions:
        assert len(each.tags) == 1, each.id
        texts = [(folder / "knowledge" / name).read_text("utf-8") for name in each.sources]
        for fact in each.facts:
            assert any(holds(text, fact) for text in texts), each.id


def test_the_quickstarts_set_holds_all_kinds_in_both_languages_and_splits() -> None:
    questions = load(QUICKSTART / "questions.yaml")
    for lang in ("en", "zh"):
        for kind in ("fact", "follow-up", "unanswerable", "injection"):
            found = [each.split for each in questions if (each.lang, each.kind) == (lang, kind)]
            assert abs(found.count("dev") - found.count("test")) <= 2


def test_what_must_not_be_said_stands_in_the_documents() -> None:
    texts = "".join(path.read_text("utf-8") for path in (QUICKSTART / "knowledge").iterdir())
    for each in load(QUICKSTART / "questions.yaml"):
        assert all(forbidden in texts for forbidden in each.forbidden), each.id


ENTRY = "id: x\n    lang: en\n    question: Why?\n    source: [a.md]\n    facts: []\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a list of at least one question"),
        ("questions: []", "a list of at least one question"),
        ("questions: {", "is not YAML"),
        ("questions:\n  - id: x", r"questions\[0\] \(x\): lang: Field required"),
        (f"questions:\n  - {ENTRY}    colour: red", r"questions\[0\] \(x\): colour"),
        (f"questions:\n  - {ENTRY}  - {ENTRY}", r"questions\[1\]: id: 'x' is there twice"),
        (f"questions:\n  - {ENTRY}    split: train", r"\(x\): split"),
        (f"questions:\n  - {ENTRY}    tags: [Two Conditions]", r"\(x\): tags"),
        (f"questions:\n  - {ENTRY}    tags: list", r"\(x\): tags"),
        (f"questions:\n  - {ENTRY.replace('[a.md]', '[]')}", r"\(x\): source: name a file"),
        (
            f"questions:\n  - {ENTRY.replace('[a.md]', 'null').replace('[]', '[one]')}",
            r"\(x\): facts: a question without a source",
        ),
        (f"questions:\n  - {ENTRY}    history: [{{user: a, assistant: b}}]", "history: each turn"),
    ],
)
def test_a_broken_set_is_named_to_the_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfigError, match=message):
        load(path)


def test_the_set_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = DOCUMENTATION.read_text("utf-8")
    manifests = next(
        each for each in re.findall(r"```yaml\n(.*?)```", text, re.S) if "kind" in each
    )
    config_map, agent = yaml.safe_load_all(manifests)
    asked = Rollout.model_validate(agent["spec"]["rollout"]).analysis.evaluation
    assert asked is not None
    assert asked.config_map is not None
    assert asked.config_map.name == config_map["metadata"]["name"]
    path = tmp_path / asked.config_map.key
    path.write_text(config_map["data"][path.name], encoding="utf-8")
    assert [each.kind for each in load(path)] == ["fact", "unanswerable"]


LINE = '{"id": "x", "lang": "en", "question": "Why?", "source": ["a.md"], "facts": []}'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.yaml", f"questions:\n  - {ENTRY}  - id: y\n    lang: 7\n", r"q\.yaml:8: .*\(y\): lang"),
        ("q.yaml", f"questions:\n  - {ENTRY}  - id: y\n", r"q\.yaml:7: questions\[1\] \(y\): lang"),
        ("q.yaml", "questions:\n  - 5\n", r"q\.yaml:2: questions\[0\]: Input should be"),
        ("q.yaml", "questions: five", "a list of at least one question"),
        ("q.yaml", "questions: !!python/object:os.system {}", "is not YAML"),
        ("q.jsonl", "", "a list of at least one question"),
        ("q.jsonl", "\n \n", "a list of at least one question"),
        ("q.jsonl", f"{LINE}\n\n{{", r"q\.jsonl:3: questions\[1\]: it is not JSON"),
        ("q.jsonl", f"{LINE}\n[]", r"q\.jsonl:2: questions\[1\]: Input should be"),
        ("q.jsonl", f"{LINE}\n{LINE}", r"q\.jsonl:2: questions\[1\]: id: 'x' is there twice"),
        ("q.jsonl", LINE.replace('["a.md"]', "5"), r"q\.jsonl:1: questions\[0\] \(x\): source"),
    ],
)
def test_a_broken_set_is_named_to_the_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidQuestionsError, match=message):
        load(path)


def test_lines_of_json_are_the_same_set(tmp_path: Path) -> None:
    lines, listed = tmp_path / "q.jsonl", tmp_path / "q.yaml"
    other = LINE.replace('"x"', '"\u2028"')
    lines.write_text(f"{LINE}\n\n{other}\n", encoding="utf-8")
    listed.write_text(f"questions:\n  - {ENTRY}")
    assert load(lines)[0] == load(listed)[0]
    assert len(load(lines)) == 2


def test_what_is_no_text_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "q.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidQuestionsError, match="UTF-8"):
        load(path)


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")


def test_a_right_answer_is_right_in_every_measure() -> None:
    cited = Cited("a.md", "30 days", passage="Within 30 days.")
    judged = judge(ANSWERED, Observed("30 days", (cited,), ("b.md", "a.md")), 0.1, {"HACKED"})
    assert (judged.hit, judged.reciprocal_rank, judged.cited, judged.facts) == (
        True,
        0.5,
        True,
        True,
    )
    assert (judged.grounded, judged.citations, judged.injected) == (1, 1, False)
    assert judged.refused is None


@pytest.mark.parametrize(
    ("reply", "grounded"),
    [
        (Observed("30 days", (Cited("a.md", "30 days"),)), 1),
        (Observed("a month", (Cited("a.md", "30 days", "30 days"),)), 0),
        (Observed("30 days", (Cited("a.md", "30 days", "20 days"),)), 0),
    ],
)
def test_a_quote_has_to_stand_in_reply_and_source(reply: Observed, grounded: int) -> None:
    assert judge(ANSWERED, reply, 0.1, ()).grounded == grounded


@pytest.mark.parametrize(
    ("text", "fact", "held"),
    [
        ("It costs 145.", "145", True),
        ("It costs 145, or less.", "145", True),
        ("It costs ¥145元", "145", True),
        ("It costs 1450.", "145", False),
        ("It costs 2145.", "145", False),
        ("It costs 1,145 now.", "145", False),
        ("It costs 145.50 now.", "145", False),
        ("It costs 145,000 now.", "145", False),
        ("It costs 1450, or 145.", "145", True),
        ("每月12次", "2次", False),
        ("每月2次。", "2次", True),
        ("Within 30 days.", "30 day", False),
        ("Sundays only", "days", False),
        ("两年保修期内", "保修", True),
        ("A-1042/D", "1042", True),
        ("每月5GB流量", "5GB", True),
        ("C++ and .NET", "C++", True),
        ("30 Days", "30 days", False),
    ],
)
def test_a_fact_is_not_found_inside_a_longer_number_or_word(
    text: str, fact: str, held: bool
) -> None:
    assert holds(text, fact) is held


def test_facts_may_stand_in_different_sources() -> None:
    question = Question("t", "en", "And both?", sources=("a.md", "b.md"), facts=("145", "2 years"))
    both = Observed("2 years. 145.", (Cited("a.md", "145."), Cited("b.md", "2 years.")))
    assert judge(question, both, 0.1, ()).facts
    assert judge(question, Observed("145.", (Cited("a.md", "145."),)), 0.1, ()).facts is False
    assert judge(question, Observed("2 years. 1450."), 0.1, ()).facts is False


def test_tags_are_read_and_have_rows_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(f"questions:\n  - {ENTRY}    tags: [list, unanswerable]\n")
    (question,) = load(path)
    assert question.tags == ("list", "unanswerable")
    nothing = Observed("I do not know.")
    report = summarize([judge(each, nothing, 0.1, ()) for each in (question, REFUSED)])
    assert report.groups["unanswerable"].questions == 1
    assert list(report.groups)[-2:] == ["tag list", "tag unanswerable"]
    assert report.groups["tag list"].cited == 0.0
    assert "| tag list | 1 |" in as_markdown(report)


def test_wrong_answers_are_wrong() -> None:
    elsewhere = Observed("HACKED", (Cited("b.md", "HACKED"),), ("b.md",))
    judged = judge(ANSWERED, elsewhere, 0.1, {"HACKED"})
    assert (judged.hit, judged.reciprocal_rank, judged.cited, judged.facts) == (
        False,
        0,
        False,
        False,
    )
    assert judged.injected
    assert judge(REFUSED, elsewhere, 0.1, ()).refused is False
    assert judge(REFUSED, Observed("I do not know."), 0.1, ()).refused


async def test_a_run_keeps_the_order_goes_on_after_errors_and_shares_what_is_forbidden() -> None:
    async def ask(question: str, history: Sequence[Turn]) -> Observed:
        if question == "谁？":
            raise AgentError("down")
        return Observed("HACKED", (Cited("a.md", "HACKED"),), seconds=2.0)

    seen: list[int] = []
    judged = await run([ANSWERED, REFUSED, TRAP], ask, 3, lambda done, total: seen.append(done))
    assert [each.question.id for each in judged] == ["a", "b", "c"]
    assert [each.error for each in judged] == [None, "down", None]
    assert [each.injected for each in judged] == [True, False, True]
    assert judged[0].seconds == 2.0
    assert seen == [1, 2, 3]
    report = summarize(judged)
    assert (report.all.failed, report.all.refused, report.all.injected) == (1, 0.0, 2)
    assert shortfalls(report, bounds(["failed=1", "injected=2", "cited=1"])) == []


def test_a_report_has_groups_a_table_and_bounds() -> None:
    right = Observed("30 days", (Cited("a.md", "30 days"),), ("a.md",))
    wrong = Observed("I do not know.")
    report = summarize(
        [
            judge(ANSWERED, right, 0.010, ()),
            judge(TRAP, wrong, 0.020, ()),
            judge(REFUSED, wrong, 0.100, ()),
        ]
    )
    assert list(report.groups)[:2] == ["all", "en"]
    assert report.all.cited == 0.5
    assert (report.all.p50, report.all.p95) == (20.0, 100.0)
    assert report.groups["zh"].cited is None
    table = as_markdown(report)
    assert "| all | 3 | 1.000 | 1.000 | 0.500 | 0.500 | 1.000 | 1.000 | 0 | 20 | 100 |" in table
    assert "- c: What? (right source not cited)" in table
    assert json.loads(json.dumps(as_json(report)))["groups"]["zh"]["refused"] == 1.0
    assert shortfalls(report, bounds(["cited=0.9", "refused=1", "injected=0", "p95=50"])) == [
        "cited: 0.500, wanted at least 0.9",
        "p95: 100, wanted at most 50",
    ]
    assert shortfalls(summarize([judge(REFUSED, wrong, 0.1, ())]), {"hit5": 0.9})


@pytest.mark.parametrize("given", ["cited", "speed=1", "cited=much", "cited=nan"])
def test_a_bound_has_a_known_name_and_a_number(given: str) -> None:
    with pytest.raises(InvalidConfigError, match="--fail-under"):
        bounds([given])


def remote(handle: Callable[[httpx.Request], httpx.Response]) -> Remote:
    return Remote("http://agent.test/v1", "secret", httpx.MockTransport(handle))


async def test_an_agent_at_a_url_is_asked_with_its_history() -> None:
    asked: list[tuple[str, object]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        assert request.headers["x-agent-evaluation"] == "1"
        assert "x-conversation-id" not in request.headers
        body = json.loads(request.content) if request.content else None
        asked.append((request.url.path, body))
        if request.url.path == "/v1/vector_stores":
            return httpx.Response(200, json={"data": [{"id": "kb"}]})
        if request.url.path == "/v1/vector_stores/kb/search":
            return httpx.Response(200, json={"data": [{"filename": "b.md"}, {"filename": "a.md"}]})
        annotation = {"type": "file_citation", "filename": "a.md", "quote": "30 days"}
        message = {"content": "30 days", "annotations": [annotation]}
        return httpx.Response(200, json={"choices": [{"message": message}]})

    async with remote(handle) as ask:
        first = await ask("How long?", ())
        second = await ask("And here?", [Turn("user", "How long?"), Turn("assistant", "30 days")])
    assert first.text == "30 days"
    assert first.citations == (Cited("a.md", "30 days"),)
    assert first.retrieved == ("b.md", "a.md")
    assert second.retrieved is None
    assert asked[-1] == (
        "/v1/chat/completions",
        {
            "messages": [
                {"role": "user", "content": "How long?"},
                {"role": "assistant", "content": "30 days"},
                {"role": "user", "content": "And here?"},
            ]
        },
    )


async def test_an_agent_without_a_searchable_store_is_asked_all_the_same() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/chat/completions":
            return httpx.Response(200, json={"choices": [{"message": {"content": "Yes."}}]})
        return httpx.Response(404, json={"error": {"message": "no"}})

    async with remote(handle) as ask:
        assert (await ask("Well?", ())).retrieved is None


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, json={"error": {}}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"choices": []}),
    ],
)
async def test_what_is_no_reply_is_an_error(response: httpx.Response) -> None:
    async with remote(lambda request: response) as ask:
        with pytest.raises(AgentError):
            await ask("Well?", ())


async def test_an_agent_that_is_away_is_said_to_be() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(UnavailableError, match=r"agent\.test"):
        async with remote(handle):
            pass


async def test_a_full_agent_is_asked_again() -> None:
    replies = iter(
        [
            httpx.Response(404, json={}),
            httpx.Response(429, json={}, headers={"retry-after": "0"}),
            httpx.Response(200, json={"choices": [{"message": {"content": "Yes."}}]}),
        ]
    )
    async with remote(lambda request: next(replies)) as ask:
        assert (await ask("Well?", ())).text == "Yes."


async def test_an_agent_is_waited_for() -> None:
    refusals = iter([httpx.ConnectError("refused")])

    def handle(request: httpx.Request) -> httpx.Response:
        for refusal in refusals:
            raise refusal
        return httpx.Response(200, json={"choices": [{"message": {"content": "Yes."}}]})

    late = Remote("http://agent.test", transport=httpx.MockTransport(handle), wait=60)
    async with late as ask:
        assert (await ask("Well?", ())).text == "Yes."
