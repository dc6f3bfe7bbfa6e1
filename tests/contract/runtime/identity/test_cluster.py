"""A real API server says whose token it is and who may use a tool.

Needs the cluster that `make cluster` brings up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.config import IdentityConfig, TokenReviewConfig
from agent_runtime.domain import NOBODY, Principal
from agent_runtime.errors import IdentityUnavailableError
from agent_runtime.identity.access_review import AccessReviewAuthorizer
from agent_runtime.identity.api_server import ApiServer, in_cluster
from agent_runtime.identity.build import Identity
from agent_runtime.identity.token_review import TokenReviewAuthenticator
from tests.cluster.kubectl import Kubectl
from tests.contract.runtime.state.servers import eventually, half_open
from tests.ports import free_port

AGENT = "help"


class Cluster:
    """A namespace with an agent's ServiceAccount, which may ask, and two users."""

    def __init__(self, folder: Path) -> None:
        self.kubectl = Kubectl(f"identity-{uuid.uuid4().hex[:8]}")
        self.folder = folder
        config = json.loads(Path(self.kubectl.kubeconfig).read_text())["clusters"][0]["cluster"]
        self.url = str(config["server"])
        self.authority = folder / "ca.crt"
        self.authority.write_bytes(base64.b64decode(config["certificate-authority-data"]))
        self.delegator = f"{self.kubectl.namespace}-delegator"

    def create(self) -> None:
        namespace = self.kubectl.namespace
        self.kubectl.run("create", "namespace", namespace)
        for account in (AGENT, "alice", "bob", "undelegated"):
            self.kubectl.run("create", "serviceaccount", account)
        self.kubectl.run(
            "create", "clusterrolebinding", self.delegator,
            "--clusterrole=system:auth-delegator", f"--serviceaccount={namespace}:{AGENT}",
        )  # fmt: skip
        tools = [f"{AGENT}.{tool}" for tool in ("find", "users-only", "agents-only")]
        self.role("users", tools[:2], [self.account("alice"), {"kind": "User", "name": "carol"}])
        self.role("agents", [tools[0], tools[2]], [self.account(AGENT)])
        staff = {"kind": "Group", "name": "staff"}
        self.role("groups", tools[:1], [staff])

    def delete(self) -> None:
        self.kubectl.run("delete", "clusterrolebinding", self.delegator, "--wait=false")
        self.kubectl.run("delete", "namespace", self.kubectl.namespace, "--wait=false")

    def account(self, name: str) -> dict[str, str]:
        return {"kind": "ServiceAccount", "name": name, "namespace": self.kubectl.namespace}

    def role(self, name: str, tools: list[str], subjects: list[dict[str, str]]) -> None:
        api = "rbac.authorization.k8s.io"
        rule = {"apiGroups": ["chatagent.dev"], "resources": ["tools"], "verbs": ["invoke"]}
        role: dict[str, Any] = {
            "apiVersion": f"{api}/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": [{**rule, "resourceNames": tools}],
        }
        subjects = [
            each if each["kind"] == "ServiceAccount" else {**each, "apiGroup": api}
            for each in subjects
        ]
        binding = {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": subjects,
        }
        self.kubectl.apply(role, binding)

    def token(self, account: str, *flags: str) -> str:
        return self.kubectl.run("create", "token", account, *flags).strip()

    def server(self, account: str = AGENT) -> ApiServer:
        token = self.token(account)
        return ApiServer(self.url, self.authority, lambda: token)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.create()
    yield made
    made.delete()


Closing = Callable[[ApiServer], ApiServer]


@pytest.fixture
async def closing() -> AsyncIterator[Closing]:
    """Close a server's connections with the test."""
    servers: list[ApiServer] = []

    def keep(server: ApiServer) -> ApiServer:
        servers.append(server)
        return server

    yield keep
    await asyncio.gather(*(server.aclose() for server in servers))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def reviewer(server: ApiServer, *audiences: str, clock: Clock | None = None) -> Any:
    config = TokenReviewConfig(audiences=audiences)
    return TokenReviewAuthenticator(config, server, clock or Clock())


async def becomes(met: Callable[[], Awaitable[bool]], clock: Clock) -> None:
    """Rights take a moment to be in effect; what was remembered until then is forgotten."""

    async def met_now() -> bool:
        clock.now += 60
        return await met()

    await eventually(met_now)


async def test_the_token_of_a_service_account(cluster: Cluster, closing: Closing) -> None:
    found = await reviewer(closing(cluster.server())).authenticate(cluster.token("alice"))
    assert found is not None
    assert found.user == f"system:serviceaccount:{cluster.kubectl.namespace}:alice"
    assert "system:authenticated" in found.groups
    assert found.tenant == ""


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "ü", "x y", "x\n", "\ud800", "x" * 60_000])
async def test_nobodys_token(cluster: Cluster, closing: Closing, token: str) -> None:
    assert await reviewer(closing(cluster.server())).authenticate(token) is None


async def test_a_token_for_another_audience(cluster: Cluster, closing: Closing) -> None:
    server = closing(cluster.server())
    own = cluster.token("alice", "--audience=chatagent")
    assert await reviewer(server, "chatagent", "other").authenticate(own) is not None
    assert await reviewer(server, "other").authenticate(own) is None
    assert await reviewer(server).authenticate(own) is None
    assert await reviewer(server, "chatagent").authenticate(cluster.token("alice")) is None


async def test_an_answer_is_good_for_a_while(cluster: Cluster, closing: Closing) -> None:
    token, clock = cluster.token("alice"), Clock()
    authenticator = reviewer(closing(cluster.server()), clock=clock)
    assert await authenticator.authenticate(token) is not None
    cluster.kubectl.run("delete", "serviceaccount", "alice")
    cluster.kubectl.run("create", "serviceaccount", "alice")
    clock.now += 29
    assert await authenticator.authenticate(token) is not None

    async def refused() -> bool:
        return await authenticator.authenticate(token) is None

    await becomes(refused, clock)


async def test_without_the_right_to_ask_nobody_is_refused(
    cluster: Cluster, closing: Closing
) -> None:
    server = closing(cluster.server("undelegated"))
    with pytest.raises(IdentityUnavailableError, match="system:auth-delegator"):
        await reviewer(server).authenticate(cluster.token("alice"))


async def test_an_api_server_that_is_away(cluster: Cluster, closing: Closing) -> None:
    away = closing(ApiServer(f"https://127.0.0.1:{free_port()}", cluster.authority, lambda: "t"))
    with pytest.raises(IdentityUnavailableError):
        await reviewer(away).authenticate("token")
    async with half_open() as there:
        silent = closing(ApiServer(f"http://127.0.0.1:{there.port}", None, lambda: "t"))
        async with asyncio.timeout(60):
            with pytest.raises(IdentityUnavailableError):
                await reviewer(silent).authenticate("token")
        await silent.aclose()


async def test_no_answer_is_a_no_for_which_a_turn_waits_once(
    cluster: Cluster, closing: Closing
) -> None:
    async with half_open() as there:
        requests: list[int] = []

        def token() -> str:
            requests.append(1)
            return "t"

        silent = closing(ApiServer(f"http://127.0.0.1:{there.port}", None, token, Clock()))
        decides = authorizer(silent, cluster)
        for n in range(20):
            assert not await decides.allowed(Principal("carol"), f"tool-{n}")
        assert len(requests) == 2  # for the user and for the agent, side by side
        await silent.aclose()


async def test_another_certificate_is_not_trusted(cluster: Cluster, closing: Closing) -> None:
    stranger = closing(ApiServer(cluster.url, None, lambda: cluster.token(AGENT)))
    with pytest.raises(IdentityUnavailableError, match=r"(?i)certificate"):
        await reviewer(stranger).authenticate("token")


async def test_a_token_that_is_replaced_while_the_pod_runs(
    cluster: Cluster, closing: Closing, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes(cluster.authority.read_bytes())
    (tmp_path / "token").write_text("old")
    host, _, port = cluster.url.removeprefix("https://").rpartition(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    authenticator = reviewer(closing(in_cluster(environ, tmp_path)))
    alice = cluster.token("alice")
    with pytest.raises(IdentityUnavailableError):
        await authenticator.authenticate(alice)
    (tmp_path / "token").write_text(cluster.token(AGENT) + "\n")
    assert await authenticator.authenticate(alice) is not None


def authorizer(
    server: ApiServer, cluster: Cluster, clock: Clock | None = None
) -> AccessReviewAuthorizer:
    return AccessReviewAuthorizer(server, cluster.kubectl.namespace, AGENT, clock or Clock())


async def test_both_the_user_and_the_agent_must_have_the_right(
    cluster: Cluster, closing: Closing
) -> None:
    server, clock = closing(cluster.server()), Clock()
    decides = authorizer(server, cluster, clock)
    alice = await reviewer(server).authenticate(cluster.token("alice"))
    bob = await reviewer(server).authenticate(cluster.token("bob"))
    await becomes(lambda: decides.allowed(alice, "find"), clock)
    expected = {
        (alice, "find"): True,
        (alice, "users-only"): False,
        (alice, "agents-only"): False,
        (alice, "unknown"): False,
        (bob, "find"): False,
        (NOBODY, "find"): False,
        (Principal("carol"), "find"): True,
        (Principal("dave"), "find"): False,
        (Principal("dave", ("staff",)), "find"): True,
        (Principal("", ("",)), "find"): False,
    }
    for (caller, tool), allowed in expected.items():
        assert await decides.allowed(caller, tool) is allowed, (caller, tool)


async def test_a_right_that_is_taken_away(cluster: Cluster, closing: Closing) -> None:
    server, clock = closing(cluster.server()), Clock()
    erin = Principal("erin")
    cluster.role("erin", [f"{AGENT}.find"], [{"kind": "User", "name": "erin"}])
    decides = authorizer(server, cluster, clock)
    await becomes(lambda: decides.allowed(erin, "find"), clock)
    cluster.kubectl.run("delete", "rolebinding", "erin")
    clock.now += 9
    assert await decides.allowed(erin, "find")

    async def denied() -> bool:
        return not await decides.allowed(erin, "find")

    await becomes(denied, clock)


async def test_without_the_right_to_ask_everything_is_denied(
    cluster: Cluster, closing: Closing, caplog: pytest.LogCaptureFixture
) -> None:
    decides = authorizer(closing(cluster.server("undelegated")), cluster)
    assert not await decides.allowed(Principal("carol"), "find")
    assert "system:auth-delegator" in caplog.text


async def test_a_pod_that_may_not_ask_says_so_before_it_is_ready(cluster: Cluster) -> None:
    reviews = {"tokenReview": {}, "decision": "subjectAccessReview"}
    config = IdentityConfig.model_validate(reviews)
    name = f"{cluster.kubectl.namespace}/{AGENT}"
    for account, missing in ((AGENT, False), ("undelegated", True)):
        identity = Identity(config, {}, name, lambda _, who=account: cluster.server(who))
        if missing:
            with pytest.raises(IdentityUnavailableError, match=r"tokenreviews.*auth-delegator"):
                await identity.check()
        else:
            await identity.check()
        await identity.aclose()
    nothing = Identity(IdentityConfig(), {}, name)
    await nothing.check()


async def test_tokens_are_not_logged(
    cluster: Cluster, closing: Closing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = cluster.token("alice")
    server = closing(cluster.server())
    await reviewer(server).authenticate(token)
    await reviewer(server, "other").authenticate(token)
    await authorizer(server, cluster).allowed(Principal("carol", token=token), "find")
    assert all(piece not in caplog.text for piece in token.split("."))
    assert caplog.text
