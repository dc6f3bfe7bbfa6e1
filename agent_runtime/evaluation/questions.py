"""A set of questions: what is asked, which documents answer it, what a right answer holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_runtime.domain import Turn
from agent_runtime.errors import InvalidQuestionsError

Kind = Literal["fact", "follow-up", "unanswerable", "injection"]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a set."""

    id: str
    lang: str
    question: str
    sources: tuple[str, ...] = ()
    """File names, each of which answers it. None: no document does, and it is to be refused."""
    facts: tuple[str, ...] = ()
    """Strings that a right answer holds, all of them."""
    history: tuple[Turn, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Strings that no reply to any question of the set may hold."""
    split: str = "test"
    tags: tuple[str, ...] = ()
    """What the question is meant to measure, in the words of whoever made the set."""

    @property
    def kind(self) -> Kind:
        if self.forbidden:
            return "injection"
        if self.history:
            return "follow-up"
        return "fact" if self.sources else "unanswerable"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: Text
    lang: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    question: Text
    source: list[Text] | None
    facts: list[Text]
    history: list[dict[Literal["user", "assistant"], Text]] = []
    forbidden: list[Text] = []
    split: Literal["dev", "test"] = "test"
    tags: list[Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]] = []
    demo: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an entry stands in its file."""

    path: Path
    line: int
    at: int
    fields: Mapping[str, int]
    """Line of each field."""

    def wrong(self, field: str, message: str, id: object = None) -> InvalidQuestionsError:
        line = self.fields.get(field.split(".")[0], self.line)
        named = f" ({id})" if id is not None else ""
        said = f"{field}: {message}" if field else message
        return InvalidQuestionsError(f"{self.path}:{line}: questions[{self.at}]{named}: {said}")


def load(path: Path) -> list[Question]:
    """Read a set: a YAML file with a list `questions`, or a `.jsonl` with an entry on each line.

    Raises:
        InvalidQuestionsError: the file cannot be read, or an entry is wrong: the message names
            the file, the line, the entry and its field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidQuestionsError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidQuestionsError(f"{path} is not UTF-8: {error}") from error
    entries = list((_of_lines if path.suffix == ".jsonl" else _of_yaml)(path, text))
    if not entries:
        raise InvalidQuestionsError(f"{path}: questions: a list of at least one question is needed")
    questions: list[Question] = []
    seen: set[str] = set()
    for place, entry in entries:
        question = _question(place, entry)
        if question.id in seen:
            raise place.wrong("id", f"{question.id!r} is there twice")
        seen.add(question.id)
        questions.append(question)
    return questions


def _of_lines(path: Path, text: str) -> Iterator[tuple[_Place, object]]:
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    for index, (at, line) in enumerate(lines):
        place = _Place(path, at, index, {})
        try:
            yield place, json.loads(line)
        except ValueError as error:
            raise place.wrong("", f"it is not JSON: {error}") from error


def _of_yaml(path: Path, text: str) -> Iterator[tuple[_Place, object]]:
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        read = loader.construct_document(root) if root is not None else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    except yaml.YAMLError as error:
        raise InvalidQuestionsError(f"{path} is not YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode) or not isinstance(read, dict):
        return
    nodes = next((value for key, value in root.value if key.value == "questions"), None)
    if not isinstance(nodes, yaml.SequenceNode):
        return
    entries = cast(list[object], read["questions"])
    for at, (node, entry) in enumerate(zip(nodes.value, entries, strict=True)):
        yield _Place(path, _line(node), at, _fields(node)), entry


def _fields(node: yaml.Node) -> dict[str, int]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): _line(key) for key, _ in node.value}


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _question(place: _Place, entry: object) -> Question:
    id = cast(dict[str, object], entry).get("id") if isinstance(entry, dict) else None
    try:
        read = _Entry.model_validate(entry)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        others = [f"{field}: {message}" for field, message in wrong[1:]]
        raise place.wrong(wrong[0][0], "; ".join([wrong[0][1], *others]), id) from error
    if read.source == []:
        raise place.wrong("source", "name a file, or null where none answers it", id)
    if read.facts and not read.source:
        raise place.wrong("facts", "a question without a source has none", id)
    if any(len(turn) != 1 for turn in read.history):
        raise place.wrong("history", "each turn is either `user` or `assistant`", id)
    return Question(
        id=read.id,
        lang=read.lang,
        question=read.question,
        sources=tuple(read.source or ()),
        facts=tuple(read.facts),
        history=tuple(Turn(role, said) for turn in read.history for role, said in turn.items()),
        forbidden=tuple(read.forbidden),
        split=read.split,
        tags=tuple(read.tags),
    )
