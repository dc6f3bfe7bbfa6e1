"""Logs as lines of JSON, for programs, or as text, for people at a terminal.

What users ask and what they are told is never logged unless AGENT_LOG_MESSAGES says so.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from opentelemetry import trace

Style = Literal["json", "text"]
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CHATTY = ("httpx", "httpx2", "faiss.loader", "openai._base_client", "mcp", "bm25s")
"""Packages that say on INFO what nobody needs, or which addresses they call."""


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
            line["span_id"] = trace.format_span_id(span.span_id)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(style: Style | None, level: int = logging.INFO) -> None:
    """Send all logs to standard error. Without a style: text for a terminal, else JSON."""
    handler = logging.StreamHandler(sys.stderr)
    chosen = style or ("text" if sys.stderr.isatty() else "json")
    handler.setFormatter(JsonFormatter() if chosen == "json" else logging.Formatter(TEXT))
    handler.setLevel(level)  # some packages switch their own debugging on
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
