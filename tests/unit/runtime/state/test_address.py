"""AGENT_REDIS, and keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.errors import InvalidConfigError
from agent_runtime.state.address import Address, parse
from agent_runtime.state.keys import Keys


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", Address("cache")),
        ("redis://cache:7000/3", Address("cache", 7000, 3)),
        ("redis://[::1]:7000", Address("::1", 7000)),
        ("redis://bob:p%40ss@cache", Address("cache", user="bob", password="p@ss")),
        ("redis://:s@cache", Address("cache", password="s")),
        ("rediss://cache/0", Address("cache", tls=True)),
        ("rediss://c?ssl_ca_certs=/ca.crt", Address("c", tls=True, authority="/ca.crt")),
    ],
)
def test_addresses(url: str, expected: Address) -> None:
    assert parse(url) == expected


def test_a_password_may_come_apart_and_the_one_in_the_url_counts() -> None:
    assert parse("redis://cache", "s").password == "s"
    assert parse("redis://:a@cache", "b").password == "a"


@pytest.mark.parametrize(
    "url",
    [
        "", "cache:6379", "http://cache", "redis://", "redis://cache:x", "redis://cache:0",
        "redis://cache:99999", "redis://cache/one", "redis://cache#1", "redis://c?db=1",
        "redis://c?ssl_ca_certs=/ca.crt", "rediss://:secret@c?ssl_cert_reqs=none",
    ],
)  # fmt: skip
def test_what_is_none_says_what_would_be(url: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"^AGENT_REDIS: ") as caught:
        parse(url)
    assert "secret" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    address = parse("redis://:secret@cache")
    assert "secret" not in repr(address) + address.netloc


NAMES = st.lists(st.text(st.characters(codec=None), max_size=300), min_size=1, max_size=3)


@given(NAMES, NAMES)
def test_different_names_give_different_keys(one: list[str], other: list[str]) -> None:
    keys = Keys("shop/help")
    assert (keys.of("k", *one) == keys.of("k", *other)) == (one == other)
    assert len(keys.of("k", *one)) < 300


def test_agents_are_apart() -> None:
    assert Keys("a").of("k", "b:c") != Keys("a:k").of("b", "c")
