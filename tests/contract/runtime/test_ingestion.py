"""Ingestion into a real store: what changed only, kills, reports."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import cast

import httpx

from tests.contract.runtime.processes import KNOWLEDGE, Chroma, Ingestion, until
from tests.unit.runtime.knowledge import files


def count(chroma: Chroma, collection: str) -> int:
    base = (
        f"http://127.0.0.1:{chroma.port}/api/v2/tenants/default_tenant/databases/"
        "default_database/collections"
    )
    found = httpx.get(f"{base}/{collection}")
    if found.status_code == 404:
        return 0
    return int(httpx.get(f"{base}/{found.json()['id']}/count").json())


def some(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    for file in sorted(KNOWLEDGE.glob("en-*.md"))[:8]:
        shutil.copy(file, folder)
    return folder


def test_only_changes_are_counted_and_the_rest_stays(
    chroma: Chroma, models: Path, tmp_path: Path
) -> None:
    knowledge = some(tmp_path)
    (knowledge / "broken.md").write_bytes("Größe".encode("latin-1"))
    ingestion = Ingestion(tmp_path, models, chroma.url("counted"), knowledge)
    first = ingestion.run()
    assert (first["documents"], first["changed"]) == (8, 8)
    assert first["chunks"] == count(chroma, "counted")
    assert first["skipped"] == [{"path": "shop/broken.md", "reason": "not UTF-8"}]
    again = ingestion.run()
    assert (again["changed"], again["indexVersion"]) == (0, first["indexVersion"])
    (knowledge / "en-contact.md").unlink()
    (knowledge / "new.txt").write_text("A new note.")
    third = ingestion.run()
    assert (third["documents"], third["changed"]) == (8, 2)
    assert int(str(third["indexVersion"])) > int(str(first["indexVersion"])) > 0
    assert third["chunks"] == count(chroma, "counted")


def test_every_format_is_found_and_bad_documents_cost_no_other(
    chroma: Chroma, models: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    printed = files.pdf([(files.TITLE, "Printed"), (files.BODY, "Printed words.")])
    for name, content in (
        ("a.md", b"# Marked\n\nMarked words."),
        ("b.html", b"<!DOCTYPE html><title>Page</title><p>Page words."),
        ("c.pdf", printed),
        ("d.docx", files.word([("Title", "Written"), ("Normal", "Written words.")])),
        ("e.txt", "退货政策：自收货之日起三十天内，您可以退回。".encode("gb18030")),
        ("mislabelled.md", printed),
        ("locked.pdf", files.encrypted(printed, "secret")),
        ("scanned.pdf", files.scanned_pdf()),
        ("broken.docx", files.word([])[:3000]),
        ("picture.txt", b"\x89PNG\r\n\x1a\n"),
    ):
        (folder / name).write_bytes(content)
    report = Ingestion(tmp_path, models, chroma.url("mixed"), folder).run()
    assert (report["documents"], report["chunks"]) == (6, 6)
    skipped = {
        each["path"]: each["reason"].partition(":")[0]
        for each in cast(list[dict[str, str]], report["skipped"])
    }
    assert skipped == {
        "shop/locked.pdf": "encrypted",
        "shop/scanned.pdf": "no text in it",
        "shop/broken.docx": "a broken Word document or ZIP archive",
        "shop/picture.txt": "binary",
    }


def test_a_killed_ingestion_is_completed_by_the_next(
    chroma: Chroma, models: Path, tmp_path: Path
) -> None:
    # All of them, so that most is still to come when the first is seen.
    killed = Ingestion(tmp_path, models, chroma.url("killed"), KNOWLEDGE)
    killed.start()
    until(lambda: count(chroma, "killed") or None, "nothing is written")
    killed.signal(signal.SIGKILL)
    killed.wait()
    assert not killed.report.exists()
    half = count(chroma, "killed")
    report = Ingestion(tmp_path, models, chroma.url("killed"), KNOWLEDGE).run()
    documents = len(list(KNOWLEDGE.iterdir()))
    assert report["documents"] == documents
    assert half < int(str(report["chunks"])) == count(chroma, "killed")


def test_no_documents_is_a_reason_and_changes_nothing(
    chroma: Chroma, models: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    report = Ingestion(tmp_path, models, chroma.url("untouched"), empty).run()
    assert report["reason"] == "NoDocuments"
    assert count(chroma, "untouched") == 0


def test_a_store_that_is_not_there_yet_is_waited_for(models: Path, tmp_path: Path) -> None:
    late = Chroma(tmp_path)
    ingestion = Ingestion(tmp_path, models, late.url("late"), some(tmp_path))
    ingestion.start()
    try:
        until(lambda: "waiting: the vector store" in ingestion.log.read_text() or None, "it waits")
        late.start()
        assert ingestion.wait() == 0
    finally:
        ingestion.stop()
        late.stop()
