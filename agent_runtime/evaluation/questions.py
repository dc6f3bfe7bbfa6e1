"""A set of questions: what is asked, which documents answer it, what a right answer holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_runtime.domain import Turn
from agent_runtime.errors import InvalidConfigError

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
    demo: bool = False


def load(path: Path) -> list[Question]:
    """Read a set from a YAML file with a list `questions`.

    Raises:
        InvalidConfigError: the file cannot be read, or an entry is wrong: the message names the
            entry and its field.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfigError(f"{path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidConfigError(f"{path} is not YAML: {error}") from error
    entries = read.get("questions") if isinstance(read, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InvalidConfigError(f"{path}: questions: a list of at least one question is needed")
    questions = [_question(f"{path}: questions[{at}]", each) for at, each in enumerate(entries)]
    _unique(path, questions)
    return questions


def _question(where: str, entry: object) -> Question:
    if isinstance(entry, dict) and "id" in entry:
        where += f" ({entry['id']})"
    try:
        read = _Entry.model_validate(entry)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        said = "; ".join(f"{field}: {message}" if field else message for field, message in wrong)
        raise InvalidConfigError(f"{where}: {said}") from error
    if read.source == []:
        raise InvalidConfigError(f"{where}: source: name a file, or null where none answers it")
    if read.facts and not read.source:
        raise InvalidConfigError(f"{where}: facts: a question without a source has none")
    if any(len(turn) != 1 for turn in read.history):
        raise InvalidConfigError(f"{where}: history: each turn is either `user` or `assistant`")
    return Question(
        id=read.id,
        lang=read.lang,
        question=read.question,
        sources=tuple(read.source or ()),
        facts=tuple(read.facts),
        history=tuple(Turn(role, said) for turn in read.history for role, said in turn.items()),
        forbidden=tuple(read.forbidden),
        split=read.split,
    )


def _unique(path: Path, questions: Sequence[Question]) -> None:
    seen: set[str] = set()
    for at, each in enumerate(questions):
        if each.id in seen:
            raise InvalidConfigError(f"{path}: questions[{at}]: id: {each.id!r} is there twice")
        seen.add(each.id)
