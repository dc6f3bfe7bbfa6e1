"""References are written out, and a wrong argument is named."""

from __future__ import annotations

import pytest

from agent_runtime.errors import InvalidConfigError
from agent_runtime.tools.schema import complaint, inlined, plain, validator

ORDER = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}, "copies": {"type": "integer", "minimum": 1}},
    "required": ["order_id"],
    "additionalProperties": False,
}


def test_references_are_written_out_and_loops_end() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/a~1b"}}}
    schema = {"$ref": "#/$defs/a~1b", "$defs": {"a/b": tree}}
    written = inlined(schema)
    assert "$defs" not in written
    assert written["properties"]["next"]["properties"]["next"]["type"] == "object"
    assert '"$ref"' not in str(written)
    beside = inlined({"$ref": "#/$defs/x", "description": "mine", "$defs": {"x": {"type": "null"}}})
    assert beside == {"type": "null", "description": "mine"}
    assert inlined({"anyOf": [{"type": "null"}, {"$ref": "#/anyOf/0"}]})["anyOf"] == [
        {"type": "null"},
        {"type": "null"},
    ]
    away = ("#/nowhere", "#nowhere", "https://example.com/schema")
    for wrong in (*away, "#/anyOf/1", "#/anyOf/-1", "#/anyOf/00", "#/anyOf/-", "#/anyOf/0/0"):
        with pytest.raises(InvalidConfigError, match="leads"):
            inlined({"$ref": wrong, "anyOf": ["a"]})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"order_id": "A1"}, None),
        ({}, "'order_id' is a required property"),
        ({"order_id": 5}, "order_id: 5 is not of type 'string'"),
        ({"order_id": "A1", "copies": 0}, "copies: 0 is less than the minimum of 1"),
        ({"order_id": "A1", "colour": "x"}, "'colour' was unexpected"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, object], said: str | None) -> None:
    found = complaint(validator(ORDER), arguments)
    assert found is None if said is None else found is not None and said in found


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="parameters"):
        validator({"type": "nonsense"})


def test_an_optional_argument_is_seen_as_if_given() -> None:
    assert plain({"anyOf": [{"type": "null"}, {"type": "integer"}], "title": "N"}) == {
        "title": "N", "type": "integer"
    }  # fmt: skip
    assert plain({"type": ["null", "string"]})["type"] == "string"


def test_few_references_cannot_lead_to_endlessly_much() -> None:
    def both(name: str) -> dict[str, object]:
        return {"properties": {"a": {"$ref": name}, "b": {"$ref": name}}}

    tree = {"$ref": "#/$defs/t", "$defs": {"t": both("#/$defs/t")}}
    assert "'a': {}" in str(inlined(tree))
    steps = {f"s{n}": both(f"#/$defs/s{n + 1}") for n in range(20)} | {"s20": {"type": "null"}}
    with pytest.raises(InvalidConfigError, match="more than"):
        inlined({"$ref": "#/$defs/s0", "$defs": steps})


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("trusted", [True, False])
def test_a_reference_to_elsewhere_is_never_fetched(
    keyword: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", asked.append)
    check = validator({keyword: "http://169.254.169.254/x"}, trusted)
    assert "cannot be checked" in (complaint(check, "x") or "")
    assert asked == []


def test_expressions_of_strangers_do_not_run() -> None:
    endless = "^(a+)+$"
    text = "a" * 40 + "!"
    for schema in (
        {"pattern": endless},
        {"allOf": [{"not": {"type": "null"}, "pattern": endless}]},
        {"patternProperties": {endless: False}, "additionalProperties": False},
        {"patternProperties": {endless: True}, "unevaluatedProperties": False},
    ):
        for value in (text, {text: 1}):
            assert complaint(validator(schema, trusted=False), value) is None
    assert complaint(validator({"type": "string"}, trusted=False), 5) is not None
