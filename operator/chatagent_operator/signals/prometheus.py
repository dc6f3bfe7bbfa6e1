"""Reads the metrics of two revisions, and the results of a user's queries, from Prometheus.

Turns and errors are defined as in `scrape`. Errors become messages in the reading, which the status
shows.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from chatagent_operator.api.rollout import Metric, Prometheus
from chatagent_operator.api.status import WindowStatus
from chatagent_operator.core import names
from chatagent_operator.core.judging.analysis import Histogram, Reading, Tally
from chatagent_operator.core.untrusted import clean_message, parse_object
from chatagent_operator.signals.answers import Client, NoResponseError
from chatagent_operator.signals.wanted import Wanted

TIMEOUT_SECONDS = 10.0
MAX_BYTES = 4 * 1024 * 1024
AT_ONCE = 8
"""Maximum number of concurrent queries of one reading."""
NOT_COMPARED = "the query was not sent"

Token = Callable[[], Awaitable[str | None]]

_COUNTS = {
    "turns": 'agent_requests_total{code!~"4.."}',
    "errors": 'agent_requests_total{code=~"5.."}',
    "no_answers": "agent_no_answer_total{}",
    "tool_calls": "agent_tool_calls_total{}",
    "tool_failures": 'agent_tool_calls_total{status="error"}',
    "feedback": "agent_feedback_total{}",
    "negative_feedback": 'agent_feedback_total{rating="down"}',
    "tokens": "agent_tokens_total{}",
    "gpu_seconds": "agent_gpu_seconds_total{}",
}
_HISTOGRAMS = {
    "latency": 'agent_request_duration_seconds_bucket{answer!="known"}',
    "first_token": 'agent_time_to_first_token_seconds_bucket{answer!="known"}',
}
_POD_SUFFIX = "[a-z0-9]+(-[a-z0-9]+)?"
"""What a Deployment appends to its name for those of its pods: two words, which a long name runs
together. Pods of an agent whose name begins with that of the revision have more."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a result."""

    labels: Mapping[str, str]
    value: float


class Queries:
    """Queries Prometheus over one window."""

    def __init__(
        self,
        client: Client,
        prometheus: Prometheus,
        token: Token | None,
        now: Callable[[], datetime],
    ) -> None:
        """`token` is called for each reading, so that a changed Secret takes effect."""
        self._client = client
        self._url = prometheus.url.rstrip("/") + "/api/v1/query"
        self._secret = prometheus.token_secret_ref
        self._token = token
        self._now = now

    async def begin(self, wanted: Wanted) -> bool:
        """Do nothing: Prometheus stores the values at the start of the window."""
        return wanted.kept is not None

    def keep(self, wanted: Wanted, began_at: str) -> WindowStatus:
        """Return the start of the window, without counters."""
        return WindowStatus(began_at=began_at)

    async def read(self, wanted: Wanted, at: str) -> Reading:
        """Take a reading with all metrics of the analysis."""
        metrics = wanted.analysis.effective_metrics()
        trouble, tallies, answers = None, dict[str, Tally](), dict[str, tuple[float | str, ...]]()
        try:
            now = self._now()
            runner = _QueryRunner(self._client, self._url, await self._headers(), now)
            window = _seconds(wanted.window, now)
            if any(metric.measure for metric in metrics):
                tallies = await runner.read_tallies(wanted, window)
            answers = await runner.run_user_queries(wanted, window, metrics)
        except NoResponseError as error:
            trouble = str(error)
        return Reading(
            at=at,
            window=wanted.window,
            canary=tallies.get(wanted.canary, Tally()),
            stable=tallies.get(wanted.stable, Tally()),
            answers=cast(Mapping[str, tuple[float | str, float | str]], answers),
            trouble=trouble,
        )

    async def _headers(self) -> dict[str, str]:
        if self._secret is None or self._token is None:
            return {}
        where = f"Secret {self._secret.name}, key {self._secret.key}"
        try:
            token = await self._token()
        except Exception as error:
            raise NoResponseError(
                f"analysis.prometheus.tokenSecretRef: {where} cannot be read: {error}"[:500]
            ) from error
        if not token or not token.strip():
            raise NoResponseError(
                f"analysis.prometheus.tokenSecretRef: {where} does not exist or is empty; set it"
            )
        return {"Authorization": f"Bearer {token.strip()}"}


class _QueryRunner:
    """Runs the queries of one reading for the same time, so that their results are consistent."""

    def __init__(self, client: Client, url: str, headers: Mapping[str, str], at: datetime) -> None:
        self._client = client
        self._url = url
        self._headers = headers
        self._at = f"{at.timestamp():.3f}"
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def read_tallies(self, wanted: Wanted, window: int) -> dict[str, Tally]:
        """Return the counters of both revisions. Raises NoResponseError."""
        families = {**_COUNTS, **_HISTOGRAMS}
        found = await asyncio.gather(
            *(self.run_query(_build_query(family, wanted, window)) for family in families.values()),
            return_exceptions=True,
        )
        results = dict[str, list[Series]]()
        for name, result in zip(families, found, strict=True):
            if isinstance(result, BaseException):
                raise result
            results[name] = result
        if not results["latency"]:
            raise NoResponseError(
                f"Prometheus has no agent_request_duration_seconds of revision {wanted.canary} "
                f"or {wanted.stable} in the last {window} s; check that it scrapes the agent's "
                "pods at least twice in that time"
            )
        return {each: _tally(results, each) for each in wanted.revisions.values()}

    async def run_user_queries(
        self, wanted: Wanted, window: int, metrics: tuple[Metric, ...]
    ) -> dict[str, tuple[float | str, ...]]:
        """Return the results of the user's queries for the canary and the stable revision, by
        metric. A text explains why there is no number."""

        async def both(metric: Metric) -> tuple[float | str, ...]:
            query = metric.query or ""
            compared = metric.max_increase is not None or metric.max_ratio is not None
            revisions = [wanted.canary, *([wanted.stable] if compared else [])]
            filled = (fill_placeholders(query, each, wanted, window) for each in revisions)
            values = await asyncio.gather(*(self._run_number_query(each) for each in filled))
            return (*values, *(() if compared else (NOT_COMPARED,)))

        queried = [metric for metric in metrics if metric.query is not None]
        found = await asyncio.gather(*(both(metric) for metric in queried))
        return {metric.name: pair for metric, pair in zip(queried, found, strict=True)}

    async def _run_number_query(self, query: str) -> float | str:
        try:
            return parse_number(await self.run_query(query))
        except NoResponseError as error:
            return str(error)

    async def run_query(self, query: str) -> list[Series]:
        """Run a query. Raises NoResponseError."""
        async with self._slots:
            try:
                code, body = await self._client.fetch(
                    self._url, TIMEOUT_SECONDS, MAX_BYTES,
                    form={"query": query, "time": self._at}, headers=self._headers,
                )  # fmt: skip
            except NoResponseError as error:
                raise NoResponseError(f"Prometheus did not respond: {error}") from error
        return parse_response(code, body)


def _seconds(since: str, now: datetime) -> int:
    return max(1, math.ceil((now - datetime.fromisoformat(since)).total_seconds()))


def parse_response(code: int, body: bytes) -> list[Series]:
    """Parse the series of a response. Raises NoResponseError."""
    parsed = parse_object(body)
    if code in (401, 403):
        raise NoResponseError(
            f"Prometheus responded with {code}; check analysis.prometheus.tokenSecretRef"
        )
    if parsed is None or "status" not in parsed:
        raise NoResponseError(
            f"the response with status {code} is not from Prometheus' query API; "
            "check analysis.prometheus.url"
        )
    if code != 200 or parsed["status"] != "success":
        why = f"{parsed.get('errorType', 'error')}: {parsed.get('error', code)}"
        raise NoResponseError(clean_message(f"Prometheus refused the query: {why}"))
    try:
        return _series(parsed["data"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise NoResponseError("Prometheus returned a result that cannot be parsed") from None


def _series(given: Any) -> list[Series]:
    kind, found = given["resultType"], given["result"]
    if kind == "scalar":
        return [Series({}, float(found[1]))]
    if kind != "vector":
        raise NoResponseError(f"the query returns a {kind}; change it to return one number")
    return [Series(dict(each["metric"]), float(each["value"][1])) for each in found]


def parse_number(series: list[Series]) -> float:
    """Return the only number of a result. Raises NoResponseError."""
    if not series:
        raise NoResponseError("the query returns no result")
    if len(series) > 1:
        raise NoResponseError(
            f"the query returns {len(series)} series; change it to return one number"
        )
    value = series[0].value
    if not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        raise NoResponseError(f"the query returns {name}")
    return value


def fill_placeholders(query: str, revision: str, wanted: Wanted, window: int) -> str:
    """Return a user's query with its placeholders filled in; `{{window}}` with its unit."""
    values = {
        "revision": revision,
        "namespace": wanted.namespace,
        "agent": wanted.agent,
        "window": f"{window}s",
    }
    return re.sub(
        r"\{\{\s*(revision|namespace|agent|window)\s*\}\}", lambda found: values[found[1]], query
    )


def _build_query(family: str, wanted: Wanted, window: int) -> str:
    """Build a query for both revisions. The labels that Prometheus adds to a pod's series must
    match if they exist."""
    revisions = list(wanted.revisions.values())
    pods = "|".join(
        f"{re.escape(names.revision(wanted.agent, each))}-{_POD_SUFFIX}" for each in revisions
    )
    labels = [
        f"revision=~{_quoted('|'.join(revisions))}",
        f"namespace=~{_quoted(re.escape(wanted.namespace) + '|')}",
        f"pod=~{_quoted(pods + '|')}",
    ]
    name, _, own = family.rstrip("}").partition("{")
    labels += [own] if own else []
    by = "revision, le" if name.endswith("_bucket") else "revision"
    return f"sum by ({by}) (increase({name}{{{','.join(labels)}}}[{window}s]))"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _tally(results: Mapping[str, list[Series]], revision: str) -> Tally:
    def ours(name: str) -> list[Series]:
        return [
            each
            for each in results[name]
            if each.labels.get("revision") == revision and math.isfinite(each.value)
        ]

    counts = {name: sum(each.value for each in ours(name)) for name in _COUNTS}
    histograms = {name: _histogram(ours(name)) for name in _HISTOGRAMS}
    return Tally(**cast(dict[str, Any], {**counts, **histograms}))


def _histogram(series: list[Series]) -> Histogram:
    found = [(float(s.labels["le"]), s.value) for s in series if "le" in s.labels]
    return Histogram(tuple(sorted(found)))
