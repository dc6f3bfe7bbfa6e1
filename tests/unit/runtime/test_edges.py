"""Settings, the termination message, and the command line's complaints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime import settings, termination
from agent_runtime.__main__ import main


def test_the_environment_gives_defaults_and_an_empty_value_none() -> None:
    read = settings.read({"AGENT_VECTOR_STORE": "", "AGENT_MODELS": "/m", "AGENT_REVISION": "r7"})
    assert (read.vector_store, read.models, read.revision) == (None, Path("/m"), "r7")
    assert settings.read({"AGENT_TERMINATION_LOG": "/x"}).termination_log == Path("/x")
    assert settings.cpus() >= 1


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=9000), max_size=3))
def test_the_last_words_fit_and_are_json(report: dict[str, str]) -> None:
    text = termination.encode(report)
    assert len(text.encode()) <= termination.LIMIT
    json.loads(text)


def test_a_long_list_is_shortened_and_the_rest_kept() -> None:
    report = {"documents": 3, "skipped": [{"path": f"a/{n}.md"} for n in range(1000)]}
    kept = json.loads(termination.encode(report))
    assert kept["documents"] == 3
    assert 0 < len(kept["skipped"]) < 1000


def failed(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    log = tmp_path / "termination"
    monkeypatch.setenv("AGENT_TERMINATION_LOG", str(log))
    monkeypatch.delenv("AGENT_VECTOR_STORE", raising=False)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code not in (0, None)
    return json.loads(log.read_text())


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("retrieval: {topK: 99}", "pipeline.retrieval.topK"),
        ("retrieval: {topk: 5}", "pipeline.retrieval.topk"),
        ("[1, 2]", "pipeline"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_configuration_is_named_by_its_field(
    yaml: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(yaml)
    words = failed(
        ["serve", str(config), "--vector-store", "chroma://h:1/docs"], tmp_path, monkeypatch
    )
    assert words["reason"] == "InvalidConfig"
    assert message in words["message"]


def test_a_model_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, models = tmp_path / "agent.yaml", tmp_path / "models"
    config.write_text("retrieval: {embeddingModel: org/absent}")
    (models / "org" / "present").mkdir(parents=True)
    (models / "org" / "present" / "model.json").write_text("{}")
    words = failed(
        ["serve", str(config), "--vector-store", "chroma://h:1/docs", "--models", str(models)],
        tmp_path,
        monkeypatch,
    )
    assert words == {
        "reason": "ModelNotFound",
        "message": "pipeline.retrieval.embeddingModel: 'org/absent' is not in this image; "
        "it has: org/present",
    }


def test_what_is_missing_on_the_command_line_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("")
    assert "--vector-store" in failed(["serve", str(config)], tmp_path, monkeypatch)["message"]
    ingest = ["ingest", str(config), "--vector-store", "chroma://h:1/docs", "--source", "x"]
    assert "NAME=DIR" in failed(ingest, tmp_path, monkeypatch)["message"]
