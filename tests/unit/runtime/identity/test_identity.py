"""Keys, the chain, and what is asked once for many."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_runtime.config import IdentityConfig, StaticKey
from agent_runtime.domain import NOBODY, Principal
from agent_runtime.errors import IdentityUnavailableError, InvalidConfigError
from agent_runtime.identity.api_server import ApiServer, in_cluster
from agent_runtime.identity.build import Identity
from agent_runtime.identity.chain import Chain
from agent_runtime.identity.keys import StaticKeys
from agent_runtime.identity.remembered import Remembered

KEY = StaticKey(user="alice", groups=("staff",), tenant="shop", key_env="ALICE")
HASHED = StaticKey(user="bob", sha256=hashlib.sha256(b"bobs").hexdigest())


class Fixed:
    """Knows one token, or is away."""

    def __init__(self, token: str, user: str, away: bool = False) -> None:
        self.token, self.user, self.away = token, user, away
        self.asked = 0

    async def authenticate(self, token: str) -> Principal | None:
        self.asked += 1
        if self.away:
            raise IdentityUnavailableError(self.user)
        return Principal(self.user) if token == self.token else None


async def test_keys_from_the_environment_and_by_hash() -> None:
    keys = StaticKeys((KEY, HASHED), {"ALICE": " alices\n"})
    assert await keys.authenticate("alices") == Principal("alice", ("staff",), "shop")
    assert await keys.authenticate("bobs") == Principal("bob")
    for token in ("", "alice", "alices ", HASHED.sha256 or "", "\ud800"):
        assert await keys.authenticate(token) is None


@pytest.mark.parametrize("environ", [{}, {"ALICE": ""}, {"ALICE": "  "}])
def test_a_key_without_a_token_is_a_mistake(environ: Mapping[str, str]) -> None:
    with pytest.raises(InvalidConfigError, match=r"pipeline\.identity\.keys\[1\]\.keyEnv: .*ALICE"):
        StaticKeys((HASHED, KEY), environ)


def test_a_token_of_two_users_is_a_mistake() -> None:
    with pytest.raises(InvalidConfigError, match=r"keys\[1\]") as caught:
        StaticKeys((HASHED, KEY), {"ALICE": "bobs"})
    assert "bobs" not in str(caught.value)


async def test_the_first_that_knows_a_token_counts() -> None:
    first, second = Fixed("a", "first"), Fixed("b", "second")
    chain = Chain([first, second])
    found = await chain.authenticate("b")
    assert found is not None
    assert found == Principal("second")
    assert found.token == "b"
    assert await chain.authenticate("c") is None
    await chain.authenticate("a")
    assert second.asked == 2


async def test_one_that_is_away_matters_only_to_its_own_tokens() -> None:
    chain = Chain([Fixed("a", "first", away=True), Fixed("b", "second")])
    assert await chain.authenticate("b") == Principal("second")
    with pytest.raises(IdentityUnavailableError, match="first"):
        await chain.authenticate("a")


@pytest.mark.parametrize("token", ["", "x" * 100_000])
async def test_what_is_no_token_is_asked_of_nobody(token: str) -> None:
    away = Fixed(token, "away", away=True)
    assert await Chain([away]).authenticate(token) is None
    assert away.asked == 0


class Question:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        await self.go.wait()
        if self.error:
            raise self.error
        return self.asked


async def test_many_at_once_ask_once() -> None:
    question, now = Question(), 0.0
    remembered: Remembered[int] = Remembered(lambda _: 5, lambda: now)
    asking = [asyncio.create_task(remembered.get(b"k", question)) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()  # who asked first goes away
    await asyncio.sleep(0)
    question.go.set()
    assert await asyncio.gather(*asking[1:]) == [1] * 19
    assert await remembered.get(b"k", question) == 1
    now = 5.0
    assert await remembered.get(b"k", question) == 2


async def test_an_error_is_everybodys_and_not_remembered() -> None:
    question = Question()
    question.error = IdentityUnavailableError("away")
    question.go.set()
    remembered: Remembered[int] = Remembered(lambda _: 5)
    done = await asyncio.gather(
        *(remembered.get(b"k", question) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(each, IdentityUnavailableError) for each in done)
    question.error = None
    assert await remembered.get(b"k", question) == question.asked


async def test_what_is_built_is_what_is_configured() -> None:
    nothing = Identity(IdentityConfig(), {}, "shop/help")
    assert nothing.authenticator is None
    assert nothing.authorizer is None
    config = IdentityConfig.model_validate(
        {
            "keys": [{"user": "alice", "keyEnv": "ALICE"}],
            "oidc": [{"issuer": "https://id.example", "audience": "agent"}],
            "tokenReview": {},
            "decision": "subjectAccessReview",
        }
    )
    identity = Identity(
        config, {"ALICE": "alices"}, "shop/help", lambda _: ApiServer("http://x", None, lambda: "t")
    )
    assert identity.authenticator is not None
    assert await identity.authenticator.authenticate("alices") == Principal("alice")
    assert identity.authorizer is not None
    await identity.aclose()


@pytest.mark.parametrize("config", [{"tokenReview": {}}, {"decision": "subjectAccessReview"}])
def test_outside_a_cluster_nobody_can_be_asked(config: Mapping[str, object]) -> None:
    with pytest.raises(InvalidConfigError, match=r"pipeline\.identity"):
        Identity(IdentityConfig.model_validate(config), {}, "shop/help")


def test_a_pod_without_a_token_says_so(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(InvalidConfigError, match="mounted"):
        in_cluster(environ, tmp_path)


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(Principal("alice", token="secret"))
    assert NOBODY.anonymous
