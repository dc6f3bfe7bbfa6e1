"""Steps of one's own, as an agent's author would write them in a module."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent_runtime import State


@dataclass
class OnlyFrom:
    """Leaves out passages of other files than one."""

    filename: str

    async def __call__(self, state: State) -> State:
        if state.evidence is None:
            return state
        kept = [p for p in state.evidence.passages if p.indexed.chunk.key.path == self.filename]
        return replace(state, evidence=replace(state.evidence, passages=kept))
