"""A few lines of an OpenAI client, on the standard library alone."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from dev.errors import DevError

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Reply:
    """An answer with what stands behind it."""

    text: str
    sources: tuple[str, ...]
    revision: str
    conversation: str


def ask(url: str, question: str, conversation: str | None = None) -> Reply:
    """One turn."""
    headers = {"Content-Type": "application/json"}
    if conversation:
        headers["X-Conversation-ID"] = conversation
    body = json.dumps({"model": "agent", "messages": [{"role": "user", "content": question}]})
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", data=body.encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            reply = json.load(answer)
            names = answer.headers
    except urllib.error.HTTPError as error:
        raise DevError(f"{url} answered {error.code}: {error.read().decode()[:500]}") from error
    except OSError as error:
        raise DevError(f"{url} does not answer: {error}") from error
    message = reply["choices"][0]["message"]
    citations = message.get("annotations", [])
    sources = dict.fromkeys(f"{c['filename']} ({c['title']})" for c in citations)
    return Reply(
        message["content"],
        tuple(sources),
        names["X-Agent-Revision"],
        names["X-Conversation-ID"],
    )


def wait_until_answers(url: str) -> None:
    """Wait for the gateway to listen; the address is given before its pod is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/v1/models", timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise DevError(f"{url} does not answer: {error}") from error
            time.sleep(0.5)
