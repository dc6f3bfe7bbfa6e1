"""The gateway's objects: what its pods need to find each other, and to start and end well."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core.agent import Agent, Manifest
from chatagent_operator.core.children.gateway import build_objects
from tests.unit.core.simulation import PLATFORM, Cluster, spec


def made(**gateway: Any) -> dict[tuple[str, str], Manifest]:
    agent = Agent("demo", "shop", "u", 1, ChatAgentSpec.model_validate(spec(gateway=gateway)))
    return {
        (each["kind"], each["metadata"]["name"]): each for each in build_objects(agent, PLATFORM)
    }


def pods(objects: dict[tuple[str, str], Manifest]) -> Manifest:
    return objects["StatefulSet", "shop-gateway"]["spec"]


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_every_pod_has_an_address(replicas: int) -> None:
    """And no other has: HAProxy spins on one that refuses."""
    found = made(replicas=replicas)
    assert pods(found)["replicas"] == replicas
    text = found["ConfigMap", "shop-gateway"]["data"]["haproxy.cfg"]
    peers = dict(re.findall(r"^  server (\S+) (\S+:8406)$", text, re.MULTILINE))
    assert peers == {f"shop-gateway-{n}": f"shop-gateway-{n}:8406" for n in range(replicas)}
    for name in peers:
        service = found["Service", name]["spec"]
        assert service["publishNotReadyAddresses"]
        assert service["selector"]["statefulset.kubernetes.io/pod-name"] == name
        assert service["ports"] == [{"name": "peers", "port": 8406, "targetPort": "peers"}]


def test_the_addresses_exist_before_the_pods() -> None:
    kinds = [kind for kind, _ in made()]
    last = max(
        n for n, (kind, name) in enumerate(made()) if (kind, name[-2:-1]) == ("Service", "-")
    )
    assert last < kinds.index("StatefulSet")


def test_two_by_default_and_one_at_a_time() -> None:
    assert pods(made())["replicas"] == 2
    budget = made()["PodDisruptionBudget", "shop-gateway"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == pods(made())["selector"]


def test_the_time_to_end_is_enough_for_the_streams() -> None:
    assert pods(made())["template"]["spec"]["terminationGracePeriodSeconds"] > 5 + 120 + 5


def run(tmp_path: Path, script: str, haproxy: str) -> list[str]:
    """Run a container's script with a stand-in for HAProxy; what it was called with."""
    calls = tmp_path / "calls"
    calls.touch()
    stand_in = tmp_path / "haproxy"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{haproxy}\n')
    stand_in.chmod(0o755)
    sleep = tmp_path / "sleep"
    sleep.write_text("#!/bin/sh\n")
    sleep.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/bin:/usr/bin", "POD_NAME": "shop-gateway-1"}
    subprocess.run(
        ["/bin/sh", "-c", script.replace("/run/haproxy", str(tmp_path))],
        env=environment,
        timeout=10,
        check=False,
    )
    return calls.read_text().splitlines()


@pytest.mark.parametrize(
    ("haproxy", "checks"),
    [
        ("exit 0", 1),
        (
            '[ "$1" = -db ] || [ "$(wc -l < "$0.n" 2>/dev/null || echo 0)" -ge 3 ] || '
            '{ echo >> "$0.n"; exit 1; }',
            4,
        ),
        ("exit 1", 10),
    ],
    ids=["known at once", "known after a while", "never known"],
)
def test_the_start_waits_for_names_but_not_for_ever(
    tmp_path: Path, haproxy: str, checks: int
) -> None:
    (tmp_path / "ending").touch()
    container = pods(made())["template"]["spec"]["containers"][0]
    calls = run(tmp_path, container["command"][2], haproxy)
    named = "-L shop-gateway-1 -f /etc/haproxy/haproxy.cfg"
    assert calls == [f"-c -q {named}"] * checks + [f"-db {named}"]
    assert not (tmp_path / "ending").exists()


def test_the_objects_of_another_gateway_provider_are_deleted() -> None:
    cluster = Cluster()
    cluster.settle()
    before = set(cluster.objects)
    cluster.spec = spec(gateway={"provider": "gateway-api", "parentRefs": [{"name": "public"}]})
    cluster.settle()
    assert not [key for key in cluster.objects if "gateway" in key[1]]
    cluster.spec = spec()
    cluster.settle()
    assert set(cluster.objects) == before
