"""The SDKs that people use against the real context of the small model that calls tools, on the real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from clients.environments import SDKS, Driver, driver
from integration.station import TOOLS_MODEL
from standins.fixtures import RouterProcess

PROTOCOLS = pytest.mark.parametrize("name", [name for name, sdk in SDKS.items() if sdk.driver == "python"])

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def router(tools_model_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """In front of the station's own model, of which it knows that it is to be held to its calls."""
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


@pytest.fixture(scope="module")
def ask(router: RouterProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """One conversation; what came of it."""
    started: dict[str, Driver] = {}
    with ExitStack() as stack:

        def put(name: str, *turns: str, streamed: bool) -> dict[str, Any]:
            kind = SDKS[name].driver
            if kind not in started:
                started[kind] = stack.enter_context(driver(kind, tmp_path_factory.mktemp(kind)))
            job = {"name": name, "root": router.url, "key": router.key, "model": "agent"}
            return started[kind].ask({**job, "turns": turns, "streamed": streamed})

        yield put


@PROTOCOLS
def test_a_prompt_that_does_not_fit(ask: Ask, name: str) -> None:
    """Twice the model's real context: refused, and nothing of it is cut."""
    error = ask(name, "one more word " * 20_000, streamed=True)["error"]

    assert error["status"] == 400
    assert "context" in error["message"] or "too long" in error["message"], error
