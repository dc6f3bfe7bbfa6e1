"""From files to passages: reading, structure, cutting."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.config import ChunkingConfig
from agent_runtime.domain import Chunk, Document
from agent_runtime.errors import InvalidConfigError, NoDocumentsError, UnreadableDocumentError
from agent_runtime.knowledge.chunking import chunk
from agent_runtime.knowledge.markdown import blocks_of, title_of
from agent_runtime.knowledge.parsing import parse
from agent_runtime.knowledge.preparing import recipe
from agent_runtime.knowledge.sources import original, read_sources


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def cut(text: str, max_tokens: int = 32, overlap: int = 1) -> list[Chunk]:
    config = ChunkingConfig(max_tokens=max_tokens, overlap_sentences=overlap)
    return chunk(Document("s", "a.md", "T", text, "f" * 32), words, config)


def sentences(chunk: Chunk) -> list[str]:
    return [chunk.text[start:end] for start, end in chunk.sentences]


def test_a_configmap_is_read_once_and_its_files_by_their_names(tmp_path: Path) -> None:
    version = tmp_path / "..2026_11_24"
    version.mkdir()
    (version / "returns.md").write_text("# Returns\n\nWithin 30 days.")
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "returns.md").symlink_to("..data/returns.md")
    originals, skipped = read_sources({"shop": tmp_path}, "r")
    assert [each.path for each in originals] == ["returns.md"]
    assert parse(originals[0].path, originals[0].read()).title == "Returns"
    assert skipped == []


def test_documents_are_found_by_their_names_and_what_cannot_be_opened_is_listed(
    tmp_path: Path,
) -> None:
    for name in ("a.md", "b.TXT", "c.html", "d.pdf", "e.docx", "f.rtf", "g.png", "h", ".i.md"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "j.htm").write_text("j")
    with (tmp_path / "large.txt").open("wb") as large:
        large.truncate(30 * 2**20)
    (tmp_path / "gone.md").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.md")
    originals, skipped = read_sources({"shop": tmp_path}, "r")
    assert [each.path for each in originals] == [
        "a.md", "b.TXT", "c.html", "d.pdf", "e.docx", "f.rtf", "sub/j.htm",
    ]  # fmt: skip
    assert {(each.path, each.reason) for each in skipped} == {
        ("shop/large.txt", "too large: 30.0 MiB, and at most 20 are read"),
        ("shop/gone.md", "not a file"),
        ("shop/pipe.md", "not a file"),
    }


def test_a_source_without_documents_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(NoDocumentsError, match=f"shop={tmp_path}"):
        read_sources({"shop": tmp_path}, "r")
    with pytest.raises(InvalidConfigError, match="not a folder"):
        read_sources({"shop": tmp_path / "missing"}, "r")
    with pytest.raises(InvalidConfigError, match="kept for uploaded files"):
        read_sources({"files": tmp_path}, "r")


def test_the_fingerprint_follows_the_content_and_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("One.")

    def fingerprint(recipe: str) -> str:
        return read_sources({"s": tmp_path}, recipe)[0][0].fingerprint

    first = fingerprint("r")
    os.utime(file, (0, 0))
    assert fingerprint("r") == first
    assert fingerprint("r2") != first
    file.write_text("Two.")
    assert fingerprint("r") != first
    uploaded = original("files", "a.md", b"Two.", "r")
    assert uploaded.fingerprint == fingerprint("r")


def test_the_recipe_names_the_prompt_of_passages_where_there_is_one() -> None:
    config = ChunkingConfig()
    assert recipe(config, "") == "2:160:1"  # another name for the same indexes everything again
    assert len({recipe(config, prompt) for prompt in ("", "passage: ", "passage:")}) == 3


def test_a_file_that_changes_between_looking_and_reading_is_left_for_the_next_run(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.md"
    file.write_text("One.")
    ((found,), _) = read_sources({"s": tmp_path}, "r")
    file.write_text("Two.")
    with pytest.raises(UnreadableDocumentError, match="changed"):
        found.read()


def test_the_title_is_the_first_heading_of_the_first_level() -> None:
    assert title_of("## Note\n# Returns #\n") == "Returns"
    assert title_of("## Only\n") == "Only"
    assert title_of("no heading") is None


def test_structure_is_seen_in_all_its_forms() -> None:
    text = (
        "---\ntitle: x\n---\n# A\n\nOne\nline.\n\n- first\n  more\n- second\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n## B\n\n```sh\n# no heading\n```\n> quoted\n"
        "<!-- hidden -->\n\nSetext\n------\nEnd."
    )
    found = [(each.kind, text[slice(*each.span)], each.headings) for each in blocks_of(text)]
    assert found == [
        ("prose", "One\nline.", ("A",)),
        ("item", "first\n  more", ("A",)),
        ("item", "second", ("A",)),
        ("row", "| a | b |", ("A",)),
        ("row", "| 1 | 2 |", ("A",)),
        ("code", "```sh\n# no heading\n```", ("A", "B")),
        ("prose", "quoted", ("A", "B")),
        ("prose", "End.", ("A", "Setext")),
    ]


def test_passages_end_at_headings_and_repeat_a_sentence() -> None:
    text = "# A\n\n" + " ".join(f"Sentence number {n} has some words." for n in range(10))
    text += "\n\n## B\n\nAnother topic."
    passages = cut(text)
    assert [each.headings for each in passages] == [("A",)] * (len(passages) - 1) + [("A", "B")]
    assert sentences(passages[1])[0] == sentences(passages[0])[-1]
    assert all(words([each.text])[0] <= 32 for each in passages)
    assert [each.key.total for each in passages] == [len(passages)] * len(passages)


def test_a_sentence_longer_than_a_passage_is_split_and_nothing_lost() -> None:
    text = " ".join(f"w{n}" for n in range(100)) + "."
    passages = cut(text, overlap=0)
    assert all(words([each.text])[0] <= 32 for each in passages)
    assert " ".join(each.text for each in passages).split() == text.split()


blocks = st.sampled_from(
    [
        "# H",
        "## K",
        "Word. Other word!",
        "一句话。又一句？",
        "- item one",
        "| a | b |",
        "```\nx\n```",
        "",
    ]
)


@given(st.lists(blocks, max_size=20), st.integers(0, 3))
def test_passages_are_verbatim_and_hold_every_sentence(lines: list[str], overlap: int) -> None:
    text = "\n".join(lines)
    passages = cut(text, overlap=overlap)
    for each in passages:
        assert text[each.start : each.start + len(each.text)] == each.text
        assert all(0 <= a < b <= len(each.text) for a, b in each.sentences)
    covered = {each.start + n for each in passages for a, b in each.sentences for n in range(a, b)}
    for block in blocks_of(text):
        wanted = {n for n in range(*block.span) if not text[n].isspace()}
        assert wanted <= covered
