"""The rendered files, as far as a test without HAProxy can judge them."""

from __future__ import annotations

import json

from chatagent_operator.core.routing.haproxy import (
    ERRORS,
    GatewaySettings,
    render_config_files,
    render_haproxy_config,
)
from chatagent_operator.core.routing.routes import SLOTS


def test_equal_settings_give_equal_text() -> None:
    assert render_config_files(GatewaySettings()) == render_config_files(GatewaySettings())


def test_every_slot_starts_closed_and_without_a_revision() -> None:
    files = render_config_files(GatewaySettings())
    assert set(files) == {"haproxy.cfg", "slots.map"}
    for number, slot in enumerate(SLOTS, start=1):
        assert f"  server {slot} 0.0.0.0:8080 id {number} disabled\n" in files["haproxy.cfg"]
        assert f"{slot} -\n" in files["slots.map"]
    assert "generation -1\n" in files["slots.map"]
    assert "stable -\n" in files["slots.map"]


def test_settings_appear() -> None:
    text = render_haproxy_config(
        GatewaySettings(
            bind_address="[::]",
            http_port=1234,
            table_entries=77,
            affinity_ttl_seconds=60,
            stream_timeout_seconds=33,
            config_dir="/conf",
        )
    )
    assert "bind [::]:1234\n" in text
    assert "size 77 expire 60s\n" in text
    assert "timeout server 33s\n" in text
    assert "map_str(/conf/slots.map)" in text


def test_errors_can_be_quoted_and_read() -> None:
    for error in ERRORS:
        assert "'" not in error.body
        assert set(json.loads(error.body)["error"]) == {"message", "type", "param", "code"}
        assert f"http-error status {error.status} " in render_haproxy_config(GatewaySettings())
