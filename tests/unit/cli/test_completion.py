"""What a shell offers for the word before the cursor, and the versions."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from chatagent_operator.cli import program
from chatagent_operator.cli.arguments import build_parser, find_commands
from chatagent_operator.cli.completion import SCRIPTS, Slot, find_candidates
from chatagent_operator.cli.version import show_client_version, show_version
from chatagent_operator.kube.errors import RejectedError
from tests.unit.cli.cluster import Body, FakeServer
from tests.unit.cli.stories import CANARY_STATUS, NOW, server

OPERATORS = "/apis/apps/v1/deployments"


async def offer(*words: str) -> list[str]:
    """The candidates; those that are looked up name what was asked for."""

    async def look_up(slot: Slot) -> list[str]:
        return [f"a-{slot.argument}", *(f"{name}={value}" for name, value in slot.given.items())]

    return [each.partition("\t")[0] for each in await find_candidates(words, look_up)]


async def test_commands() -> None:
    assert await offer("") == list(find_commands(build_parser()))
    assert await offer("re") == ["resume", "retry", "restart"]
    assert await offer("-n", "demo", "st") == ["status"]
    assert await offer("nothing", "") == []
    (described,) = await find_candidates(["prom"], _nothing)
    assert described.startswith("promote\tContinue a rollout")


async def _nothing(_: Slot) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["get", ""], ["a-name"]),
        (["get", "-w", "a"], ["a-name"]),
        (["status", "--timeout", "5m", ""], ["a-name", "timeout=5m"]),
        (["get", "shop", ""], []),
        (["-n", ""], ["a-namespace"]),
        (["get", "--namespace", "a"], ["a-namespace"]),
        (["--context", ""], ["a-context"]),
        (["get", "-o", ""], ["text", "json", "yaml"]),
        (["get", "-o", "j"], ["json"]),
        (["promote", "shop", "--f"], ["--full"]),
        (["--name"], ["--namespace"]),
        (["completion", "z"], ["zsh"]),
        (["diff", "shop", ""], []),
        (
            ["-n", "demo", "--context=a", "get", ""],
            ["a-name", "namespace=demo", "context=a"],
        ),
    ],
)
async def test_arguments(words: list[str], found: list[str]) -> None:
    assert await offer(*words) == found


def test_it_fails_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["kubectl_complete-chatagent", "--kubeconfig", "/no", "get", ""]
    )
    program.complete()
    assert capsys.readouterr().out == ":4\n"


def test_the_script_for_bash_passes_the_words_on() -> None:
    words = "COMP_WORDS=(kubectl-chatagent get '' -w) COMP_CWORD=2"
    fake = "kubectl_complete-chatagent() { printf '%s|' \"$@\"; printf '\\tshown\\n:4\\n'; }"
    text = f'{fake}\n{SCRIPTS["bash"]}\n{words}\n_kubectl_chatagent; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("get||\n", "")


def operator(namespace: str, **labels: str) -> Body:
    """The Deployment of an operator."""
    container = {"image": "registry.example/operator:0.2.0"}
    return {
        "metadata": {"namespace": namespace, "name": "chatagent-operator", "labels": labels},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


async def versions(fake: FakeServer, *line: str) -> Any:
    return await show_version(fake.cluster, build_parser().parse_args(["version", *line]))


async def test_versions() -> None:
    fake = server(CANARY_STATUS)
    fake.objects[OPERATORS] = [
        operator("one", **{"app.kubernetes.io/version": "0.2.0"}),
        operator("two"),
    ]
    fake.objects["/apis/apps/v1/namespaces/two/deployments"] = [operator("two")]
    found = await versions(fake)
    client = show_client_version().document["client"]
    assert found.document["client"] == client
    assert [each["version"] for each in found.document["operators"]] == ["0.2.0", "unknown"]
    image = "registry.example/operator:0.2.0"
    assert f"operator  0.2.0    one/chatagent-operator {image}" in found.render("text", NOW)
    (other,) = (await versions(fake, "-n", "two")).document["operators"]
    assert other["namespace"] == "two"


async def test_versions_that_are_not_known() -> None:
    fake = server(CANARY_STATUS)
    fake.objects[OPERATORS] = []
    found = await versions(fake)
    assert found.warning == "there is no operator in this cluster"

    async def forbid(method: str, path: str, body: Any = None, content_type: str = "") -> Body:
        raise RejectedError(403, "deployments.apps is forbidden")

    fake.request = forbid
    found = await versions(fake)
    assert found.warning == (
        "the operator's version is unknown: deployments.apps is forbidden; "
        "name its namespace with -n"
    )
    assert found.render("text", NOW).startswith("client  ")
