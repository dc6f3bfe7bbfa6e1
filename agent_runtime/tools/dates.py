"""Days and times of day in English and Chinese, as people write them. Pure: today is given."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

from agent_runtime.domain import Span

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>\d{4}))?"
_FORMS = (
    re.compile(r"(?<!\d)(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?:(?P<year>\d{4})年)?(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号]"),
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}\b{_YEAR}", re.IGNORECASE),
    re.compile(rf"\b{_MONTH}\s+{_DAY}\b{_YEAR}", re.IGNORECASE),
)
_NEAR = {
    "the day after tomorrow": 2, "day after tomorrow": 2, "the day before yesterday": -2,
    "today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1,
    "大后天": 3, "后天": 2, "前天": -2, "今天": 0, "今日": 0, "今晚": 0, "明天": 1, "昨天": -1,
}  # fmt: skip
_TIME = re.compile(
    r"(?<![\d:.])(?P<hour>[01]?\d|2[0-3])"
    r"(?:[:：](?P<minute>[0-5]\d)\s*(?P<half>am|pm)?|\s*(?P<only>am|pm)|[点时](?P<after>[0-5]?\d)?)",
    re.IGNORECASE,
)


def find_date(text: str, today: date) -> tuple[date, Span] | None:
    """Return the first day that a text names. One without a year is the next one to come."""
    for form in _FORMS:
        for match in form.finditer(text):
            if (found := _date(match, today)) is not None:
                return found, match.span()
    lower = text.lower()
    for word, days in _NEAR.items():
        if (at := lower.find(word)) >= 0:
            return today + timedelta(days), (at, at + len(word))
    return None


def find_time(text: str) -> time | None:
    """Return the first time of day that a text names."""
    match = _TIME.search(text)
    if match is None:
        return None
    half = (match["half"] or match["only"] or "").lower()
    hour = int(match["hour"])
    if half and not 1 <= hour <= 12:
        return None
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif (
        re.search(r"下午|晚上|傍晚", text[max(0, match.start() - 3) : match.start()]) and hour < 12
    ):
        hour += 12
    return time(hour, int(match["minute"] or match["after"] or 0))


def find_moment(text: str, today: date) -> datetime | None:
    """Return the day and time that a text names, if it names both."""
    if (
        whole := re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?", text)
    ) is not None:
        try:
            return datetime.fromisoformat(whole[0])
        except ValueError:
            return None
    day = find_date(text, today)
    if day is None:
        return None
    start, end = day[1]
    at = find_time(text[:start] + " " * (end - start) + text[end:])
    return datetime.combine(day[0], at) if at is not None else None


def _date(match: re.Match[str], today: date) -> date | None:
    named = match["month"].lower()
    month = int(named) if named.isdecimal() else _MONTHS.index(named[:3]) + 1
    try:
        if match["year"]:
            return date(int(match["year"]), month, int(match["day"]))
        found = date(today.year, month, int(match["day"]))
        return found if found >= today else found.replace(year=today.year + 1)
    except ValueError:
        return None
