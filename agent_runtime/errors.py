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


class ModelNotFoundError(AgentError):
    """The embedding model is not in this image."""

    reason = "ModelNotFound"


class NoDocumentsError(AgentError):
    """The sources hold no readable document, so nothing was changed."""

    reason = "NoDocuments"


class VectorStoreUnavailableError(AgentError):
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
