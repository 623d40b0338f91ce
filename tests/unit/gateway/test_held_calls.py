"""Tools through the router to a model that is marked to be held to a schema of them, and to one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from standins.router import Answered, Station, chat, run
from standins.scripted import Upstream, stream

RULES = """
version: 1
providers:
  station: {type: station}
models:
  coder: {local: auto, purpose: code}
rules:
  - {name: all, use: [local]}
"""
PATH = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "read_file", "parameters": PATH}}
CALL = '{"name": "read_file", "arguments": {"path": "a"}}'


def asked(tmp_path: Path, *, held: bool, **fields: Any) -> tuple[Answered, Any]:
    """The answer to one chat, and what the engine was sent for it; None where it was sent nothing."""

    async def ask() -> tuple[Answered, Any]:
        # In two pieces, as an engine writes it.
        async with Upstream(stream(CALL[:9], CALL[9:])) as engine:
            model = {
                "name": "gridtie/small", "catalogue": "small", "dialect": "openai", "context": 8192,
                "url": f"http://127.0.0.1:{engine.port}", "purposes": ["code"],
                "capabilities": ["chat", "tools", "json"], "held_calls": held,
            }  # fmt: skip
            facts = {"schema": 1, "engine": {"kind": "embedded", "mode": "container"}, "models": [model]}
            (tmp_path / "config").mkdir()
            (tmp_path / "config" / "station.json").write_text(json.dumps(facts))
            async with Station(tmp_path, RULES) as station:
                answered = await station.ask(chat(**fields))
                sent = next((turn.json for turn in engine.turns if turn.line.startswith("POST")), None)
                await station.settled()
                return answered, sent

    return run(ask)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_marked_models_json_reaches_the_client_as_a_call(tmp_path: Path, streamed: bool) -> None:
    answered, sent = asked(tmp_path, held=True, tools=[TOOL], stream=streamed)

    assert answered.status == 200 and "tools" not in sent and sent["response_format"]["type"] == "json_schema"
    if streamed:
        chunks = [json.loads(event) for event in answered.events if event != "[DONE]"]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    else:
        calls = answered.json["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": "read_file", "arguments": '{"path":"a"}'}]


def test_without_tools_it_is_a_model_as_any(tmp_path: Path) -> None:
    answered, sent = asked(tmp_path, held=True, stream=True)

    assert answered.text == CALL and "response_format" not in sent


def test_another_model_gets_the_tools_as_the_client_sent_them(tmp_path: Path) -> None:
    answered, sent = asked(tmp_path, held=False, tools=[TOOL], stream=True)

    assert sent["tools"] == [TOOL] and "response_format" not in sent
    assert answered.text == CALL, "and its answer passes as it is"


def test_a_tool_that_demands_a_grammar_of_a_million_items_is_refused_before_the_engine(tmp_path: Path) -> None:
    lines = {"type": "array", "items": {"type": "string"}, "minItems": 1_000_000}
    schema = {"type": "object", "properties": {"lines": lines}, "required": ["lines"]}
    tool = {"type": "function", "function": {"name": "write", "parameters": schema}}
    answered, sent = asked(tmp_path, held=True, tools=[tool])

    assert (answered.status, sent) == (400, None)
    assert "minItems is above 64" in answered.json["error"]["message"]
