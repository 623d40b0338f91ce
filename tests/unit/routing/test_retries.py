"""A request that asks a target again, through the whole router: what the client sees, and what upstreams were sent."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from standins.router import Answered, Station, chat, run
from standins.scripted import Behaviour, Turn, Upstream, error, silence, stream, vanish, whole

LIMITED = error("429 Too Many Requests", "slow down", headers="retry-after: 0\r\n")
AT_ONCE = {"count": 2, "backoff": 0.1, "max_backoff": 1}


def file(*clouds: str, weights: bool = False, local: str = "", **settings: Any) -> str:
    """A cloud for each address, and behind them a local model where there is one. JSON is YAML."""
    providers = {f"c{at}": {"type": "openai", "base_url": url} for at, url in enumerate(clouds)}
    named = [{"provider": name, "model": "big", **({"weight": 1} if weights else {})} for name in providers]
    if local:
        providers["here"] = {"type": "openai", "base_url": local, "locality": "local"}
    model = {"local": "here/small" if local else None, "cloud": named}
    return json.dumps(
        {
            "version": 1, "providers": providers, "models": {"coder": model}, "retries": AT_ONCE,
            "rules": [{"name": "all", "use": ["cloud", *(["local"] if local else [])]}],
            "timeouts": {"connect": 1, "first_token": 0.6, "between_tokens": 0.6, "whole": 0.6, "total": 5},
        }
        | settings
    )  # fmt: skip


async def asked(
    directory: Path, *behaviours: Behaviour, local: Behaviour | None = None, stream: bool = False, **settings: Any
) -> tuple[Answered, Any, int, int]:
    """One request to a cloud that behaves so, turn by turn: the answer, its row, how often each upstream was asked."""
    async with Upstream(*behaviours) as cloud, Upstream(local or whole()) as here:
        text = file(cloud.url, local=here.url if local else "", **settings)
        async with Station(directory, text) as station:
            answered = await station.ask(chat(stream=stream))
            entry = await station.entry(answered)
            await station.settled()
            return answered, entry, len(cloud.turns), len(here.turns)


def test_a_target_that_asks_for_a_pause_is_asked_again_before_the_next_place_is(tmp_path: Path) -> None:
    answered, entry, cloud, here = run(lambda: asked(tmp_path, LIMITED, whole(), local=whole()))

    assert (answered.status, answered.headers["x-gridtie-target"], cloud, here) == (200, "c0/big", 2, 0)
    assert [(tried["target"], tried["outcome"]) for tried in entry["tries"]] == [("c0/big", "busy"), ("c0/big", "ok")]


def test_a_stream_may_begin_at_the_second_time(tmp_path: Path) -> None:
    answered, _, cloud, _ = run(lambda: asked(tmp_path, LIMITED, stream("a", "b"), stream=True))

    assert (answered.text, answered.events[-1], cloud) == ("ab", "[DONE]", 2)


def test_without_retries_the_next_place_is_asked_at_once(tmp_path: Path) -> None:
    _, _, cloud, here = run(lambda: asked(tmp_path, LIMITED, whole(), local=whole(), retries={}))

    assert (cloud, here) == (1, 1)


def test_a_retry_after_is_waited_for(tmp_path: Path) -> None:
    started = monotonic()
    limited = error("503 no", "overloaded", headers="retry-after: 1\r\n")

    answered, *_ = run(lambda: asked(tmp_path, limited, whole()))

    assert answered.status == 200
    assert monotonic() - started >= 1


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (error("429 no", "slow down", headers="retry-after: 2\r\n"), "a longer pause than max_backoff"),
        (error("503 no", "overloaded"), "nobody says how long"),
        (error("500 no", "oops"), "work may have begun"),
        (vanish, "work may have begun"),
        (silence(), "it had its time"),
        (error("404 no", "no such model", code="model_not_found"), "it stays so"),
    ],
)
def test_what_asking_again_does_not_help_goes_to_the_next_place_at_once(
    tmp_path: Path, behaviour: Behaviour, why: str
) -> None:
    answered, _, cloud, here = run(lambda: asked(tmp_path, behaviour, whole(), local=whole()))

    assert (answered.status, cloud, here) == (200, 1, 1), why


def test_a_fault_of_the_request_is_final(tmp_path: Path) -> None:
    refuses = error("400 no", "messages is required", type="invalid_request_error")

    answered, _, cloud, here = run(lambda: asked(tmp_path, refuses, whole(), local=whole()))

    assert (answered.status, cloud, here) == (400, 1, 0)


def test_the_count_bounds_them_and_the_next_place_follows(tmp_path: Path) -> None:
    answered, entry, cloud, here = run(lambda: asked(tmp_path, LIMITED, local=whole()))

    assert (answered.status, cloud, here) == (200, 3, 1)
    assert answered.headers["x-gridtie-attempts"] == "4"
    assert [tried["outcome"] for tried in entry["tries"]] == ["busy", "busy", "busy", "ok"]


def test_they_are_attempts_of_the_request(tmp_path: Path) -> None:
    limits = {"attempts": 2}

    answered, _, cloud, here = run(lambda: asked(tmp_path, LIMITED, local=whole(), limits=limits))

    assert (answered.status, answered.headers["retry-after"], cloud, here) == (429, "1", 2, 0)


def test_they_end_with_the_time_of_the_request(tmp_path: Path) -> None:
    """The pause does not fit in what is left of it."""
    started = monotonic()
    limited = error("429 no", "slow down", headers="retry-after: 3\r\n")
    settings = {"retries": {"count": 9, "max_backoff": 60}, "timeouts": {"total": 2}}

    answered, _, cloud, _ = run(lambda: asked(tmp_path, limited, **settings))

    assert (answered.status, cloud) == (429, 1)
    assert monotonic() - started < 2


def test_a_rule_says_how_often(tmp_path: Path) -> None:
    rules = [{"name": "all", "use": ["cloud"], "retries": {"count": 0}}]

    answered, _, cloud, _ = run(lambda: asked(tmp_path, LIMITED, whole(), rules=rules))

    assert (answered.status, cloud) == (429, 1)


def test_targets_that_share_a_place_stand_in_for_each_other_before_one_is_asked_again(tmp_path: Path) -> None:
    async def work() -> tuple[list[int], list[Any]]:
        async with Upstream(LIMITED, whole()) as one, Upstream(LIMITED, whole()) as other:
            async with Station(tmp_path, file(one.url, other.url, weights=True)) as station:
                entry = await station.entry(await station.ask(chat()))
                await station.settled()
            return sorted([len(one.turns), len(other.turns)]), entry["tries"]

    turns, tries = run(work)

    assert turns == [1, 2]
    assert [tried["outcome"] for tried in tries] == ["busy", "busy", "ok"]
    assert tries[0]["target"] != tries[1]["target"]


def test_a_server_that_starts_a_moment_later_is_reached(tmp_path: Path) -> None:
    """A refused connection sent nothing."""

    async def work() -> tuple[Answered, Any]:
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            retries = {"count": 3, "backoff": 1}
            async with Station(tmp_path, file(f"http://127.0.0.1:{port}/v1", retries=retries)) as station:
                asking = asyncio.ensure_future(station.ask(chat()))
                await asyncio.sleep(0.2)
                held.listen()
                held.setblocking(False)
                connection, _ = await asyncio.get_running_loop().sock_accept(held)
                reader, writer = await asyncio.open_connection(sock=connection)
                await reader.readuntil(b"\r\n\r\n")
                body = b'{"choices": [{"message": {"content": "hi"}}]}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                answered = await asking
                writer.close()
                return answered, await station.entry(answered)

    answered, entry = run(work)

    assert answered.status == 200
    outcomes = [tried["outcome"] for tried in entry["tries"]]
    assert outcomes[-1] == "ok"
    assert set(outcomes[:-1]) == {"unreachable"}


def test_a_client_that_leaves_while_it_waits_ends_the_request(tmp_path: Path) -> None:
    async def work() -> tuple[int, int, Any]:
        limited = error("429 no", "slow down", headers="retry-after: 1\r\n")
        async with Upstream(limited, whole()) as cloud, Station(tmp_path, file(cloud.url)) as station:
            asking = asyncio.ensure_future(station.ask(chat()))
            await cloud.turn()
            await asyncio.sleep(0.2)
            asking.cancel()
            (row,) = await station.rows(1)
            await asyncio.sleep(1.3)
            return len(cloud.turns), station.in_flight, row

    turns, in_flight, row = run(work)

    assert (turns, in_flight) == (1, 0)
    assert [tried["outcome"] for tried in json.loads(row["tries"])] == ["busy"]


def test_slot_and_money_are_given_back_while_it_waits_and_taken_anew(tmp_path: Path) -> None:
    """Nothing is asked meanwhile, so that others may have both."""
    held = asyncio.Event()

    async def late(turn: Turn) -> None:
        await held.wait()
        await whole()(turn)

    async def work() -> list[tuple[int, bool]]:
        limited = error("429 no", "slow down", headers="retry-after: 1\r\n")
        async with Upstream(limited, late) as cloud:
            text = json.loads(file(cloud.url, budgets=[{"name": "all", "usd": 5}]))
            text["providers"]["c0"] |= {"max_in_flight": 1, "prices": {"big": {"input": 1, "output": 1}}}
            async with Station(tmp_path, json.dumps(text)) as station:
                state = station.router.state
                asking = asyncio.ensure_future(station.ask(chat()))
                seen = []
                for number in (1, 2):
                    await cloud.turn(number)
                    await asyncio.sleep(0.3 if number == 1 else 0)
                    seen.append((station.in_flight, state.budget_left("all") == 5))
                held.set()
                assert (await asking).status == 200
                return seen

    assert run(work) == [(0, True), (1, False)]


class TestTimeouts:
    """Of an alias and of a rule."""

    @pytest.mark.parametrize("owner", ["alias", "rule"])
    def test_the_total_of_either_ends_a_request_and_is_named(self, tmp_path: Path, owner: str) -> None:
        own = {"timeouts": {"total": 0.5, "first_token": 60}}
        settings: dict[str, Any] = {"timeouts": {"total": 60}}
        settings |= {"rules": [{"name": "all", "use": ["cloud"], **own}]} if owner == "rule" else {}

        async def work() -> Answered:
            async with Upstream(silence()) as cloud:
                text = json.loads(file(cloud.url, **settings))
                if owner == "alias":
                    text["models"]["coder"] |= own
                async with Station(tmp_path, json.dumps(text)) as station:
                    answered = await station.ask(chat(stream=True))
                    await station.settled()
                    return answered

        answered = run(work)

        assert answered.status == 504
        name = "coder" if owner == "alias" else "all"
        assert f'not done within 0.5 s (timeouts.total of {owner} "{name}")' in answered.error["message"]

    def test_the_file_s_own_is_named_alone(self, tmp_path: Path) -> None:
        answered, *_ = run(lambda: asked(tmp_path, silence(), timeouts={"total": 0.5}))

        assert "not done within 0.5 s (timeouts.total)" in answered.error["message"]

    def test_a_longer_total_than_the_file_s_is_not_cut_short(self, tmp_path: Path) -> None:
        """By no other clock either, such as that of the client's connection."""
        rules = [{"name": "all", "use": ["cloud"], "timeouts": {"total": 20, "first_token": 20}}]
        late = stream("a", first=1.5)

        answered, *_ = run(lambda: asked(tmp_path, late, stream=True, rules=rules, timeouts={"total": 0.5}))

        assert answered.text == "a"
