"""Documents that are mislabelled, broken, locked or hostile: read as what they are, or refused."""

from __future__ import annotations

import codecs
import pickle
import socket
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.markdown import blocks_of
from agent_runtime.knowledge.parsing import parse
from tests.unit.runtime.knowledge.files import (
    BODY,
    encrypted,
    part_of,
    pdf,
    replaced,
    scanned_pdf,
    word,
    zipped,
)

PDF = pdf([(BODY, "Printed words.")])
DOCX = word([("Normal", "Written words.")])
SIMPLIFIED = "退货政策：自收货之日起三十天内，您可以退回未使用的商品。\n"
TRADITIONAL = "退貨政策：自收貨之日起三十天內，您可以退回未使用的商品。\n"


def refusal(name: str, content: bytes) -> str:
    with pytest.raises(UnreadableDocumentError) as refused:
        parse(name, content)
    assert refused.value.reason == "UnreadableDocument"
    return str(refused.value)


def outcome_of(name: str, content: bytes) -> str:
    """Return the text, or why there is none."""
    try:
        return parse(name, content).text
    except UnreadableDocumentError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("printed.md", PDF, "Printed words."),
        ("written.txt", DOCX, "Written words."),
        ("page.md", b"<!-- x -->\n<!DOCTYPE html><p>Seen</p><script>x</script>", "Seen"),
        ("page.docx", b"<html><body><p>Seen</p>", "Seen"),
        ("note.pdf", b"# Only text", "# Only text"),
        ("note.html", b"Only *text* & 2 < 3", "Only *text* & 2 < 3"),
        ("no-suffix", b"Text.", "Text."),
        ("printed.docx", encrypted(PDF, user=""), "Printed words."),
    ],
)
def test_a_mislabelled_file_is_read_as_what_it_is(name: str, content: bytes, text: str) -> None:
    assert parse(name, content).text.rstrip("\n").split("\n\n")[-1] == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \r\n\t ", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (b"<html><body><script>x</script></body></html>", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG image"),
        (bytes(range(256)) * 4, "binary"),
        (b"text\0" * 9, "binary"),
        (b"{\\rtf1 text}", "RTF"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(99), "old binary Office file"),
        (
            bytes.fromhex("d0cf11e0a1b11ae1") + "EncryptedPackage".encode("utf-16-le"),
            "encrypted",
        ),
        (zipped(a=b"x"), "ZIP archive"),
        (zipped(**{"xl/workbook.xml": b"x"}), "Excel"),
        (zipped(**{"word/document.xml": b"<w:document/>"}), "broken Word document"),
        (DOCX[: len(DOCX) // 2], "broken Word document"),
        (replaced(DOCX, "word/document.xml", b"<w:document><"), "broken Word document"),
        (PDF[:700], "broken PDF"),
        (b"%PDF-1.7\n" + bytes(500), "broken PDF"),
        (encrypted(PDF, user="secret"), "encrypted"),
        (scanned_pdf(), "no text in it"),
        ("Größe".encode("latin-1"), "not UTF-8"),
        (codecs.BOM_UTF16_LE + b"odd", "not the UTF-16"),
        (b"x" * (20 * 2**20 + 1), "too large: 20.0 MiB"),
    ],
)
@pytest.mark.parametrize("name", ["a.md", "a.pdf"])
def test_what_cannot_be_read_is_refused_with_the_reason(
    name: str, content: bytes, reason: str
) -> None:
    assert reason in refusal(name, content)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (SIMPLIFIED, "utf-8-sig"),
        (SIMPLIFIED, "utf-16"),
        (SIMPLIFIED, "utf-32"),
        (SIMPLIFIED, "gb2312"),
        (SIMPLIFIED * 50 + "㐀€", "gb18030"),
        (TRADITIONAL, "big5"),
        ("Größe 3 €", "utf-8"),
    ],
)
def test_the_encoding_is_told(text: str, encoding: str) -> None:
    assert parse("a.txt", text.encode(encoding)).text == text


def test_line_ends_of_all_systems_are_one() -> None:
    assert parse("a.md", b"# A\r\n\r\nb\rc\n").text == "# A\n\nb\nc\n"


def test_a_word_document_that_unpacks_without_end_is_not_unpacked() -> None:
    bomb = replaced(DOCX, "word/document.xml", b" " * (101 * 2**20))
    assert len(bomb) < 2**20
    assert refusal("a.docx", bomb) == "unpacks to more than 100 MiB"


def test_entities_are_not_multiplied() -> None:
    """The billion laughs: ten times ten times ten … times."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    laughs = f'<!DOCTYPE d [<!ENTITY l0 "ha">{levels}]>'
    body = part_of(DOCX, "word/document.xml").decode()
    start = body.index("<w:document")
    body = body[:start] + laughs + body[start:].replace("Written words.", "x &l9; y")
    assert len(outcome_of("a.docx", replaced(DOCX, "word/document.xml", body.encode()))) < 200
    page = f'<?xml version="1.0"?>{laughs.replace("DOCTYPE d", "DOCTYPE html")}<p>x &l9; y</p>'
    assert len(parse("a.html", page.encode()).text) < 2000


def test_external_entities_and_resources_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: object) -> None:
        raise AssertionError("it speaks to somebody")

    monkeypatch.setattr(socket, "socket", no_socket)
    body = part_of(DOCX, "word/document.xml").decode()
    start = body.index("<w:document")
    external = '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    body = body[:start] + external + body[start:].replace("Written words.", "x &e; y")
    package = replaced(DOCX, "word/document.xml", body.encode())
    assert "root" not in outcome_of("a.docx", package)
    page = (
        b'<!DOCTYPE html SYSTEM "http://127.0.0.1:1/x.dtd"><link rel=stylesheet '
        b'href="http://127.0.0.1:1/x.css"><img src="http://127.0.0.1:1/x.png"><p>Text.</p>'
    )
    assert parse("a.html", page).text == "Text.\n"


@pytest.mark.parametrize(
    ("name", "content", "outcome"),
    [
        ("a.html", b"<div>" * 100_000 + b"deep", "nested too deeply"),
        ("a.html", b"<table><tr><td>" * 20_000 + b"deep", "nested too deeply"),
        ("a.html", b"<ul><li>" * 20_000 + b"deep", "nested too deeply"),
        ("a.html", b"<div>" * 300 + b"deep", "deep\n"),
        ("a.html", b"<!--" * 100_000 + b"--><p>deep", "deep\n"),
        ("a.md", b"> " * 20_000 + b"deep", "> > >"),
        ("a.md", b"- " * 20_000 + b"deep", "- - -"),
        ("a.md", b"[" * 100_000 + b"deep", "[[[[["),
        ("a.md", b"|" * 100_000 + b"\n" + b"|-" * 50_000, "|||||"),
    ],
)
@pytest.mark.timeout(20)
def test_deep_nesting_ends_and_soon(name: str, content: bytes, outcome: str) -> None:
    assert outcome_of(name, content).startswith(outcome)
    blocks_of(content.decode())


@pytest.mark.timeout(20)
def test_a_pdf_whose_pages_go_in_a_circle_ends() -> None:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(PDF)))
    pages: Any = writer.root_object["/Pages"]
    pages["/Kids"].append(writer.root_object.raw_get("/Pages"))
    content = BytesIO()
    writer.write(content)
    assert "Printed words." in outcome_of("a.pdf", content.getvalue()) or refusal(
        "a.pdf", content.getvalue()
    ).startswith("a broken PDF")


def test_a_parsed_document_and_a_refusal_can_come_from_another_process() -> None:
    parsed = parse("a.md", b"# A\n\nb")
    assert pickle.loads(pickle.dumps(parsed)) == parsed  # noqa: S301
    refused = pickle.loads(pickle.dumps(UnreadableDocumentError("why")))  # noqa: S301
    assert str(refused) == "why"
