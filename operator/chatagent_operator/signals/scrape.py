"""Reads the metrics of two revisions from `/metrics` of their pods, without a Prometheus.

A turn counts once it is answered or has failed. An error of the client (4xx, with 429 and 499) is
neither a turn nor an error; 5xx is both, with 503 and streams that failed after they started.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Series

from chatagent_operator.api.status import WindowStatus
from chatagent_operator.core.agent import PORT
from chatagent_operator.core.judging.analysis import Histogram, Reading, Tally
from chatagent_operator.core.judging.tally import Sample, Window
from chatagent_operator.core.untrusted import clean_message, is_counter
from chatagent_operator.signals.http_client import Client, NoResponseError, build_url
from chatagent_operator.signals.wanted import Wanted

TIMEOUT_SECONDS = 2.0
MAX_BYTES = 1024 * 1024
"""Maximum size of a page. That of an agent with 30 tools has 84 kB."""
MAX_SERIES = 5000
"""Maximum number of series that are read. Parsing them keeps all other agents waiting."""
BORN = "process_start_time_seconds"
_READ = re.compile(
    rf"{BORN}|agent_(requests|no_answer|tool_calls|feedback|tokens|gpu_seconds)_total"
    r"|agent_(request_duration|time_to_first_token)_seconds_bucket"
)


class Scrape:
    """Reads the metrics of the pods of both revisions at the same time."""

    def __init__(self, client: Client, clock: Callable[[], float], port: int = PORT) -> None:
        """`clock` returns seconds since 1970."""
        self._client = client
        self._clock = clock
        self._port = port
        self._windows: dict[str, Window] = {}

    async def begin(self, wanted: Wanted) -> bool:
        """Read the metrics of all pods for the first time, and continue the stored window if all
        processes that it counts still answer. Otherwise it starts again, for both revisions:
        they are compared over the same time."""
        began, kept = self._clock(), wanted.kept
        self._windows = {revision: Window(began) for revision in wanted.revisions.values()}
        await self._scrape_all(wanted)
        if kept and kept.canary and kept.stable:
            stored = {wanted.canary: kept.canary, wanted.stable: kept.stable}
            began_before = datetime.fromisoformat(kept.began_at).timestamp()
            if not all(self._windows[each].knows(stored[each]) for each in stored):
                await self._scrape_all(wanted)  # one may have been slow
            if all(self._windows[each].resume(stored[each], began_before) for each in stored):
                return True
        for window in self._windows.values():
            window.restart(began)
        return False

    def keep(self, wanted: Wanted, began_at: str) -> WindowStatus:
        """Return the counters at the start of the window."""
        canary, stable = (
            self._windows[each].keep(wanted.addresses.get(each, ()))
            for each in (wanted.canary, wanted.stable)
        )
        return WindowStatus(began_at=began_at, canary=canary, stable=stable)

    async def read(self, wanted: Wanted, at: str) -> Reading:
        """Take a reading of all pods. If no pod of a revision responds, it has a trouble."""
        trouble = await self._scrape_all(wanted)
        return Reading(
            at=at,
            window=wanted.window,
            canary=self._windows[wanted.canary].tally(),
            stable=self._windows[wanted.stable].tally(),
            trouble="; ".join(trouble) or None,
        )

    async def _scrape_all(self, wanted: Wanted) -> list[str]:
        found = await asyncio.gather(
            *(self._scrape_revision(each, wanted.addresses) for each in wanted.revisions.values())
        )
        return [f"{who} {why}" for who, why in zip(wanted.revisions, found, strict=True) if why]

    async def _scrape_revision(
        self, revision: str, addresses: Mapping[str, tuple[str, ...]]
    ) -> str | None:
        """Read the metrics of the pods of a revision. Returns why none of them responded."""
        pods = addresses.get(revision, ())
        if not pods:
            return "has no pods"
        results = (self._scrape_pod(revision, ip) for ip in pods)
        failed = [why for why in await asyncio.gather(*results) if why]
        if len(failed) < len(pods):
            return None
        return f"has {len(pods)} pods, and none returns its metrics: {failed[0]}"

    async def _scrape_pod(self, revision: str, ip: str) -> str | None:
        url = build_url(ip, self._port, "/metrics")
        try:
            code, body = await self._client.fetch(url, TIMEOUT_SECONDS, MAX_BYTES)
            if code != 200:
                return f"{url} responded with {code}"
            sample = parse_metrics(body.decode(), revision)
        except (NoResponseError, ValueError) as error:
            return clean_message(f"{url}: {error}")
        self._windows[revision].add(ip, sample)
        return None


def parse_metrics(text: str, revision: str) -> Sample:
    """Parse the metrics of a pod.

    Raises:
        ValueError: it is not Prometheus' text format, or not of this revision.
    """
    # most lines are not needed, and parsing one takes far longer than matching it
    lines = [line for line in text.splitlines() if _READ.match(line)]
    if len(lines) > MAX_SERIES:
        raise ValueError(f"it has more than {MAX_SERIES} series of metrics that are compared")
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    series = [each for family in families for each in family.samples]
    if wrong := next((each for each in series if not is_counter(each.value)), None):
        raise ValueError(f"{wrong.name} is {wrong.value:g}, which is not the value of a counter")
    ours = [each for each in series if each.labels.get("revision") == revision]
    if not ours:
        raise ValueError(f"it has no metrics of revision {revision}")
    born = next((each.value for each in series if each.name == BORN), None)
    return Sample(_tally(ours), born)


def _tally(series: list[Series]) -> Tally:
    def total(name: str, having: Callable[[Mapping[str, str]], bool] = lambda _: True) -> float:
        wanted = f"agent_{name}_total"
        return sum(s.value for s in series if s.name == wanted and having(s.labels))

    return Tally(
        turns=total("requests", lambda labels: not labels.get("code", "").startswith("4")),
        errors=total("requests", lambda labels: labels.get("code", "").startswith("5")),
        no_answers=total("no_answer"),
        tool_calls=total("tool_calls"),
        tool_failures=total("tool_calls", lambda labels: labels.get("status") == "error"),
        feedback=total("feedback"),
        negative_feedback=total("feedback", lambda labels: labels.get("rating") == "down"),
        tokens=total("tokens"),
        gpu_seconds=total("gpu_seconds"),
        latency=_histogram(series, "request_duration_seconds"),
        first_token=_histogram(series, "time_to_first_token_seconds"),
    )


def _histogram(series: Iterable[Series], name: str) -> Histogram:
    wanted = f"agent_{name}_bucket"
    # A new revision has an empty answer cache, so only generated answers are compared.
    made = (s for s in series if s.name == wanted and s.labels.get("answer") != "known")
    found = [(float(s.labels.get("le", "")), s.value) for s in made]
    return Histogram(tuple(sorted(found)))
