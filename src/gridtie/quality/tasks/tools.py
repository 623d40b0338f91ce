"""Tools: which one to call, with which arguments, in which turn, and when none helps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gridtie.quality.checks import calls
from gridtie.quality.task import Answer, Call, Message, Task


def _tool(name: str, what: str, required: Sequence[str] = (), **fields: Any) -> Mapping[str, Any]:
    parameters = {"type": "object", "properties": fields, "required": list(required or fields)}
    return {"type": "function", "function": {"name": name, "description": what, "parameters": parameters}}


_TEXT, _WHOLE = {"type": "string"}, {"type": "integer"}
_TOOLS = (
    _tool("get_weather", "The weather in a city now.", city=_TEXT),
    _tool("add", "The sum of two whole numbers.", a=_WHOLE, b=_WHOLE),
    _tool("send_mail", "Send a message.", to=_TEXT, subject=_TEXT),
    _tool(
        "set_light", "Switch a room's light.", room={"type": "string", "enum": ["kitchen", "hall", "office"]},
        on={"type": "boolean"},
    ),
    _tool("find_files", "Files whose names match a pattern.", ["pattern"], pattern=_TEXT, directory=_TEXT),
)  # fmt: skip

_Wanted = tuple[str, Mapping[str, Any]]


def _call(name: str, asked: str, *wanted: _Wanted, wrong: Sequence[Answer] = (), turns: Sequence[Message] = ()) -> Task:
    messages: list[Message] = [
        {"role": "system", "content": "Use a tool where one helps. Pass just the arguments that were asked for."},
        {"role": "user", "content": asked},
        *turns,
    ]
    right = Answer(calls=tuple(Call(*each) for each in wanted)) if wanted else Answer("Paris.")
    none = Answer("I have done it.") if wanted else Answer(calls=(Call("get_weather", {"city": "Paris"}),))
    return Task(
        name=f"tools-{name}",
        category="tools",
        messages=tuple(messages),
        check=calls(*wanted),
        right=(right,),
        wrong=(none, Answer(calls=(Call("delete_everything", {}),)), Answer(), *wrong),
        max_tokens=200,
        tools=_TOOLS,
    )


def _one(name: str, **arguments: Any) -> Answer:
    return Answer(calls=(Call(name, arguments),))


def _asked_for(name: str, arguments: Mapping[str, Any], result: str) -> tuple[Message, ...]:
    """A call that was made, and what it gave."""
    function = {"name": name, "arguments": json.dumps(dict(arguments))}
    return (
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    )


TOOLS = (
    _call(
        "weather", "What is the weather in Lisbon?", ("get_weather", {"city": "Lisbon"}),
        wrong=[_one("get_weather", city="Porto"), Answer(calls=(Call("get_weather", None),))],
    ),
    _call(
        "numbers", "Use the tool to add 1234 and 8766.", ("add", {"a": 1234, "b": 8766}),
        wrong=[_one("add", a="1234", b="8766"), _one("add", a=1234, b=8766, c=0)],
    ),
    _call(
        "choice", "Turn the light in the hall off.", ("set_light", {"room": "hall", "on": False}),
        wrong=[_one("set_light", room="hall", on=True), _one("set_light", room="hall", on="false")],
    ),
    _call(
        "optional", "Find all files that match *.yml.", ("find_files", {"pattern": "*.yml"}),
        wrong=[_one("find_files", pattern="yml"), _one("find_files", pattern="*.yml", directory="/")],
    ),
    _call(
        "two-at-once", "Switch the lights in the kitchen and in the office on.",
        ("set_light", {"room": "kitchen", "on": True}), ("set_light", {"room": "office", "on": True}),
        wrong=[_one("set_light", room="kitchen", on=True)],
    ),
    _call("none", "Which city is the capital of France? You know this yourself; answer in one word."),
    _call(
        "next-step", "If it rains in Bergen, send a mail to kim@example.org with the subject Umbrella.",
        ("send_mail", {"to": "kim@example.org", "subject": "Umbrella"}),
        wrong=[_one("get_weather", city="Bergen"), _one("send_mail", to="kim", subject="Umbrella")],
        turns=_asked_for("get_weather", {"city": "Bergen"}, '{"sky": "rain", "degrees": 8}'),
    ),
    _call(
        "result-as-argument", "Add 20 and 22, then add 8 to the result, one call after the other.",
        ("add", {"a": 42, "b": 8}), wrong=[_one("add", a=20, b=22), _one("add", a=22, b=8)],
        turns=_asked_for("add", {"a": 20, "b": 22}, "42"),
    ),
)  # fmt: skip
