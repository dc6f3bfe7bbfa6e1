"""The check of words: where it finds a phrase, and where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev import words


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which every phrase is fine."""
    write(tmp_path, "operator/chatagent_operator/clean.py", '"""Rolls back."""\n')
    write(tmp_path, "docs/clean.md", "The revision is rolled back.\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def found(root: Path) -> list[tuple[str, int, str]]:
    return [(hit.path.as_posix(), hit.line, hit.phrase) for hit in words.find_all(root)]


def test_a_clean_checkout_passes(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words.main(checkout) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("source", "line", "phrase"),
    [
        ('x = 1\ny = f"revision {x} was taken back: {x}"\n', 2, "taken back"),
        (
            'def f() -> None:\n    """Stops.\n\n    It is Taken\n    back.\n    """\n',
            4,
            "Taken back",
        ),
        (
            'raise ValueError(\n    "the canary is asked "\n    "for no more"\n)\n',
            2,
            "asked for no more",
        ),
        ('class A:\n    a: int = 1\n    """What came of it."""\n', 3, "What came of"),
        ("f\"{'said nothing' if x else ''}\"\n", 1, "said nothing"),
    ],
)
def test_a_phrase_in_python(checkout: Path, source: str, line: int, phrase: str) -> None:
    write(checkout, "operator/chatagent_operator/cli/texts.py", source)
    assert found(checkout) == [("operator/chatagent_operator/cli/texts.py", line, phrase)]


@pytest.mark.parametrize("name", ["README.md", "docs/adr/1.md", "crds/a.yaml", "CONTRIBUTING.md"])
def test_a_phrase_in_a_text(checkout: Path, name: str) -> None:
    write(checkout, name, "First.\n\nThe canary makes\nway.\n")
    assert found(checkout) == [(name, 3, "makes way")]


def test_the_report(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(checkout, "docs/rollout.md", "The weights of before stay.\n")
    assert words.main(checkout) == 1
    report = "docs/rollout.md:1: 'weights of before'; write instead: previous\n"
    assert capsys.readouterr().err == report


@pytest.mark.parametrize(
    "source",
    [
        "# a comment: taken back\n",
        "taken_back = 1\n",
        'x = "feedback, backs, a takeback"\n',
        'x = "the measurement succeeds; a limit is exceeded"\n',
    ],
)
def test_what_is_no_phrase(checkout: Path, source: str) -> None:
    write(checkout, "operator/chatagent_operator/cli/texts.py", source)
    assert found(checkout) == []
