"""The public keys of an OpenID Connect provider: fetched when needed, kept, fetched anew."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from agent_runtime.config import OidcIssuer
from agent_runtime.errors import IdentityUnavailableError

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
FRESH_SECONDS = 600.0
"""How long keys are taken as they are: so long a revoked one may still be accepted."""
AGAIN_SECONDS = 5.0
"""Least time between two fetches, whatever key ids the tokens of strangers name."""
MOST_KEYS = 100
FAMILIES = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""The algorithms for each type of key. None is symmetric: a public key is no shared secret."""
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class Key:
    """A public key with the algorithms that it may be used with."""

    def __init__(self, jwk: dict[str, Any]) -> None:
        """Read a JWK. Raises ValueError where it is not for signatures that we take."""
        allowed = FAMILIES.get(str(jwk.get("kty")), ())
        if jwk.get("kty") == "EC":
            allowed = tuple(filter(None, [CURVES.get(str(jwk.get("crv")))]))
        if jwk.get("alg") is not None:
            allowed = tuple(each for each in allowed if each == jwk["alg"])
        if not allowed or jwk.get("use", "sig") != "sig":
            raise ValueError("not a public key for signatures")
        self.id = jwk.get("kid")
        self.algorithms = allowed
        try:
            # The algorithm is named, since a key without `alg` would be taken for one with it.
            self.keys = {each: PyJWK(jwk, each) for each in allowed}
        except PyJWTError as error:
            raise ValueError(str(error)) from error


class ProviderKeys:
    """The keys of one provider. Goes on with those it has while the provider is away."""

    def __init__(
        self,
        issuer: OidcIssuer,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._clock = clock
        self._again = again_seconds
        self._lock = asyncio.Lock()
        self._keys: tuple[Key, ...] = ()
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._error: str | None = None
        self._background: asyncio.Task[None] | None = None

    async def matching(self, id: str | None, algorithm: str) -> list[Key]:
        """Return the keys that a token with this header may be signed with.

        Raises:
            IdentityUnavailableError: the provider does not answer and the key is not known.
        """
        found = self._fitting(id, algorithm)
        if not found:
            await self._refresh()
            found = self._fitting(id, algorithm)
            if not found and self._error is not None:
                raise IdentityUnavailableError(self._error)
        elif self._clock() - self._fetched > FRESH_SECONDS and not self._refreshing():
            self._background = asyncio.create_task(self._refresh())
        return found

    async def aclose(self) -> None:
        """End what it does on its own."""
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)

    def _refreshing(self) -> bool:
        return self._background is not None and not self._background.done()

    def _fitting(self, id: str | None, algorithm: str) -> list[Key]:
        return [
            key
            for key in self._keys
            if algorithm in key.algorithms and (id is None or key.id in (id, None))
        ]

    async def _refresh(self) -> None:
        """Fetch the keys, unless somebody has just tried to."""
        before = self._clock()
        async with self._lock:
            if self._tried >= before or self._clock() - self._tried < self._again:
                return
            try:
                async with asyncio.timeout(FETCH_SECONDS):
                    self._keys = await self._fetch()
                self._fetched, self._error = self._clock(), None
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
                what = str(error) or type(error).__name__
                self._error = f"OpenID Connect provider {self._issuer.issuer}: {what}"
                log.warning("%s", self._error)
            finally:
                self._tried = self._clock()

    async def _fetch(self) -> tuple[Key, ...]:
        url = self._issuer.jwks_url or await self._discovered()
        listed = (await self._json(url)).get("keys")
        if not isinstance(listed, list):
            raise ValueError(f"{url} is no key set")
        found: list[Key] = []
        for jwk in listed[:MOST_KEYS]:
            try:
                found.append(Key(jwk))
            except (ValueError, AttributeError, TypeError):
                continue  # a key for encryption, or of a kind that is not known here
        if not found:
            raise ValueError(f"{url} holds no public key for signatures")
        return tuple(found)

    async def _discovered(self) -> str:
        issuer = self._issuer.issuer
        document = await self._json(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise ValueError(f"its discovery document says that it is {document.get('issuer')!r}")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise ValueError("its discovery document names no jwks_uri")
        if issuer.startswith("https://") and not url.startswith("https://"):
            raise ValueError("its jwks_uri is not https")
        return url

    async def _json(self, url: str) -> dict[str, Any]:
        reply = await self._client.get(url, headers={"Accept": "application/json"})
        if reply.status_code != 200:
            raise ValueError(f"{url} answers {reply.status_code}")
        document = reply.json()
        if not isinstance(document, dict):
            raise ValueError(f"{url} is not a JSON object")
        return document
