"""Arguments of a tool from what the user said, for generators that cannot write JSON; and what to
ask where something is missing.

Nothing is taken from documents or from the agent's own words: only from the user's messages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from agent_runtime.domain import Json, Span, ToolSpec
from agent_runtime.text.language import HAN, Language
from agent_runtime.text.sentences import sentence_spans
from agent_runtime.text.synonyms import is_concept
from agent_runtime.text.terms import Analyzer
from agent_runtime.tools.schema import Schema, is_simple, plain, properties, required
from agent_runtime.tools.values import CODE, Found, example_of, find, kind_of
from agent_runtime.tools.wording import CHINESE, chinese, english, words_of

LONGEST_TEXT = 4000
"""Characters of a message that are looked through."""
LONGEST_HEADLINE = 80
KEPT = 500
FROM_BEFORE = frozenset({"code", "pattern", "email", "uuid"})
"""Kinds of values that an earlier message may have named: what identifies something."""
BARE, SHORT = 3, 6
"""An example of so many terms, or Chinese characters, only asks for the tool."""
_HAN = re.compile(f"[{HAN}]+")
_ASKING = (
    "please create open file raise submit make log start add new need want like would help can "
    "could get give report contact send support customer service request"
)
_ASKING_CHINESE = (
    "一个 一下 请 帮忙 帮 麻烦 我 你 您 想 要 需要 创建 新建 建立 建 开 提交 提 发起 反映 联系 给 "
    "向 为 个 张 下 新 客服 售后 人工 服务 可以 能 吗 吧 的 了"
)


@dataclass(frozen=True, slots=True)
class Filled:
    """Arguments that were found, and the required ones that were not."""

    arguments: Mapping[str, Json]
    missing: tuple[str, ...]


@dataclass
class _Text:
    """A message and the places in it that serve an argument already."""

    text: str
    taken: list[Span] = field(default_factory=list[Span])

    def take(self, found: Found) -> bool:
        start, end = found.span
        if start < end and any(start < b and a < end for a, b in self.taken):
            return False
        self.taken.append(found.span)
        return True


class Slots:
    """Fills the arguments of tools."""

    def __init__(self) -> None:
        self._analyzer = Analyzer()
        self._asking = frozenset(self._terms(_ASKING))
        self._own_words = lru_cache(maxsize=KEPT)(self._named)

    def fill(self, spec: ToolSpec, message: str, before: Sequence[str], today: date) -> Filled:
        """Fill arguments from a message and, for what identifies something, earlier ones.

        Args:
            spec: the tool.
            message: what the user wrote.
            before: what the user wrote before, oldest first.
            today: what "tomorrow" is counted from.
        """
        arguments: dict[str, Json] = {}
        text = _read(message)
        for name, schema in _in_order(spec):
            if (found := _value(spec, name, schema, text, today)) is not None:
                arguments[name] = found.value
        for earlier in reversed(before):
            old = _read(earlier)
            for name in _unfilled(spec, arguments):
                schema = _schema(spec, name)
                if kind_of(name, schema) in FROM_BEFORE and (
                    found := _value(spec, name, schema, old, today)
                ):
                    arguments[name] = found.value
        self._add_text(spec, message, arguments)
        return Filled(arguments, _unfilled(spec, arguments))

    def complete(
        self, spec: ToolSpec, known: Mapping[str, Json], message: str, today: date
    ) -> Filled:
        """Fill what is missing from the reply to a question for it."""
        arguments = dict(known)
        text = _read(message)
        missing = _unfilled(spec, known)
        schemas = {name: _schema(spec, name) for name in missing}
        for name, schema in schemas.items():
            if (found := _value(spec, name, schema, text, today)) is not None:
                arguments[name] = found.value
        left = [name for name in missing if name not in arguments]
        texts = [name for name in left if kind_of(name, schemas[name]) in ("message", "headline")]
        if len(left) == 1 and not texts:
            found = _value(spec, left[0], schemas[left[0]], text, today, alone=True)
            arguments |= {left[0]: found.value} if found else {}
        elif texts and _rest(text):
            arguments |= {name: _said(name, schemas[name], message) for name in texts}
        return Filled(arguments, _unfilled(spec, arguments))

    def typed(self, spec: ToolSpec, known: Mapping[str, Json], message: str, today: date) -> bool:
        """Tell whether a message holds a value of what is missing, free text apart."""
        text = _read(message)
        return any(
            _value(spec, name, _schema(spec, name), text, today) is not None
            for name in _unfilled(spec, known)
        )

    def identifies(self, spec: ToolSpec, message: str, today: date) -> bool:
        """Tell whether a message holds a required value that nothing else looks like."""
        text = _read(message)
        return any(
            (found := _value(spec, name, schema, text, today)) is not None and found.sure
            for name, schema in _in_order(spec)
            if name in required(spec.parameters) and kind_of(name, schema) in FROM_BEFORE
        )

    def _add_text(self, spec: ToolSpec, message: str, arguments: dict[str, Json]) -> None:
        """Let free text be the message, unless that only asks for the tool."""
        if not self._says_more(spec, message):
            return
        for name in required(spec.parameters):
            schema = _schema(spec, name)
            if name not in arguments and kind_of(name, schema) in ("message", "headline"):
                arguments[name] = _said(name, schema, self._after_request(spec, message))

    def _says_more(self, spec: ToolSpec, message: str) -> bool:
        """Tell whether a message says more than that the tool is wanted."""
        text = CODE.sub(_without_code, message)
        arguments = tuple(properties(spec.parameters))
        own = self._own_words(spec.name, spec.description, spec.examples, arguments)
        if set(self._terms(_HAN.sub(" ", text))) - self._asking - own:
            return True
        han = "".join(_HAN.findall(text))
        known = [each for each in own if _HAN.match(each)]
        for word in sorted([*known, *_ASKING_CHINESE.split()], key=len, reverse=True):
            han = han.replace(word, "")
        return len(han) > 1

    def _named(
        self, name: str, description: str, examples: tuple[str, ...], arguments: tuple[str, ...]
    ) -> frozenset[str]:
        """Return the words that a tool and its arguments are called by, in both languages."""
        words = [word for each in (name, *arguments) for word in words_of(each)]
        known = {each for word in words for each in CHINESE.get(word, ())}
        terms = [set(self._terms(example)) for example in examples]
        bare = {term for each in terms if len(each) <= BARE for term in each}
        whole = {"".join(_HAN.findall(each)) for each in examples if len(each) <= SHORT}
        short = {each.strip("我要想请帮") for each in whole}
        own = {*self._terms(" ".join((*words, description))), *bare, *known, *short}
        return frozenset(own - {""})

    def _terms(self, text: str) -> list[str]:
        return [term for term in self._analyzer.terms(text) if not is_concept(term)]

    def _after_request(self, spec: ToolSpec, message: str) -> str:
        """Leave out a beginning that only asks for the tool: "Open a ticket: …"."""
        head, mark, rest = _partition(message)
        if mark and rest.strip() and not self._says_more(spec, head):
            return rest.strip()
        return message.strip()


def _read(message: str) -> _Text:
    """Read full-width letters and digits as the ordinary ones that they stand for."""
    return _Text(unicodedata.normalize("NFKC", message[:LONGEST_TEXT]))


def _partition(message: str) -> tuple[str, str, str]:
    match = re.search(r"[:：,，;；]\s*", message)
    if match is None:
        return message, "", ""
    return message[: match.start()], match[0], message[match.end() :]


def _without_code(match: re.Match[str]) -> str:
    return "" if any(each.isdigit() for each in match[0]) else match[0]


def _in_order(spec: ToolSpec) -> list[tuple[str, Schema]]:
    """Required arguments before optional ones, so that these do not take their values."""
    needed = required(spec.parameters)
    order = sorted(properties(spec.parameters), key=lambda name: name not in needed)
    return [(name, _schema(spec, name)) for name in order]


def _schema(spec: ToolSpec, name: str) -> Schema:
    """Return an argument's schema, without a regular expression of a client's that may not end."""
    found = plain(properties(spec.parameters).get(name, {}))
    if spec.client and not is_simple(str(found.get("pattern", ""))):
        return {k: v for k, v in found.items() if k != "pattern"}
    return found


def _value(
    spec: ToolSpec, name: str, schema: Schema, text: _Text, today: date, alone: bool = False
) -> Found | None:
    """Return the value of an argument. What need not be given has to be sure."""
    others = [each for each in properties(spec.parameters) if each != name]
    needed = name in required(spec.parameters)
    for found in find(name, schema, text.text, others, today, alone, trusted=not spec.client):
        if (found.sure or needed) and text.take(found):
            return found
    return None


def _unfilled(spec: ToolSpec, arguments: Mapping[str, Json]) -> tuple[str, ...]:
    known = properties(spec.parameters)
    return tuple(n for n in required(spec.parameters) if n not in arguments and n in known)


def _rest(text: _Text) -> str:
    """Return what of a message serves no argument."""
    kept = text.text
    for start, end in sorted(text.taken, reverse=True):
        kept = kept[:start] + kept[end:]
    return re.sub(r"[\W_]+", " ", kept).strip()


def _said(name: str, schema: Schema, message: str) -> str:
    """Return a message as the value of an argument for free text."""
    longest = schema.get("maxLength")
    limit = longest if isinstance(longest, int) else LONGEST_TEXT
    if kind_of(name, schema) == "message":
        return message[:limit]
    spans = sentence_spans(message, 0, len(message))
    first = message[slice(*spans[0])] if spans else message
    limit = min(limit, LONGEST_HEADLINE)
    return first if len(first) <= limit else first[: limit - 1].rstrip() + "…"


def question(spec: ToolSpec, missing: Sequence[str], language: Language) -> str:
    """Ask for what is missing, in plain words."""
    asked = [label(name, properties(spec.parameters).get(name, {}), language) for name in missing]
    if len(asked) == 1:
        before, after = ("请告诉我", "。") if language == "zh" else ("To do that I need: ", ".")
        return f"{before}{asked[0]}{after}"
    head = "请告诉我以下信息：" if language == "zh" else "To do that I need:"
    return "\n".join([head, *(f"- {each}" for each in asked)])


def label(name: str, schema: Schema, language: Language) -> str:
    """Return what an argument is called, with an example if there is one."""
    description = str(schema.get("description") or schema.get("title") or "").strip().rstrip(".。")
    if language == "zh":
        called = chinese(name) or description or english(name)
        example = example_of(schema)
        return f"{called}（例如 {example}）" if example else called
    called = description if 0 < len(description) <= 120 else english(name)
    example = example_of(schema)
    return f"{called} (for example {example})" if example else called
