"""Steps of one's own, as an agent's author would write them in a module."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent_runtime import State
from agent_runtime.errors import UnavailableError


@dataclass
class OnlyFrom:
    """Leaves out passages of other files than one."""

    filename: str

    async def __call__(self, state: State) -> State:
        if state.evidence is None:
            return state
        kept = [p for p in state.evidence.passages if p.indexed.chunk.key.path == self.filename]
        return replace(state, evidence=replace(state.evidence, passages=kept))


@dataclass
class FailingAt:
    """Fails where the question holds a word, as a revision with a broken dependency would."""

    word: str

    async def __call__(self, state: State) -> State:
        if self.word in state.question.asked:
            raise UnavailableError("a dependency is broken")
        return state
