"""The Kubernetes API server, asked with the pod's own token."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from agent_runtime.errors import IdentityUnavailableError, InvalidConfigError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_SECONDS = 3.0
PAUSE_SECONDS = 1.0
"""After no answer nobody asks for so long: a turn with many tools must not wait for each."""
CONNECTIONS = httpx.Limits(max_connections=20, max_keepalive_connections=10)


class ApiServer:
    """Creates reviews: questions that are answered in the reply."""

    def __init__(
        self,
        url: str,
        authority: Path | None,
        token: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`token` is called for each request, since a pod's token is replaced while it runs.

        Raises:
            InvalidConfigError: the certificates of `authority` cannot be read.
        """
        try:
            verify = ssl.create_default_context(cafile=str(authority) if authority else None)
        except OSError as error:
            raise InvalidConfigError(f"the API server's certificates: {error}") from error
        self._token = token
        self._clock = clock
        self._away: tuple[float, str] | None = None
        self._client = httpx.AsyncClient(
            base_url=url, verify=verify, timeout=CALL_SECONDS, limits=CONNECTIONS, trust_env=False
        )

    async def review(self, group: str, resource: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Create a review and return its status. `resource` is the plural, such as `tokenreviews`.

        Raises:
            IdentityUnavailableError: there is no answer, or this pod may not ask.
        """
        if self._away is not None and self._clock() < self._away[0]:
            raise IdentityUnavailableError(self._away[1])
        kind = KINDS[resource]
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        try:
            headers = {"Authorization": f"Bearer {self._token()}"}
            async with asyncio.timeout(CALL_SECONDS):
                reply = await self._client.post(
                    f"/apis/{group}/v1/{resource}", json=body, headers=headers
                )
            if reply.status_code in (401, 403):
                raise IdentityUnavailableError(
                    f"the API server does not let this agent create {resource} "
                    f"({reply.status_code}); its ServiceAccount needs system:auth-delegator"
                )
            if reply.status_code not in (200, 201):
                raise IdentityUnavailableError(
                    f"the API server answers {reply.status_code} to {resource}"
                )
            status = reply.json()["status"]
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
            what = f"the API server: {str(error) or type(error).__name__}"
            if isinstance(error, (httpx.TransportError, TimeoutError)):
                self._away = (self._clock() + PAUSE_SECONDS, what)
            raise IdentityUnavailableError(what) from error
        if not isinstance(status, dict):
            raise IdentityUnavailableError(f"the API server's {kind} has no status")
        return status

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()


KINDS = {
    "tokenreviews": "TokenReview",
    "subjectaccessreviews": "SubjectAccessReview",
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
}


def in_cluster(environ: Mapping[str, str], account: Path = ACCOUNT) -> ApiServer:
    """Return the API server of the cluster that this pod is in.

    Raises:
        InvalidConfigError: this is no pod, or its ServiceAccount's token is not mounted.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (account / "token").exists():
        raise InvalidConfigError(
            "pipeline.identity: tokenReview and subjectAccessReview need a pod in a cluster with "
            "its ServiceAccount's token mounted"
        )
    address = f"[{host}]" if ":" in host else host
    token = account / "token"
    return ApiServer(
        f"https://{address}:{port}", account / "ca.crt", lambda: token.read_text().strip()
    )
