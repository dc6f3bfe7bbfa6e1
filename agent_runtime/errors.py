"""One tree of errors. Each has a `reason` that the operator shows as a condition's reason.

Only the edges translate them: `http/errors.py` to OpenAI's error shape, `__main__` to the
termination message of the container. Nothing here knows of HTTP or Kubernetes.
"""

from __future__ import annotations

from typing import ClassVar


class AgentError(Exception):
    """What went wrong, in words for the person who can put it right."""

    reason: ClassVar[str] = "InternalError"


class InvalidConfigError(AgentError):
    """The configuration, a flag or an address is wrong; the message names the field."""

    reason = "InvalidConfig"


class InvalidQuestionsError(InvalidConfigError):
    """A set of questions is empty or broken; the message names file, line and field."""

    reason = "InvalidQuestions"


class NoRepliesError(AgentError):
    """An agent under evaluation answers, but no question: each gets an error."""

    reason = "NoReplies"


class ModelNotFoundError(AgentError):
    """The embedding model is not in this image."""

    reason = "ModelNotFound"


class NoDocumentsError(AgentError):
    """The sources hold no readable document, so nothing was changed."""

    reason = "NoDocuments"


class UnreadableDocumentError(AgentError):
    """A document that no text can be taken from; the message says why."""

    reason = "UnreadableDocument"


class UnavailableError(AgentError):
    """Something that the agent needs does not answer. `lasting`: waiting for it is no use, such as
    where it refuses the token."""

    reason = "Unavailable"

    def __init__(self, message: str, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class VectorStoreUnavailableError(UnavailableError):
    """The vector store does not answer, or answers with an error of its own."""

    reason = "VectorStoreUnavailable"


class IndexMissingError(AgentError):
    """The collection does not exist or was never published."""

    reason = "IndexMissing"


class IndexMismatchError(AgentError):
    """The collection was built with another embedding model."""

    reason = "IndexMismatch"


class NotReadyError(AgentError):
    """The runtime is starting or stopping."""

    reason = "Starting"


class InvalidRequestError(AgentError):
    """A request that can not be answered as it is. `param` names the field."""

    reason = "InvalidRequest"

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class UnauthenticatedError(AgentError):
    """The bearer token is missing or nobody's."""

    reason = "Unauthenticated"


class ForbiddenError(AgentError):
    """The caller is known and may not do this."""

    reason = "Forbidden"


class NotFoundError(AgentError):
    """There is no such thing, or it is somebody else's."""

    reason = "NotFound"


class ConflictError(AgentError):
    """It cannot be done in the present state, for instance because somebody else does it now."""

    reason = "Conflict"


class TooLargeError(AgentError):
    """The body or the document is larger than what is taken."""

    reason = "TooLarge"


class OverloadedError(AgentError):
    """There is more work than can be done in time. `retry_after` is in seconds."""

    reason = "Overloaded"

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GeneratorUnavailableError(UnavailableError):
    """The model does not answer, or answers with an error of its own."""

    reason = "GeneratorUnavailable"


class EmbeddingsUnavailableError(UnavailableError):
    """The embedding service does not answer, or answers with an error of its own."""

    reason = "EmbeddingsUnavailable"


class StateUnavailableError(UnavailableError):
    """Redis does not answer."""

    reason = "StateUnavailable"


class IdentityUnavailableError(UnavailableError):
    """Whoever could say whose token it is does not answer."""

    reason = "IdentityUnavailable"


class GeneratorTimeoutError(AgentError):
    """The model did not finish in time."""

    reason = "GeneratorTimeout"


class ToolFailedError(AgentError):
    """A tool could not do what it was asked for; the message is an observation for the model."""

    reason = "ToolFailed"
