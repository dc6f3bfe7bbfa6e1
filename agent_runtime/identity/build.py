"""Puts together what a configuration asks for. Everything it opens is closed by `aclose`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import httpx

from agent_runtime.config import IdentityConfig
from agent_runtime.errors import IdentityUnavailableError
from agent_runtime.identity.access_review import AccessReviewAuthorizer
from agent_runtime.identity.api_server import ApiServer, in_cluster
from agent_runtime.identity.chain import Chain
from agent_runtime.identity.jwks import FETCH_SECONDS, ProviderKeys
from agent_runtime.identity.keys import StaticKeys
from agent_runtime.identity.oidc import OidcAuthenticator
from agent_runtime.identity.token_review import TokenReviewAuthenticator
from agent_runtime.ports import Authenticator, Authorizer

TOKEN_REVIEWS = ("authentication.k8s.io", "tokenreviews")
ACCESS_REVIEWS = ("authorization.k8s.io", "subjectaccessreviews")


class Identity:
    """Who asks, and what the cluster lets them do."""

    def __init__(
        self,
        config: IdentityConfig,
        environ: Mapping[str, str],
        agent: str,
        api_server: Callable[[Mapping[str, str]], ApiServer] = in_cluster,
    ) -> None:
        """`agent` is `NAMESPACE/NAME`. Raises InvalidConfigError."""
        self._closing = AsyncExitStack()
        chain: list[Authenticator] = []
        if config.keys:
            chain.append(StaticKeys(config.keys, environ))
        if config.oidc:
            client = httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False)
            self._closing.push_async_callback(client.aclose)
            for issuer in config.oidc:
                keys = ProviderKeys(issuer, client)
                self._closing.push_async_callback(keys.aclose)
                chain.append(OidcAuthenticator(issuer, keys))
        self._reviews: list[tuple[str, str]] = []
        server: ApiServer | None = None
        if config.token_review is not None or config.decision == "subjectAccessReview":
            server = api_server(environ)
            self._closing.push_async_callback(server.aclose)
        if config.token_review is not None and server is not None:
            chain.append(TokenReviewAuthenticator(config.token_review, server))
            self._reviews.append(TOKEN_REVIEWS)
        self.authenticator: Authenticator | None = Chain(chain) if chain else None
        """None: no token can be anybody's."""
        self.authorizer: Authorizer | None = None
        """Decides on tools besides their own `access`. None: nobody else does."""
        if config.decision == "subjectAccessReview" and server is not None:
            namespace, _, name = agent.rpartition("/")
            self.authorizer = AccessReviewAuthorizer(server, namespace or "default", name)
            self._reviews.append(ACCESS_REVIEWS)
        self._server = server

    async def check(self) -> None:
        """Make sure that this pod may ask what it will have to ask; once, before it is ready.

        Raises:
            IdentityUnavailableError: it may not, or the API server does not answer.
        """
        for group, resource in self._reviews:
            assert self._server is not None  # noqa: S101  there are reviews only with a server
            wanted = {"verb": "create", "group": group, "resource": resource}
            status = await self._server.review(
                "authorization.k8s.io", "selfsubjectaccessreviews", {"resourceAttributes": wanted}
            )
            if status.get("allowed") is not True:
                raise IdentityUnavailableError(
                    f"the ServiceAccount of this pod may not create {resource}; "
                    "bind it to the ClusterRole system:auth-delegator"
                )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._closing.aclose()
