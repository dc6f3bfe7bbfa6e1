"""Documents made for a test, byte by byte what real programs write."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import docx
from pypdf import PdfReader, PdfWriter
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table

TITLE, HEADING, BODY = "Title", "Heading2", "BodyText"
Flowable = tuple[str, str] | list[list[str]] | None
"""A style and a text; the rows of a table; None for a new page."""


def pdf(flowables: Sequence[Flowable], running: str | None = None) -> bytes:
    """Set a PDF. `running` stands at the foot of each page, followed by its number."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    styles: Any = getSampleStyleSheet()
    chinese = {
        name: ParagraphStyle(
            f"zh-{name}", fontName="STSong-Light", fontSize=size, leading=size * 1.4, wordWrap="CJK"
        )
        for name, size in ((TITLE, 18), (HEADING, 14), (BODY, 10))
    }

    def made(each: Flowable) -> Any:
        if each is None:
            return PageBreak()
        if isinstance(each, list):
            return Table(each)
        style, text = each
        return Paragraph(text, (styles if text.isascii() else chinese)[style])

    def foot(canvas: Any, document: Any) -> None:
        if running:
            canvas.drawString(72, 30, f"{running} {document.page}")

    buffer = BytesIO()
    document = SimpleDocTemplate(buffer)
    document.build([made(each) for each in flowables], onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()


def pdf_lines(lines: Sequence[str]) -> bytes:
    """Draw each line where a program would that knows nothing of paragraphs."""
    buffer = BytesIO()
    canvas = Canvas(buffer)
    for number, line in enumerate(lines):
        canvas.drawString(72, 700 - 14 * number, line)
    canvas.save()
    return buffer.getvalue()


def scanned_pdf() -> bytes:
    """A page with a picture on it and no text."""
    buffer = BytesIO()
    canvas = Canvas(buffer)
    canvas.rect(100, 100, 200, 200, fill=1)
    canvas.save()
    return buffer.getvalue()


def encrypted(content: bytes, user: str) -> bytes:
    """Encrypt a PDF; without a user's password anybody may open it, as many printed ones are."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(content)))
    writer.encrypt(user, owner_password="owner", algorithm="AES-256")
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def word(blocks: Sequence[tuple[str, str] | list[list[str]]]) -> bytes:
    """Write a DOCX of paragraphs with their styles, and tables."""
    document = docx.Document()
    for each in blocks:
        if isinstance(each, list):
            table = document.add_table(len(each), len(each[0]))
            for row, cells in zip(table.rows, each, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
        else:
            document.add_paragraph(each[1], style=each[0])
    buffer = BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def replaced(package: bytes, part: str, content: bytes) -> bytes:
    """Put other content into a part of a ZIP package."""
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(package)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, content if name == part else old.read(name))
    return buffer.getvalue()


def part_of(package: bytes, part: str) -> bytes:
    return zipfile.ZipFile(BytesIO(package)).read(part)


def zipped(**parts: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return buffer.getvalue()
