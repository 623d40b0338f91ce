"""A schema of calls that small models can be held to, and that no tool's own schema refuses."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from gridtie.host.tool_calls import LONGEST, TooMuchDemanded, arguments_of, instructions, read, schema_of

TEXT = {"type": "string"}


def function(name: str = "open", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": {"type": "object", **parameters}}


def sample(schema: dict[str, Any]) -> Any:
    """Something that satisfies a schema of those that we make, at its least and shortest."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "object":
        return {name: sample(each) for name, each in schema["properties"].items()}
    if kind == "array":
        return [sample(schema["items"])] * schema["minItems"]
    if kind == "string":
        return "x" * schema.get("minLength", 0)
    return {"integer": schema.get("minimum", 1), "number": 0.5, "boolean": True, "null": None}[kind]


EDIT = {"type": "object", "properties": {"old": TEXT}, "required": ["old"]}
AGENTS = [
    function(properties={"path": TEXT, "limit": {"type": "integer", "minimum": 3}}, required=["path", "limit"]),
    function(properties={"maybe": {"type": ["string", "null"], "minLength": 2}}),
    function(properties={"edits": {"type": "array", "minItems": 5, "items": {"$ref": "#/$defs/edit"}}},
             required=["edits"], **{"$defs": {"edit": EDIT}}),
    function(properties={"how": {"anyOf": [{"type": "null"}, {"enum": ["fast", "slow"]}]}}, required=["how"]),
    function(properties={"tree": {"$ref": "#"}}, required=["tree"]),
    function(properties={"anything": {}}, required=["anything"], additionalProperties=False),
    {"name": "bare"},
    {"name": "odd", "parameters": {"type": "string"}},
    function(properties={"a": TEXT}, required=[{"a": 1}, "a"]),
    function(properties={"a": TEXT}, required=5),
]  # fmt: skip


@pytest.mark.parametrize("tool", AGENTS[:4] + AGENTS[5:7], ids=str)
def test_what_the_schema_allows_the_tools_own_allows_as_well(tool: dict[str, Any]) -> None:
    call = sample(arguments_of(tool))

    jsonschema.validate(call, tool.get("parameters", {"type": "object"}))


@pytest.mark.parametrize("tool", AGENTS, ids=str)
def test_every_schema_is_one_and_comes_to_an_end(tool: dict[str, Any]) -> None:
    schema = schema_of([tool], demanded=False)

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"name": tool["name"], "arguments": sample(arguments_of(tool))}, schema)


def test_texts_are_bounded_and_a_tools_own_bound_holds() -> None:
    held = arguments_of(function(properties={"a": TEXT, "b": {**TEXT, "maxLength": 5}}, required=["a", "b"]))

    assert [each["maxLength"] for each in held["properties"].values()] == [LONGEST, 5]


MANY = {"type": "array", "items": TEXT}


@pytest.mark.parametrize(
    "demanded",
    [{**TEXT, "minLength": 400}, {**MANY, "minItems": 64}, {**MANY, "minItems": 3.0, "maxItems": 9}],
    ids=str,
)
def test_what_a_tool_demands_is_held_up_to_a_bound(demanded: dict[str, Any]) -> None:
    call = sample(arguments_of(function(properties={"a": demanded}, required=["a"])))

    jsonschema.validate(call["a"], demanded)


@pytest.mark.parametrize(
    ("demanded", "message"),
    [
        ({**MANY, "minItems": 1_000_000}, "minItems is above 64"),
        ({**MANY, "minItems": 65.0}, "minItems is above 64"),
        ({**TEXT, "minLength": 10**5000}, "minLength is above 400"),
        ({**MANY, "items": {**TEXT, "minLength": 401}}, "minLength is above 400"),
    ],
    ids=["items", "a float", "5000 digits", "inside"],
)
def test_more_than_a_grammar_is_written_for_is_refused_and_not_cut(demanded: dict[str, Any], message: str) -> None:
    tool = function(properties={"a": demanded, "b": TEXT}, required=["a"])

    with pytest.raises(TooMuchDemanded, match=message):
        schema_of([tool], demanded=False)
    schema_of([function(properties={"b": TEXT, "a": demanded}, required=["b"])], demanded=False)


@pytest.mark.parametrize("name", ["minItems", "maxItems", "minLength", "maxLength"])
@pytest.mark.parametrize("value", [-5, True, "3", None, float("inf")], ids=str)
def test_a_bound_that_is_none_makes_no_schema_that_an_engine_stumbles_over(name: str, value: Any) -> None:
    schema = {"type": "array" if "Items" in name else "string", name: value}
    held = arguments_of(function(properties={"a": schema}, required=["a"]))["properties"]["a"]

    jsonschema.Draft202012Validator.check_schema(held)
    assert all(found >= 0 for key, found in held.items() if key.startswith(("min", "max")))


def test_a_demanded_call_leaves_no_words() -> None:
    free, demanded = (schema_of([function()], demanded=demanded) for demanded in (False, True))

    jsonschema.validate({"answer": "Done."}, free)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"answer": "Done."}, demanded)
    assert '"answer"' in instructions([function()], demanded=False)
    assert '"answer"' not in instructions([function()], demanded=True)


def test_a_call_words_and_neither_are_told_apart() -> None:
    assert read('{"name": "open", "arguments": {"path": "a"}}') == ("open", {"path": "a"})
    assert read('{"answer": "Hello"}') == ("", "Hello")
    assert [read(text) for text in ('{"name": "open", "argu', "[]", "Hello", '{"name": "open"}', "")] == [None] * 5


NAMES = [f"p{number}" for number in range(30)]
REFERRED = {"$ref": "#/$defs/node"}


@pytest.mark.parametrize(
    "tool",
    [
        function(properties=dict.fromkeys(NAMES, REFERRED), required=NAMES,
                 **{"$defs": {"node": {"properties": dict.fromkeys(NAMES, REFERRED), "required": NAMES}}}),
        function(properties=dict.fromkeys(NAMES, REFERRED), required=NAMES,
                 **{"$defs": {"node": {"enum": ["x" * 100_000]}}}),
    ],
    ids=["of itself", "of something large"],
)  # fmt: skip
def test_a_schema_that_grows_by_what_it_refers_to_is_refused_and_not_written_out(tool: dict[str, Any]) -> None:
    """Thirty properties of its own kind are a million schemas five levels down."""
    with pytest.raises(TooMuchDemanded, match=r"\$ref .* more than 1000000 characters"):
        schema_of([tool], demanded=False)


def test_a_property_that_is_required_many_times_is_written_out_once() -> None:
    node = {"properties": {"a": REFERRED}, "required": ["a"] * 1000}
    assert "properties" in arguments_of(function(**node, **{"$defs": {"node": node}}))["properties"]["a"]


def test_many_tools_of_agents_are_not_too_many() -> None:
    tools = [
        function(f"tool_{number}", properties={name: {"$ref": "#/$defs/text"} for name in NAMES}, required=NAMES,
                 **{"$defs": {"text": {**TEXT, "description": "A path below the checkout."}}})
        for number in range(300)
    ]  # fmt: skip
    assert len(schema_of(tools, demanded=True)["oneOf"]) == 300


def test_what_is_nested_without_end_is_no_call() -> None:
    assert read('{"name": "open", "arguments": ' + "[" * 100_000) is None
