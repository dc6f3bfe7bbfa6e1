"""Retrieval as a step of the pipeline: where it is wanted, for the question that stands alone."""

from __future__ import annotations

from dataclasses import replace

from agent_runtime.config import RetrievalConfig
from agent_runtime.domain import Question, State
from agent_runtime.ports import Retriever
from agent_runtime.telemetry import Telemetry


class Retrieve:
    """Adds the evidence."""

    def __init__(self, retriever: Retriever, config: RetrievalConfig, telemetry: Telemetry) -> None:
        self._retriever = retriever
        self._config = config
        self._telemetry = telemetry

    async def __call__(self, state: State) -> State:
        if state.reply is not None or not self._wanted(state.question):
            return state
        with self._telemetry.phase("retrieval") as phase:
            evidence = await self._retriever.retrieve(state.question.standalone)
            phase.note("gen_ai.data_source.id", evidence.index)
            phase.note("agent.passages", len(evidence.passages))
        return replace(state, evidence=evidence)

    def _wanted(self, question: Question) -> bool:
        if self._config.when == "auto":
            return question.intent is None or question.intent.retrieval
        return self._config.when == "always"
