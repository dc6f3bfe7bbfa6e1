"""Tokens that an OpenID Connect provider has signed."""

from __future__ import annotations

import logging
from typing import Any

import jwt
from jwt.exceptions import PyJWTError

from agent_runtime.config import OidcIssuer
from agent_runtime.domain import Principal
from agent_runtime.identity.jwks import FAMILIES, ProviderKeys

log = logging.getLogger(__name__)

LEEWAY_SECONDS = 30
LONGEST_TOKEN = 16_384
RESERVED = "system:"
"""Names that only Kubernetes gives: a provider's user is never one of its components."""
_ALGORITHMS = frozenset(name for family in FAMILIES.values() for name in family)


class OidcAuthenticator:
    """Tokens of one provider for one audience. Others are nobody's, without any request."""

    def __init__(self, issuer: OidcIssuer, keys: ProviderKeys) -> None:
        self._issuer = issuer
        self._keys = keys

    async def authenticate(self, token: str) -> Principal | None:
        header = self._header(token)
        if header is None:
            return None
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
            log.info("a token of %s is signed with %.20r", self._issuer.issuer, algorithm)
            return None
        for key in await self._keys.matching(header.get("kid"), algorithm):
            claims = self._claims(token, key.keys[algorithm], algorithm)
            if claims is not None:
                return self._principal(claims)
        return None

    def _header(self, token: str) -> dict[str, Any] | None:
        """Return the header of a token that says to be of this provider. Nothing is proven yet."""
        if len(token) > LONGEST_TOKEN or token.count(".") != 2:
            return None
        try:
            unproven = jwt.decode_complete(token, options={"verify_signature": False})
        except (PyJWTError, ValueError, RecursionError):
            return None
        claimed = unproven["payload"].get("iss")
        return unproven["header"] if claimed == self._issuer.issuer else None

    def _claims(self, token: str, key: jwt.PyJWK, algorithm: str) -> dict[str, Any] | None:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._issuer.audience,
                issuer=self._issuer.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (PyJWTError, ValueError, TypeError, OverflowError) as error:
            log.info("a token of %s: %s", self._issuer.issuer, type(error).__name__)
            return None

    def _principal(self, claims: dict[str, Any]) -> Principal | None:
        user = claims.get(self._issuer.user_claim)
        if not isinstance(user, str) or not user:
            log.info("a token of %s has no %s", self._issuer.issuer, self._issuer.user_claim)
            return None
        name = self._issuer.user_prefix + user
        if name.startswith(RESERVED):
            log.warning("a token of %s names a user of Kubernetes", self._issuer.issuer)
            return None
        tenant = ""
        if self._issuer.tenant_claim is not None:
            tenant = claims.get(self._issuer.tenant_claim)
            if not isinstance(tenant, str) or not tenant:
                log.info("a token of %s has no %s", self._issuer.issuer, self._issuer.tenant_claim)
                return None
        return Principal(name, self._groups(claims), tenant)

    def _groups(self, claims: dict[str, Any]) -> tuple[str, ...]:
        listed = claims.get(self._issuer.groups_claim)
        found = [listed] if isinstance(listed, str) else listed
        if not isinstance(found, list):
            return ()
        named = (self._issuer.groups_prefix + each for each in found if isinstance(each, str))
        return tuple(each for each in named if each and not each.startswith(RESERVED))
