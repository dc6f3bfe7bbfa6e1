"""Addresses of collections: every form, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.errors import InvalidConfigError
from agent_runtime.stores.address import Address, parse
from agent_runtime.stores.weaviate_connection import class_name


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("chroma://store:8001/docs", Address("chroma", "docs", "store", 8001)),
        ("chroma://store/ns.agent.1f", Address("chroma", "ns.agent.1f", "store", 8000)),
        ("chroma+https://store/docs", Address("chroma", "docs", "store", 443, tls=True)),
        ("chroma://[::1]:9/docs/", Address("chroma", "docs", "::1", 9)),
        ("chroma://My_Docs", Address("chroma", "My_Docs", "localhost", 8000)),
        ("weaviate://docs", Address("weaviate", "docs", "localhost", 8080, 50051)),
        ("weaviate://w:80/docs", Address("weaviate", "docs", "w", 80, 50051)),
        ("weaviate://w/docs?grpc=5", Address("weaviate", "docs", "w", 8080, 5)),
        (
            "weaviate+https://w/docs?grpc=443",
            Address("weaviate", "docs", "w", 443, 443, tls=True),
        ),
        ("faiss:///var/lib/a%20b/docs", Address("faiss", "docs", folder=Path("/var/lib/a b"))),
    ],
)
def test_every_form_is_read(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no known engine"),
        ("docs", "the forms are chroma://HOST:PORT/COLLECTION"),
        ("http://store/docs", "no known engine"),
        ("qdrant://store/docs", "no known engine"),
        ("chroma:///docs", "names no host"),
        ("chroma://store:8000", "chroma://store:8000/COLLECTION"),
        ("chroma+https://store", "chroma\\+https://store/COLLECTION"),
        ("chroma://s:x/docs", "[Pp]ort"),
        ("chroma://s:70000/docs", "[Pp]ort"),
        ("chroma://s:0/docs", "port 0"),
        ("chroma://s/a/b", "'a/b' must have"),
        ("chroma://s/ab", "'ab' must have 3 to 512"),
        ("chroma://s/-docs-", "begin and end with a letter"),
        ("chroma://s/docs?grpc=5", "nothing may follow"),
        ("chroma://s/docs#x", "nothing may follow"),
        ("weaviate://s/docs?grpc=x", "grpc: 'x' is not a port"),
        ("weaviate://s/docs?grpc=0", "grpc: '0' is not a port"),
        ("weaviate://s/docs?port=5", r"\?grpc=PORT"),
        ("weaviate://s/docs?grpc=5&grpc=6", r"\?grpc=PORT"),
        ("faiss://folder/docs", "three slashes"),
        ("faiss:///docs", "a folder and a collection"),
        ("faiss:///a/../docs", "faiss:///FOLDER/COLLECTION"),
        ("faiss:///a/..", "faiss:///FOLDER/COLLECTION"),
        ("chroma://[::1/docs", "vector store address"),
    ],
)
def test_wrong_addresses_say_what_would_be_right(url: str, said: str) -> None:
    with pytest.raises(InvalidConfigError, match="vector store address") as raised:
        parse(url)
    assert raised.match(said)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidConfigError, match="user or password") as raised:
        parse("chroma://me:secret@store/docs")
    assert "secret" not in str(raised.value)


@given(st.text())
def test_whatever_is_given_is_an_address_or_one_kind_of_error(url: str) -> None:
    for prefix in ("", "chroma://", "weaviate://h/", "faiss:///"):
        try:
            parse(prefix + url)
        except InvalidConfigError:
            continue


NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,40}[a-zA-Z0-9]", fullmatch=True)


@given(NAMES, NAMES)
def test_each_collection_has_a_class_of_its_own_whatever_the_case(one: str, other: str) -> None:
    assert (class_name(one).lower() == class_name(other).lower()) == (one == other)


def test_classes_are_named_as_weaviate_wants_them() -> None:
    assert class_name("shop.assistant-1.0a2f") == "Cshop_2eassistant_2d1_2e0a2f"
    assert class_name("Docs") == "C_44ocs"
    with pytest.raises(InvalidConfigError, match="too long for Weaviate"):
        class_name("a." * 100)
