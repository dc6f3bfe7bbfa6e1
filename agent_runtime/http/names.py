"""The names of the models behind the agent, and what a client may call the agent."""

from __future__ import annotations

from dataclasses import dataclass

from agent_runtime.errors import NotFoundError

AGENT = "agent"
"""What a client calls the agent whichever generator it has now: a rollout may change that."""


class UnknownModelError(NotFoundError):
    """There is no such model here."""


@dataclass(frozen=True, slots=True)
class Names:
    """The models of one revision."""

    revision: str
    generator: str
    embedding: str

    def check(self, model: str | None) -> None:
        """Raise NotFoundError for a model that does not answer here."""
        if model is not None and model not in (AGENT, self.generator):
            raise unknown(model, f"{AGENT!r} or {self.generator!r}")

    def check_embedding(self, model: str | None) -> None:
        """Raise NotFoundError for a model that does not embed here."""
        if model is not None and model != self.embedding:
            raise unknown(model, repr(self.embedding))


def unknown(model: str, known: str) -> UnknownModelError:
    """Return the error that names what there is."""
    return UnknownModelError(f"model: there is no model {model[:200]!r} here, but {known}")
