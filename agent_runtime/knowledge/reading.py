"""The process behind `DocumentWorker`: reads documents until its pipe closes. Nobody imports it."""

from __future__ import annotations

import logging
import os
import resource
import signal
from dataclasses import replace
from multiprocessing.connection import Connection

from agent_runtime.errors import UnreadableDocumentError
from agent_runtime.knowledge.preparing import passages

PART = 32
"""Passages sent at once: what receives them does not stop for long."""
NICE = 10
MEMORY_BYTES = 4 * 2**30
"""Address space: a document that wants more is refused, instead of the whole pod being killed."""


def serve(descriptor: int) -> None:
    """Answer each Original with lists of its passages and None, or with the refusal."""
    os.nice(NICE)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core is what it may have
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent ends us
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # a refusal says what matters
    pipe = Connection(descriptor)
    try:
        count, config = pipe.recv()
        count(["ready"])
        pipe.send("ready")
        while True:
            original = pipe.recv()
            if original.content == b"":
                original = replace(original, content=pipe.recv_bytes())
            try:
                chunks = passages(original, count, config)
            except UnreadableDocumentError as error:
                pipe.send(error)
                continue
            except (Exception, MemoryError, RecursionError) as error:
                logging.exception("%s/%s", original.source, original.path)
                pipe.send(UnreadableDocumentError(f"it cannot be read: {error!r}"))
                continue
            for start in range(0, len(chunks), PART):
                pipe.send(chunks[start : start + PART])
            pipe.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
