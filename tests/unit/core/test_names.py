"""No two agents of a namespace want an object of the same kind and name."""

from __future__ import annotations

import re
from functools import cache

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chatagent_operator.api.crd import NAME_PATTERN, RESERVED_PATTERN
from chatagent_operator.api.v1alpha1 import MAX_NAME_LENGTH
from tests.unit.core.simulation import Cluster, spec

EVALUATION = {"configMap": {"name": "questions", "key": "q.jsonl"}}
ROUTED = {"provider": "gateway-api", "parentRefs": [{"name": "public"}]}
DIGITS = re.compile(r"(?<=-)([0-9a-f]{8}|[0-9a-f]{10})$")


@cache
def children() -> frozenset[tuple[str, str]]:
    """Kind and name of all objects that an agent can have, with {} for the name of the agent, and
    with zeros for the digits of each digest: any two may be equal."""
    found: set[tuple[str, str]] = set()
    for gateway in ({"replicas": 3}, ROUTED):
        rollout = {
            "steps": [{"setWeight": 5}, {"pause": {}}],
            "analysis": {"evaluation": EVALUATION},
        }
        cluster = Cluster(spec(gateway=gateway, rollout=rollout))
        cluster.sources["questions"] = "c0ffee"
        cluster.lost = 20
        for image in ("runtime:1", "runtime:2"):
            cluster.spec = cluster.spec | {"image": image}
            for _ in range(30):
                cluster.look()
                found |= cluster.objects.keys()
                cluster.controllers()
    for kind, name in list(found):
        if kind == "StatefulSet":
            found |= {("Pod", f"{name}-{ordinal}") for ordinal in range(3)}
            found |= {("PersistentVolumeClaim", f"data-{name}-{n}") for n in range(3)}
            found |= {("ControllerRevision", f"{name}-{'0' * 8}")}
    assert {"-eval-" in name for kind, name in found if kind == "ConfigMap"} == {True, False}
    return frozenset((kind, mask(name).replace("shop", "{}", 1)) for kind, name in found)


def mask(name: str) -> str:
    return DIGITS.sub(lambda match: "0" * len(match[0]), name)


def is_allowed(name: str) -> bool:
    """As the API server decides it."""
    if len(name) > MAX_NAME_LENGTH or name == "default":
        return False
    return bool(re.search(NAME_PATTERN, name)) and not re.search(RESERVED_PATTERN, name)


ENDS = (
    "gateway", "routes", "chroma", "redis", "ingest", "eval", "data", "default", "0", "1", "a",
    "0123abcd", "0123abcdef",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(ENDS), max_size=2)
NAMES = WORDS.map(lambda words: "-".join(["shop", *words])).filter(is_allowed)
LONGER = WORDS.map(lambda words: "".join(f"-{word}" for word in words))


@settings(max_examples=500)
@given(first=NAMES, more=LONGER)
@example("shop", "-gateway-0")
@example("shop", "-ingest")
@example("shop", "-eval")
@example("shop", "-0123abcd")
def test_no_two_agents_want_the_same_object(first: str, more: str) -> None:
    """The names of objects begin with that of their agent: one name begins with the other one."""
    second = first + more
    assume(more and is_allowed(second))
    wanted = [
        {(k, mask(name.format(agent))) for k, name in children()} for agent in (first, second)
    ]
    assert not wanted[0] & wanted[1]


@given(name=NAMES)
def test_an_agent_wants_no_name_twice(name: str) -> None:
    assert len({(kind, each.format(name)) for kind, each in children()}) == len(children())


def test_the_longest_name_is_short_enough_for_labels() -> None:
    longest = "a" * MAX_NAME_LENGTH
    names = {
        kind: each.format(longest) for kind, each in children() if kind != "PersistentVolumeClaim"
    }
    assert max(map(len, names.values())) <= 63
