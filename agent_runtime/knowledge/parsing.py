"""From the bytes of a file to its title and text: the one place that tells formats apart.

A file is what it contains; its name only decides where the content leaves it open. Pure, so that
another process can do it: parsing is slow, and holds the interpreter's lock all the while.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.formats.encoding import decode
from agent_runtime.knowledge.markdown import title_of

MAX_BYTES = 20 * 2**20
MAX_CHARACTERS = 20_000_000
"""Most text of one document: a small file may unpack to more than memory holds."""

SUFFIXES = frozenset({
    ".md", ".markdown", ".txt", ".text", ".html", ".htm", ".xhtml", ".pdf", ".docx",
    ".doc", ".rtf", ".odt", ".xlsx", ".pptx", ".epub",
})  # fmt: skip
"""What counts as a document in a folder. The second line is refused with a reason."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_REFUSED = (
    (b"{\\rtf", "RTF, which is not read: save it as DOCX"),
    (b"\x89PNG", "binary: a PNG image"),
    (b"\xff\xd8\xff", "binary: a JPEG image"),
    (b"GIF8", "binary: a GIF image"),
    (b"\x1f\x8b", "binary: a gzip archive"),
    (b"Rar!", "binary: a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "binary: a 7-Zip archive"),
    (b"\x7fELF", "binary: a program"),
)
_PACKAGES = (
    ("word/document.xml", None),
    ("xl/workbook.xml", "an Excel workbook, which is not read: save it as HTML or PDF"),
    ("ppt/presentation.xml", "a PowerPoint file, which is not read: save it as PDF"),
    ("content.xml", "an OpenDocument file, which is not read: save it as DOCX or PDF"),
    ("META-INF/container.xml", "an EPUB, which is not read: save it as HTML or PDF"),
)
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*"
    rb"<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_TAG = re.compile(rb"</?[a-zA-Z][a-zA-Z0-9]*[^<>]*>")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as Markdown: what it is cut from and quoted from."""

    title: str
    text: str


def parse(name: str, content: bytes, max_bytes: int = MAX_BYTES) -> Parsed:
    """Read a document of any format that is known.

    Args:
        name: the file's name or path; its stem is the title of a document that has none.
        content: the file.
        max_bytes: the largest file that is read.

    Raises:
        UnreadableDocumentError: no text can be taken from it; the message says why.
    """
    check_size(len(content), max_bytes)
    if not content.strip():
        raise UnreadableDocumentError("empty")
    try:
        title, text = _read(PurePath(name).suffix.lower(), content)
    except RecursionError as error:
        raise UnreadableDocumentError("nested too deeply") from error
    except MemoryError as error:
        raise UnreadableDocumentError("needs more memory than there is") from error
    if len(text) > MAX_CHARACTERS:
        raise UnreadableDocumentError(f"more than {MAX_CHARACTERS:,} characters of text")
    # Half a surrogate pair, which some PDFs hold, is no text that can be stored.
    text = text.encode("utf-8", "replace").decode().replace("\0", "")
    if not text.strip():
        raise UnreadableDocumentError("empty")
    return Parsed(title or PurePath(name).stem, text)


def check_size(size: int, max_bytes: int = MAX_BYTES) -> None:
    """Raise UnreadableDocumentError for a file that is larger than what is read."""
    if size > max_bytes:
        raise UnreadableDocumentError(
            f"too large: {size / 2**20:.1f} MiB, and at most {max_bytes / 2**20:g} are read"
        )


def _read(suffix: str, content: bytes) -> tuple[str | None, str]:
    """Return title and text. Readers are imported here: most runs need few of them."""
    if b"%PDF-" in content[:1024]:
        from agent_runtime.knowledge.formats.pdf import read_pdf

        return read_pdf(content)
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _expect_docx(content)
        from agent_runtime.knowledge.formats.docx import read_docx

        return read_docx(content)
    if content.startswith(_OLE):
        locked = "EncryptedPackage".encode("utf-16-le") in content
        old = "an old binary Office file, which is not read: save it as DOCX"
        raise UnreadableDocumentError("encrypted: it opens with a password only" if locked else old)
    for beginning, reason in _REFUSED:
        if content.startswith(beginning):
            raise UnreadableDocumentError(reason)
    if _PAGE.match(content[:4096]) or (
        suffix in (".html", ".htm", ".xhtml") and _TAG.search(content)
    ):
        from agent_runtime.knowledge.formats.html import read_html

        return read_html(content)
    text = decode(content)
    return title_of(text), text


def _expect_docx(content: bytes) -> None:
    try:
        names = set(zipfile.ZipFile(BytesIO(content)).namelist())
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UnreadableDocumentError(f"a broken Word document or ZIP archive: {error}") from error
    for part, refusal in _PACKAGES:
        if part in names:
            if refusal:
                raise UnreadableDocumentError(refusal)
            return
    raise UnreadableDocumentError("binary: a ZIP archive")
