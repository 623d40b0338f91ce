"""The official SDKs of Python against real models on real engines: a station's small one, and the one that calls tools.

The models answer what they like: what is held here is that each client reads it as an answer, and that what cannot be
answered comes as the client's own error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clients.environments import SDKS, Driver, driver
from integration.station import TOOLS_MODEL, Station
from standins.fixtures import RouterProcess

# Of another key than any that there is.
NOBODY = "gt-" + "z" * 43
# Tokens: some words.
SHORT = 12
EVERY_SDK = pytest.mark.parametrize("name", [name for name, sdk in SDKS.items() if sdk.driver == "python"])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with driver("python", tmp_path_factory.mktemp("python")) as started:
        yield started


@pytest.fixture
def ask(python: Driver, station: Station) -> Ask:
    """One conversation with the station's small model, which has no tools; what came of it."""

    def put(name: str, *turns: str, **more: Any) -> dict[str, Any]:
        job = {"name": name, "root": station.endpoint, "key": station.key, "model": "smoke-test", "tools": False}
        return python.ask({**job, "turns": turns, "streamed": False, "limit": SHORT, "fresh_tries": False, **more})

    return put


@pytest.fixture(scope="module")
def router(tools_model_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """In front of the model that calls tools, of which it knows that it is to be held to its calls."""
    model = {
        "name": f"gridtie/{TOOLS_MODEL}", "catalogue": TOOLS_MODEL, "dialect": "openai", "url": tools_model_url,
        "context": 32768, "capabilities": ["chat", "json", "tools"], "held_calls": True,
    }  # fmt: skip
    station = {"schema": 1, "engine": {"kind": "embedded", "mode": "container"}, "models": [model]}
    routing = {
        "version": 1,
        "providers": {"station": {"type": "station"}},
        "models": {"agent": {"local": f"station/{model['name']}"}},
        "rules": [{"name": "all", "use": ["local"]}],
        "defaults": {"alias": "agent"},
    }
    process = RouterProcess(tmp_path_factory.mktemp("router"), json.dumps(routing), {}, station)
    yield process
    assert process.stop() == 0


@pytest.fixture
def ask_agent(python: Driver, router: RouterProcess) -> Ask:
    """The same with the model that calls tools, which is offered one."""

    def put(name: str, *turns: str, **more: Any) -> dict[str, Any]:
        job = {"name": name, "root": router.url, "key": router.key, "model": "agent", "turns": turns, "rounds": 1}
        return python.ask({**job, "streamed": False, **more})

    return put


@STREAMED
@EVERY_SDK
def test_an_answer_and_the_next_one(ask: Ask, name: str, streamed: bool) -> None:
    """What the model said is read, sent again by the client's own rules, and answered."""
    found = ask(name, "Say hello.", "And in French?", streamed=streamed)

    assert len(found.get("said", ())) == 2 and all(found["said"]), found


@EVERY_SDK
def test_a_tool_that_the_model_does_not_know(ask: Ask, name: str) -> None:
    error = ask(name, "What is 2 + 3?", tools=True)["error"]

    assert error["status"] == 400
    assert "cannot do tools" in error["message"]


@EVERY_SDK
def test_a_wrong_key(ask: Ask, name: str) -> None:
    error = ask(name, "Say hello.", key=NOBODY)["error"]

    assert error["status"] == 401
    assert "this key is not known" in error["message"]
    assert NOBODY not in error["message"]


@EVERY_SDK
def test_an_unknown_model(ask: Ask, name: str) -> None:
    error = ask(name, "Say hello.", model="no-such-model")["error"]

    assert error["status"] == 404
    assert "no-such-model" in error["message"]


@STREAMED
@EVERY_SDK
def test_a_prompt_that_does_not_fit(ask_agent: Ask, name: str, streamed: bool) -> None:
    """Twice the model's real context: refused, and nothing of it is cut."""
    error = ask_agent(name, "one more word " * 20_000, streamed=streamed)["error"]

    assert error["status"] == 400
    assert "context" in error["message"] or "too long" in error["message"], error
