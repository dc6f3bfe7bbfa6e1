"""Hayhooks with one worker, tuned: uvloop, httptools, no access log, no traces."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ |= {
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HAYHOOKS_TRACING_ENABLED": "false",
    "HAYHOOKS_PIPELINES_DIR": str(Path(__file__).with_name("pipelines")),
    "LOG": "WARNING",
}

import uvicorn
from hayhooks import create_app

if __name__ == "__main__":
    uvicorn.run(
        create_app(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
