"""Every client of docs/clients.md at a station that was just provisioned, whose engine and model are real.

The model is the small one that speaks agents' protocols: it says what it likes, and calls tools for no reason. What is
held here is that each client, connected by `gridtie connect`, takes it for an answer. Agents run where they can write
nothing but their home. `make test PART=clients` provisions the station.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.agents import AGENTS, Agent, Home
from clients.environments import SDKS, DriverOf, drivers
from integration.station import TOOLS_MODEL, Station

ALIAS, TARGET = "agent", f"station/gridtie/{TOOLS_MODEL}"
QUESTION = "Reply with the one word: connected"
HOW = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
# The model may call tools without an end.
ENOUGH = 3
# An agent's first question has up to 18,000 tokens, which two cores read in minutes; an answer that finds no end has
# 8,192, a quarter of the context, as `gridtie connect` tells agents.
ANSWER_S = 1200.0
ROWS = [(agent, how) for agent in AGENTS for how in (True, False) if how or agent.whole is not None]

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    """Its routing file has an alias for the model, as an owner gives it one who knows it: it is slow, and does not
    always find an end, so that who comes meanwhile waits.
    """
    where = os.environ.get("GRIDTIE_TEST_CLIENTS_STATION")
    if not where:
        pytest.fail("there is no station; run `make test PART=clients`, which provisions one", pytrace=False)
    found = Station(Path(where))

    def change(file: dict[str, Any]) -> None:
        timeouts = {"first_token": ANSWER_S, "total": ANSWER_S}
        file["models"][ALIAS] = {"local": f"gridtie/{TOOLS_MODEL}", "timeouts": timeouts}
        for rule in file["rules"]:
            rule["max_wait"] = ANSWER_S

    with found.routing(change):
        yield found


@pytest.fixture(scope="module")
def driver_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverOf]:
    with drivers(tmp_path_factory.mktemp) as found:
        yield found


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str, bool], None]:
    """Which row of docs/clients.md a test is about."""

    def tell(client: str, streamed: bool) -> None:
        record_property("station", client)
        record_property("how", "streamed" if streamed else "whole")

    return tell


def rows(station: Station) -> list[dict[str, Any]]:
    """The latest requests, the newest first."""
    with station.client() as client:
        found: list[dict[str, Any]] = client.get("/gridtie/requests?last=100").json()["requests"]
    return found


def answered(station: Station, key: str, seen: set[str]) -> list[str]:
    """Who answered the new requests of a key, those to their end. What is as usual stands in no row."""
    own = (row for row in rows(station) if row["key"] == key and row["id"] not in seen)
    return [str(row["target"]) for row in own if row["status"] == 200 and row.get("complete", True)]


@pytest.fixture
def home(station: Station, tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home", station.config, tuple({agent.program.parent for agent in AGENTS}))
    yield made
    made.end_what_stayed()


@pytest.mark.parametrize(
    ("agent", "streamed"), [pytest.param(*row, id=f"{row[0].row}-{'streamed' if row[1] else 'whole'}") for row in ROWS]
)
def test_an_agent_that_was_connected_is_answered_by_the_model(
    agent: Agent, streamed: bool, station: Station, home: Home, tmp_path: Path, told: Callable[[str, bool], None]
) -> None:
    """It ends well, or has taken what it was told and gone on with it, again and again."""
    told(agent.row, streamed)
    connected = home.connect(agent.client, "--write", "--model", ALIAS)
    key = next(word for word in connected.split() if word.startswith(f"{agent.client}-")).rstrip(".")
    seen = {row["id"] for row in rows(station)}
    log, deadline = tmp_path / "said", time.monotonic() + ANSWER_S

    with log.open("wb") as said:
        process = home.begin(agent, QUESTION, model=ALIAS, streamed=streamed, said=said)
        while (ended := process.poll()) is None and len(answered(station, key, seen)) < ENOUGH:
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(1)
        process.kill()
        process.wait()

    by_whom = answered(station, key, seen)
    home.connect(agent.client, "--restore")
    assert set(by_whom) == {TARGET}, log.read_text(errors="replace")
    assert ended == 0 or (ended is None and len(by_whom) >= ENOUGH), log.read_text(errors="replace")


@pytest.mark.parametrize("client", ["llm", "aider"])
def test_the_check_of_connect_names_what_answered(client: str, home: Home) -> None:
    """Of those that send no tools, so that they end with the first answer."""
    home.connect(client, "--write", "--model", ALIAS)

    assert f"{TARGET} answered" in home.connect(client, "--check")


@HOW
@pytest.mark.parametrize("name", SDKS)
def test_an_sdk_is_answered_by_the_model(
    name: str, streamed: bool, station: Station, driver_of: DriverOf, told: Callable[[str, bool], None]
) -> None:
    """Two turns, and a tool that may be called: what came is sent again by the client's own rules."""
    told(name, streamed)
    seen = {row["id"] for row in rows(station)}
    job = {"name": name, "root": station.endpoint, "key": station.key, "model": ALIAS, "rounds": 1}

    found = driver_of(name).ask({**job, "turns": ["What is 2 + 3?", "And in French?"], "streamed": streamed})

    assert len(found.get("said", ())) == 2, found
    new = [row for row in rows(station) if row["id"] not in seen]
    assert len(new) >= 2
    assert [(row["status"], row["target"]) for row in new] == [(200, TARGET)] * len(new)
