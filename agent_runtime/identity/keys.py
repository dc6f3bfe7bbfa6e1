"""Bearer tokens that are known beforehand."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from agent_runtime.config import StaticKey
from agent_runtime.domain import Principal
from agent_runtime.errors import InvalidConfigError


class StaticKeys:
    """Compares hashes, and always all of them, so that the time taken tells nothing."""

    def __init__(self, keys: Sequence[StaticKey], environ: Mapping[str, str]) -> None:
        """Read the tokens once.

        Raises:
            InvalidConfigError: a variable is missing or empty, or two keys are the same.
        """
        self._principals: dict[bytes, Principal] = {}
        for at, key in enumerate(keys):
            digest = _digest_of(at, key, environ)
            if digest in self._principals:
                raise InvalidConfigError(f"pipeline.identity.keys[{at}]: the token is not unique")
            self._principals[digest] = Principal(key.user, key.groups, key.tenant)

    async def authenticate(self, token: str) -> Principal | None:
        given = _digest(token)
        found: Principal | None = None
        for digest, principal in self._principals.items():
            if hmac.compare_digest(digest, given):
                found = principal
        return found


def _digest_of(at: int, key: StaticKey, environ: Mapping[str, str]) -> bytes:
    if key.sha256 is not None:
        return bytes.fromhex(key.sha256)
    token = environ.get(key.key_env or "", "").strip()
    if not token:
        raise InvalidConfigError(
            f"pipeline.identity.keys[{at}].keyEnv: the variable {key.key_env} is not set"
        )
    return _digest(token)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
