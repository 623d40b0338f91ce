"""The official SDKs of Python and Node, LangChain and the AI SDK, each at its own settings, through a real router
process to a stand-in of every kind of target: what their users see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.environments import SDKS, DriverOf, drivers
from standins.cloud import Cloud
from standins.fixtures import RouterProcess
from standins.recorder import Recorder, recording
from standins.targets import SECRETS, TARGETS, every_target

FAULTS = ("context", "invalid", "broken", "error-in-stream")
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
EVERY_CLIENT = pytest.mark.parametrize("name", SDKS)
EVERY_TARGET = pytest.mark.parametrize("target", TARGETS)

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def router(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    text = every_target(shared_cloud, authority, ("agent", *FAULTS))
    process = RouterProcess(tmp_path_factory.mktemp("router"), text, SECRETS)
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def recorder(router: RouterProcess) -> Iterator[Recorder]:
    with recording(router.port) as made:
        yield made


@pytest.fixture(scope="module")
def driver_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverOf]:
    with drivers(tmp_path_factory.mktemp) as found:
        yield found


@pytest.fixture
def ask(router: RouterProcess, recorder: Recorder, driver_of: DriverOf) -> Ask:
    """One job; what came of it. What the client sent is in the recorder."""

    def put(name: str, model: str, *turns: str, **more: Any) -> dict[str, Any]:
        recorder.requests.clear()
        job = {"name": name, "root": recorder.url, "key": router.key, "model": model, "turns": turns}
        return driver_of(name).ask({**job, "streamed": False, **more})

    return put


@pytest.fixture(autouse=True)
def row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Which rows of docs/clients.md a test is about; without a word on how, those of both ways."""
    params = request.node.callspec.params
    record_property("client", params["name"])
    record_property("how", {False: "whole", True: "streamed"}.get(params.get("streamed"), ""))


@STREAMED
@EVERY_TARGET
@EVERY_CLIENT
def test_a_conversation_with_a_tool(ask: Ask, name: str, target: str, streamed: bool) -> None:
    """The call comes down, its result goes up, the answer knows both, and the next turn knows the first."""
    found = ask(name, f"{target}-agent", "What is 2 + 3?", "Hello!", "What is 10 + 20?", streamed=streamed)

    assert found.get("said") == ["turn 1: 5", "turn 2: no tool", "turn 3: 30"], found
    assert found["calls"] == [["add", {"a": 2, "b": 3}], ["add", {"a": 10, "b": 20}]]


@STREAMED
@EVERY_TARGET
@EVERY_CLIENT
def test_a_prompt_that_does_not_fit(
    ask: Ask, recorder: Recorder, name: str, target: str, streamed: bool
) -> None:  # fmt: skip
    """The client shows how long it was, and does not try again what cannot help."""
    error = ask(name, f"{target}-context", "much", streamed=streamed)["error"]

    assert "9083" in error["message"] or "215104" in error["message"] or "too long" in error["message"], error
    assert error["status"] in (400, None)
    assert len(recorder.requests) == 1


@STREAMED
@EVERY_TARGET
@EVERY_CLIENT
def test_what_upstream_refuses(
    ask: Ask, recorder: Recorder, name: str, target: str, streamed: bool
) -> None:  # fmt: skip
    """In upstream's own words, once."""
    error = ask(name, f"{target}-invalid", "x", streamed=streamed)["error"]

    assert "Invalid value for 'messages'" in error["message"]
    assert len(recorder.requests) == 1


@STREAMED
@EVERY_TARGET
@EVERY_CLIENT
def test_an_upstream_that_is_broken(ask: Ask, name: str, target: str, streamed: bool) -> None:
    """An error of the server's, which the client may try again: it does so where it is left to."""
    error = ask(name, f"{target}-broken", "x", streamed=streamed, fresh_tries=False)["error"]

    assert error["status"] in (502, 503, None), error
    assert len(error["message"]) > 15


@EVERY_TARGET
@EVERY_CLIENT
def test_a_stream_with_an_error_in_it_is_no_answer(ask: Ask, name: str, target: str) -> None:
    """What came before it is not taken for the whole."""
    found = ask(name, f"{target}-error-in-stream", "x", streamed=True, fresh_tries=False)

    assert "error" in found, found


@STREAMED
@EVERY_CLIENT
def test_a_wrong_key(ask: Ask, recorder: Recorder, name: str, streamed: bool) -> None:
    """A sentence about the key, at once."""
    error = ask(name, "openai-agent", "x", streamed=streamed, key="gt-" + "z" * 43)["error"]

    assert "key" in error["message"]
    assert error["status"] in (401, None)
    assert len(recorder.requests) == 1


@EVERY_CLIENT
def test_an_unknown_model(ask: Ask, recorder: Recorder, name: str) -> None:
    """Named, at once."""
    error = ask(name, "no-such-model", "x")["error"]

    assert "no-such-model" in error["message"]
    assert len(recorder.requests) == 1


@pytest.mark.parametrize("name", [name for name, sdk in SDKS.items() if sdk.driver == "python"])
@EVERY_TARGET
def test_a_conversation_of_ten_turns(ask: Ask, name: str, target: str) -> None:
    """By each agents' protocol: nothing of twenty questions and answers, calls and results is lost or out of order."""
    turns = [f"What is {number} + {number * 7}?" for number in range(1, 11)]

    found = ask(name, f"{target}-agent", *turns, streamed=True)

    assert found.get("said") == [f"turn {number}: {number * 8}" for number in range(1, 11)], found
    assert [call[1]["a"] for call in found["calls"]] == list(range(1, 11))
