"""The operator's settings name what is wrong with them."""

from __future__ import annotations

import pytest

from chatagent_operator.settings import SettingsError, from_environment

NEEDED = {
    "OPERATOR_IMAGE": "o:1",
    "HAPROXY_IMAGE": "h:1",
    "CHROMA_IMAGE": "c:1",
    "REDIS_IMAGE": "r:1",
}


def test_what_the_chart_sets() -> None:
    settings = from_environment(
        NEEDED | {"WATCH_NAMESPACES": "a b", "IMAGE_PULL_SECRETS": "x", "GPU_RUNTIME_CLASS": ""}
    )
    assert settings.namespaces == ("a", "b")
    assert settings.platform.image_pull_secrets == ("x",)
    assert settings.platform.gpu_runtime_class is None


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_a_missing_image_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        from_environment({key: value for key, value in NEEDED.items() if key != missing})


@pytest.mark.parametrize("text", ["http", "0", "99999"])
def test_a_wrong_port_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="PROBE_PORT must be a port"):
        from_environment(NEEDED | {"PROBE_PORT": text})


def test_each_process_is_another_candidate() -> None:
    pod = NEEDED | {"POD_NAMESPACE": "system", "POD_NAME": "operator-0", "LEASE_NAME": "mine"}
    first, second = from_environment(pod).candidacy, from_environment(pod).candidacy
    assert first
    assert second
    assert (first.namespace, first.lease) == ("system", "mine")
    assert first.identity.startswith("operator-0_")
    assert first.identity != second.identity, "a container that was started again"


def test_without_a_namespace_no_leader_is_elected() -> None:
    assert from_environment(NEEDED).candidacy is None
