"""Tokens of a real OpenID Connect provider, good and bad."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_runtime.config import OidcIssuer
from agent_runtime.domain import Principal
from agent_runtime.errors import IdentityUnavailableError
from agent_runtime.identity.chain import Chain
from agent_runtime.identity.jwks import FRESH_SECONDS, ProviderKeys
from agent_runtime.identity.oidc import OidcAuthenticator
from tests.contract.runtime.processes import Program
from tests.ports import free_port


class Issuer(Program):
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        module = ["-m", "tests.contract.runtime.identity.issuer", "--port", str(self.port)]
        super().__init__([sys.executable, *module], folder / "issuer.log")

    def start(self) -> None:
        super().start()
        self.until(self._answers)

    def _answers(self) -> bool | None:
        try:
            return httpx.get(f"{self.url}/fetched", timeout=5).is_success or None
        except httpx.TransportError:
            return None

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}/{path}", timeout=10).raise_for_status().json()

    def post(self, path: str, body: object = None) -> Any:
        return httpx.post(f"{self.url}/{path}", json=body, timeout=10).raise_for_status().json()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        good = {"iss": self.url, "aud": "agent", "sub": "alice", "iat": now, "exp": now + 600}
        return {key: value for key, value in (good | changes).items() if value is not None}

    def token(self, key: str = "RS256-1", **changes: Any) -> str:
        return self.post(f"sign/{key}", {"claims": self.claims(**changes)})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


Opening = Callable[..., OidcAuthenticator]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    running = Issuer(tmp_path_factory.mktemp("issuer"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Issuer]:
    """One that a test may rotate and stop."""
    running = Issuer(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    async with httpx.AsyncClient() as client:
        keys: list[ProviderKeys] = []

        def authenticator(url: str, clock: Clock | None = None, **config: Any) -> OidcAuthenticator:
            fields = {"issuer": url, "audience": "agent", **config}
            config_ = OidcIssuer.model_validate(fields)
            keys.append(ProviderKeys(config_, client, clock or Clock()))
            return OidcAuthenticator(config_, keys[-1])

        yield authenticator
        await asyncio.gather(*(each.aclose() for each in keys))


@pytest.mark.parametrize("key", ["RS256-1", "ES256-1", "PS384-1", "EdDSA-1"])
async def test_a_good_token(issuer: Issuer, opening: Opening, key: str) -> None:
    token = issuer.token(key, groups=["staff", "system:masters", 7])
    assert await opening(issuer.url).authenticate(token) == Principal("alice", ("staff",))


async def test_claims_are_read_as_configured(issuer: Issuer, opening: Opening) -> None:
    authenticator = opening(
        issuer.url, userClaim="email", groupsClaim="roles", tenantClaim="org",
        userPrefix="oidc:", groupsPrefix="oidc:", jwksURL=f"{issuer.url}/keys",
    )  # fmt: skip
    token = issuer.token(email="a@b", roles="system:masters", org="shop", aud=["x", "agent"])
    expected = Principal("oidc:a@b", ("oidc:system:masters",), "shop")
    assert await authenticator.authenticate(token) == expected
    assert await authenticator.authenticate(issuer.token(email="a@b")) is None  # no tenant
    assert await authenticator.authenticate(issuer.token(org="shop")) is None  # no user


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": None},
        {"exp": 1_600_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": "soon"},
        {"nbf": 10**400},
        {"nbf": 4_000_000_000},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "system:anonymous"},
        {"sub": "system:serviceaccount:kube-system:admin"},
    ],
)
async def test_a_bad_token(issuer: Issuer, opening: Opening, changes: dict[str, Any]) -> None:
    assert await opening(issuer.url).authenticate(issuer.token(**changes)) is None


def part(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def forged(header: dict[str, Any], claims: object, secret: bytes | None = None) -> str:
    """A token that is signed with a secret, or not at all."""
    signed = f"{part(header)}.{part(claims)}"
    mac = hmac.digest(secret, signed.encode(), hashlib.sha256) if secret else b""
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def test_no_signature_and_a_public_key_as_a_secret(issuer: Issuer, opening: Opening) -> None:
    authenticator, claims = opening(issuer.url), issuer.claims()
    assert await authenticator.authenticate(issuer.token()) is not None
    pem = str(issuer.get("pem/RS256-1")).encode()
    jwk_secret = b"secret-secret-secret-secret-1234"
    for token in [
        forged({"alg": "none"}, claims),
        forged({"alg": "none", "kid": "RS256-1"}, claims),
        forged({"alg": "None", "kid": "RS256-1"}, claims),
        forged({"alg": "HS256", "kid": "RS256-1"}, claims, pem),
        forged({"alg": "HS256", "kid": "hs"}, claims, jwk_secret),
        forged({"alg": "RS256", "kid": "hs"}, claims, jwk_secret),
        forged({"alg": "ES256", "kid": "RS256-1"}, claims, pem),
        forged({"alg": "RS256", "kid": "RS256-1", "jwk": {"kty": "oct", "k": "YQ"}}, claims, b"a"),
        forged({"alg": ["RS256"], "kid": {}}, claims),
        forged({"alg": ["RS256"], "kid": "RS256-1"}, claims),
        forged({"alg": "RS256", "kid": "RS256-1", "crit": ["x"]}, claims),
    ]:
        assert await authenticator.authenticate(token) is None
    # A key for one algorithm is none for another of its family.
    signed = {"claims": claims, "algorithm": "RS512"}
    assert await authenticator.authenticate(issuer.post("sign/RS256-1", signed)) is None


async def test_a_changed_token(issuer: Issuer, opening: Opening) -> None:
    authenticator = opening(issuer.url)
    header, _, signature = issuer.token().split(".")
    changed = f"{header}.{part(issuer.claims(sub='bob'))}.{signature}"
    assert await authenticator.authenticate(changed) is None
    assert await authenticator.authenticate(f"{header}.{part([1])}.{signature}") is None


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "..", "é.é.é", "\ud800.a.b", "a" * 100_000, "💥" * 9]
)
async def test_what_is_no_token_costs_no_request(opening: Opening, token: str) -> None:
    # Nobody listens there: a request would be an error.
    assert await opening(f"http://127.0.0.1:{free_port()}").authenticate(token) is None


async def test_a_token_of_another_provider_costs_no_request(
    issuer: Issuer, opening: Opening
) -> None:
    away = opening(f"http://127.0.0.1:{free_port()}")
    assert await away.authenticate(issuer.token()) is None
    found = await Chain([away, opening(issuer.url)]).authenticate(issuer.token())
    assert found is not None
    assert found.user == "alice"


async def test_new_keys_are_found_and_old_ones_go(own: Issuer, opening: Opening) -> None:
    clock = Clock()
    authenticator = opening(own.url, clock)
    old = own.token()
    assert await authenticator.authenticate(old)
    own.post("rotate/new/ES256")
    new = own.token("new")
    clock.now += 6
    assert await authenticator.authenticate(new)
    assert await authenticator.authenticate(old) is None


async def test_key_ids_of_strangers_cause_no_flood(own: Issuer, opening: Opening) -> None:
    clock = Clock()
    authenticator = opening(own.url, clock)
    assert await authenticator.authenticate(own.token())
    clock.now += 6
    tokens = [forged({"alg": "RS256", "kid": f"k{n}"}, own.claims(), b"x") for n in range(100)]
    assert await asyncio.gather(*map(authenticator.authenticate, tokens)) == [None] * 100
    assert own.get("fetched") == 2


async def test_many_first_tokens_cause_one_fetch(own: Issuer, opening: Opening) -> None:
    authenticator, token = opening(own.url), own.token()
    found = await asyncio.gather(*(authenticator.authenticate(token) for _ in range(50)))
    assert all(found)
    assert own.get("fetched") == 1


async def test_a_provider_that_is_down(own: Issuer, opening: Opening) -> None:
    clock = Clock()
    known, new = opening(own.url, clock), opening(own.url, clock)
    token = own.token()
    assert await known.authenticate(token)
    own.stop()
    with pytest.raises(IdentityUnavailableError, match=own.url):
        await new.authenticate(token)
    # Within the pause it is not asked again, and still nobody can say whose token it is.
    with pytest.raises(IdentityUnavailableError):
        await new.authenticate(token)
    # Keys that are known do, also when they are old.
    clock.now += 10 * FRESH_SECONDS
    assert await known.authenticate(token)
    assert await known.authenticate(token)


async def test_a_provider_that_says_it_is_another(own: Issuer, opening: Opening) -> None:
    token = own.token()
    own.post("say/https://elsewhere.example")
    with pytest.raises(IdentityUnavailableError, match="elsewhere"):
        await opening(own.url).authenticate(token)


async def test_tokens_are_not_logged(
    issuer: Issuer, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    authenticator = opening(issuer.url)
    for token in (issuer.token(), issuer.token(aud="another"), issuer.token(sub="system:x")):
        await authenticator.authenticate(token)
        for piece in token.split("."):
            assert piece not in caplog.text
    assert caplog.text
