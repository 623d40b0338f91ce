"""Limits of keys hold in front of every target, and are told in each client's own shape."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import keys as written
from gridtie.host.key_limits import Limits, stamp
from standins.router import OTHER_KEY, Answered, Station, chat, request, routing, run
from standins.scripted import Upstream, event, silence, whole

MESSAGE = {"model": "coder", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def limit(station: Station, **changes: Any) -> None:
    """The key `dev` gets these fields in keys.json."""
    path = station.config / "keys.json"
    document = json.loads(path.read_text())
    for row in document["keys"]:
        if row["name"] == "dev":
            row.update(changes)
    path.write_text(json.dumps(document))


async def limited(station: Station, **changes: Any) -> None:
    """The same, and in force."""
    limit(station, **changes)
    await station.router.settings.reload()
    assert station.router.settings.current.error == ""


class TestRates:
    def test_the_request_beyond_the_limit_is_refused_and_reaches_nobody(self, tmp_path: Path) -> None:
        async def ask() -> tuple[list[Answered], int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 2})
                return [await station.ask(chat(), key=OTHER_KEY) for _ in range(3)], len(here.turns)

        answers, reached = run(ask)

        assert [each.status for each in answers] == [200, 200, 429]
        assert reached == 2
        assert 1 <= int(answers[2].headers["retry-after"]) <= 62
        assert answers[2].error["code"] == "rate_limit_exceeded"

    def test_other_keys_are_not_counted_with_it(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 1})
                await station.ask(chat(), key=OTHER_KEY)
                return [(await station.ask(chat())).status for _ in range(3)]

        assert run(ask) == [200, 200, 200]

    def test_lists_and_own_figures_are_not_counted(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 1})
                paths = ("/v1/models", "/gridtie/key", "/gridtie/usage")
                seen = [(await station.ask(path=path, key=OTHER_KEY)).status for path in paths * 2]
                path = "/v1/messages/count_tokens"
                seen += [(await station.ask(MESSAGE, path=path, key=OTHER_KEY)).status for _ in range(2)]
                return [*seen, (await station.ask(chat(), key=OTHER_KEY)).status]

        assert run(ask) == [200] * 9

    def test_on_one_connection_it_holds_as_well(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 1})
                wire = await station.connect()
                found = []
                for _ in range(3):
                    await wire.send(request(chat(), port=station.port, key=OTHER_KEY))
                    found.append((await wire.answered()).status)
                return found

        assert run(ask) == [200, 429, 429]

    def test_tokens_are_counted_by_what_the_answer_says(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Any, int, Answered]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"tokens_per_minute": 1000})
                answered = await station.ask(chat(), key=OTHER_KEY)
                row = (await station.ask(path=f"/gridtie/requests/{answered.headers['x-gridtie-request-id']}")).json
                left = (await station.ask(path="/gridtie/key", key=OTHER_KEY)).json["left"]["tokens_per_minute"]
                return row, left, await station.ask(chat("word " * 2000), key=OTHER_KEY)

        row, left, large = run(ask)

        assert left == 1000 - row["input_tokens"] - row["output_tokens"]
        assert (large.status, large.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in large.headers

    def test_an_answer_that_its_client_leaves_counts_as_far_as_it_came(self, tmp_path: Path) -> None:
        frames = [event("word ") for _ in range(300)]

        async def ask() -> tuple[int, Answered]:
            async with (
                Upstream(silence(*frames)) as here,
                Station(tmp_path, routing(here.url, use="[local]")) as station,
            ):
                await limited(station, limits={"tokens_per_minute": 300})
                wire = await station.connect()
                await wire.send(request(chat(stream=True), port=station.port, key=OTHER_KEY))
                await wire.head()
                for _ in range(300):
                    await wire.reader.readuntil(b"word ")
                wire.close()
                await station.settled()
                left = (await station.ask(path="/gridtie/key", key=OTHER_KEY)).json["left"]["tokens_per_minute"]
                return left, await station.ask(chat(), key=OTHER_KEY)

        left, next_one = run(ask)

        assert left == 0
        assert next_one.status == 429

    def test_what_was_taken_counts_on_when_the_configuration_is_read_again(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 1})
                first = await station.ask(chat(), key=OTHER_KEY)
                await station.router.settings.reload()
                second = await station.ask(chat(), key=OTHER_KEY)
                await limited(station, limits={"requests_per_minute": 2})
                third = await station.ask(chat(), key=OTHER_KEY)
                return [each.status for each in (first, second, third)]

        assert run(ask) == [200, 429, 200]

    def test_each_client_is_told_in_its_own_shape(self, tmp_path: Path) -> None:
        asked = (("/v1/chat/completions", chat()), ("/v1/messages", MESSAGE), ("/api/chat", chat()))

        async def ask() -> list[Answered]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 1})
                await station.ask(chat(), key=OTHER_KEY)
                return [await station.ask(body, path=path, key=OTHER_KEY) for path, body in asked]

        openai, anthropic, ollama = run(ask)

        assert {each.status for each in (openai, anthropic, ollama)} == {429}
        assert openai.error["type"] == "rate_limit_error"
        assert (anthropic.json["type"], anthropic.error["type"]) == ("error", "rate_limit_error")
        assert "1 requests a minute" in ollama.json["error"]

    def test_a_refusal_is_in_the_ledger(self, tmp_path: Path) -> None:
        async def ask() -> list[Any]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 1})
                for _ in range(2):
                    await station.ask(chat(), key=OTHER_KEY)
                return await station.rows(2)

        assert [(row["key"], row["status"]) for row in run(ask)] == [("dev", 200), ("dev", 429)]


class TestModels:
    def test_only_what_is_named_may_be_asked_for_and_is_listed(self, tmp_path: Path) -> None:
        rules = routing("http://h:1/v1", use="[local]").replace("  coder:", "  chat:\n    local: here/small\n  coder:")

        async def ask() -> tuple[Answered, Answered, list[str], list[str]]:
            async with (
                Upstream(whole()) as here,
                Station(tmp_path, rules.replace("http://h:1", here.url[:-3])) as station,
            ):
                await limited(station, limits={"models": ["Chat"]})
                own = (await station.ask(path="/v1/models", key=OTHER_KEY)).json["data"]
                every = (await station.ask(path="/v1/models")).json["data"]
                return (
                    await station.ask({**chat(), "model": "chat"}, key=OTHER_KEY),
                    await station.ask(chat(), key=OTHER_KEY),
                    [row["id"] for row in own],
                    [row["id"] for row in every],
                )

        allowed, refused, own, every = run(ask)

        assert (allowed.status, refused.status) == (200, 403)
        assert refused.error["code"] == "model_not_allowed"
        assert 'the key "dev" may not ask for "coder"; allowed: chat' in refused.error["message"]
        assert own == ["chat"]
        assert {"chat", "coder"} <= set(every)

    def test_a_name_with_the_tag_that_clients_of_ollama_add_is_refused_for_what_it_is(self, tmp_path: Path) -> None:
        async def ask() -> Answered:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"models": ["other"]})
                return await station.ask({**chat(), "model": "coder:latest"}, path="/api/chat", key=OTHER_KEY)

        refused = run(ask)

        assert refused.status == 403
        assert 'may not ask for "coder' in refused.json["error"]

    def test_what_is_explained_is_what_happens(self, tmp_path: Path) -> None:
        async def ask() -> Any:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"models": ["other"]})
                return (await station.ask({"model": "coder"}, path="/gridtie/route", key=OTHER_KEY)).json

        assert run(ask)["refusal"]["code"] == "model_not_allowed"


class TestMoney:
    def test_a_keys_money_is_a_budget_of_its_own(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, Answered, Any]:
            async with (
                Upstream(whole()) as cloud,
                Station(tmp_path, routing(cloud=cloud.url, use="[cloud]")) as station,
            ):
                await limited(station, limits={"usd_per_day": 0.000001})
                refused = await station.ask(chat(), key=OTHER_KEY)
                told = (await station.ask(path="/gridtie/key", key=OTHER_KEY)).json
                return refused, await station.ask(chat()), told

        refused, other, told = run(ask)

        assert (refused.status, other.status) == (402, 200)
        assert 'the key "dev" ($1e-06 a day)' in refused.error["message"]
        assert "gridtie keys" in refused.error["message"]
        assert told["left"] == {"usd_per_day": 0.000001}

    def test_what_the_station_answers_itself_costs_none(self, tmp_path: Path) -> None:
        async def ask() -> int:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url)) as station:
                await limited(station, limits={"usd_per_day": 0.000001})
                return (await station.ask(chat(), key=OTHER_KEY)).status

        assert run(ask) == 200

    def test_a_name_that_differs_by_case_alone_lends_no_money(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, Any]:
            async with (
                Upstream(whole()) as cloud,
                Station(tmp_path, routing(cloud=cloud.url, use="[cloud]")) as station,
            ):
                path = station.config / "keys.json"
                document = json.loads(path.read_text())
                rich = {"name": "Dev", "sha256": "0" * 64, "environments": ["dev"], "limits": {"usd_per_day": 100.0}}
                path.write_text(json.dumps({**document, "keys": [*document["keys"], rich]}))
                await limited(station, limits={"usd_per_day": 0.000001})
                refused = await station.ask(chat(), key=OTHER_KEY)
                return refused, (await station.ask(path="/gridtie/key", key=OTHER_KEY)).json

        refused, told = run(ask)

        assert refused.status == 402
        assert told["left"] == {"usd_per_day": 0.000001}

    def test_one_keys_limit_changes_no_decision_of_another(self, tmp_path: Path) -> None:
        async def ask() -> tuple[bool, bool]:
            async with (
                Upstream(whole()) as cloud,
                Station(tmp_path, routing(cloud=cloud.url, use="[cloud]")) as station,
            ):
                await limited(station, limits={"usd_per_day": 5.0})
                of_other = await station.ask(chat())
                own = await station.ask(chat(), key=OTHER_KEY)
                return tuple("x-gridtie-output-limit" in each.headers for each in (of_other, own))  # type: ignore[return-value]

        assert run(ask) == (False, True)


class TestEnds:
    def test_a_key_that_has_ended_is_told_when_and_who_can_prolong_it(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, expires="2026-01-01T00:00:00Z")
                return await station.ask(chat(), key=OTHER_KEY), (await station.ask(chat())).status

        ended, other = run(ask)

        assert (ended.status, other) == (401, 200)
        assert (ended.error["code"], ended.headers["x-should-retry"]) == ("key_expired", "false")
        assert "gridtie keys edit dev --expires" in ended.error["message"]

    def test_it_ends_on_an_open_connection_too(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, expires=stamp(time.time() + 2))
                wire = await station.connect()
                found = []
                for pause in (0.0, 2.1):
                    await asyncio.sleep(pause)
                    await wire.send(request(chat(), port=station.port, key=OTHER_KEY))
                    found.append((await wire.answered()).status)
                return found

        assert run(ask) == [200, 401]

    @pytest.mark.parametrize("length", [{}, {"content-length": "0"}])
    def test_where_no_key_is_wanted_one_that_has_ended_is_none_on_an_open_connection_too(
        self, tmp_path: Path, length: dict[str, str]
    ) -> None:
        async def ask() -> list[str]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, admin=True, expires=stamp(time.time() + 2))
                wire = await station.connect()
                found = []
                for pause in (0.0, 2.1):
                    await asyncio.sleep(pause)
                    station.router.ledger.fault = "/var/lib/gridtie is full"
                    await wire.send(request(path="/readyz", port=station.port, key=OTHER_KEY, headers=length))
                    found += (await wire.answered()).json["reasons"]
                return found

        assert run(ask) == ["/var/lib/gridtie is full", "requests cannot be metered; the router's log says why"]

    def test_a_rotated_key_works_beside_the_new_one_and_counts_with_it(self, tmp_path: Path) -> None:
        async def ask() -> tuple[list[int], list[Any]]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 2})
                new, _ = written.rotate(station.config, "dev", 3600.0, time.time())
                await station.router.settings.reload()
                seen = [(await station.ask(chat(), key=key)).status for key in (OTHER_KEY, new, new, OTHER_KEY)]
                return seen, await station.rows(4)

        seen, rows = run(ask)

        assert seen == [200, 200, 429, 429]
        assert {row["key"] for row in rows} == {"dev"}

    def test_a_key_that_was_renewed_is_told_that_there_is_a_new_one(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                new, _ = written.rotate(station.config, "dev", 60.0, time.time() - 100)
                await station.router.settings.reload()
                return await station.ask(chat(), key=OTHER_KEY), (await station.ask(chat(), key=new)).status

        old, new = run(ask)

        assert (old.status, new) == (401, 200)
        assert "use the new one" in old.error["message"]

    def test_an_end_that_is_set_after_a_rotation_ends_the_one_before_as_well(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                new, _ = written.rotate(station.config, "dev", 7 * 24 * 3600.0, time.time())
                await limited(station, expires=stamp(time.time() - 10))
                return await station.ask(chat(), key=OTHER_KEY), (await station.ask(chat(), key=new)).status

        old, new = run(ask)

        assert (old.status, new) == (401, 401)
        assert "gridtie keys edit dev --expires" in old.error["message"]


class TestOwnKey:
    def test_a_key_without_limits_has_none(self, tmp_path: Path) -> None:
        async def ask() -> Any:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return (await station.ask(path="/gridtie/key", key=OTHER_KEY)).json

        assert run(ask) == {
            "name": "dev", "environments": ["dev"], "admin": False, "ends": None, "limits": {}, "left": {},
        }  # fmt: skip

    def test_a_key_learns_its_end_its_limits_and_what_is_left(self, tmp_path: Path) -> None:
        async def ask() -> Any:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, limits={"requests_per_minute": 5}, expires="2099-01-01T00:00:00Z")
                await station.ask(chat(), key=OTHER_KEY)
                return (await station.ask(path="/gridtie/key", key=OTHER_KEY)).json

        found = run(ask)

        assert found["limits"] == {"requests_per_minute": 5}
        assert found["left"] == {"requests_per_minute": 4}
        assert found["ends"] == 4070908800.0

    def test_without_a_key_nothing_is_told(self, tmp_path: Path) -> None:
        async def ask() -> int:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return (await station.ask(path="/gridtie/key", key=None)).status

        assert run(ask) == 401


class TestOrigins:
    PAGE = "https://notes.example"

    def test_a_page_may_ask_as_long_as_the_key_is_there_that_declares_it(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                own = written.add(station.config, "notes", ["dev"], origins=[self.PAGE])
                await station.router.settings.reload()
                headers = {"origin": self.PAGE}
                seen = [(await station.ask(chat(), key=own, headers=headers)).status]
                written.revoke(station.config, "notes")
                await station.router.settings.reload()
                return [*seen, (await station.ask(chat(), headers=headers)).status]

        assert run(ask) == [200, 403]

    def test_its_browser_is_told_so_before_it_sends_a_key(self, tmp_path: Path) -> None:
        async def ask() -> Answered:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await limited(station, origins=[self.PAGE])
                headers = {
                    "origin": self.PAGE,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization, content-type",
                }
                return await station.ask(method="OPTIONS", path="/v1/chat/completions", key=None, headers=headers)

        found = run(ask)

        assert found.status == 204
        assert found.headers["access-control-allow-origin"] == self.PAGE


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"limits": {"requests_per_minute": -1}}, "below 0"),
        ({"limits": {"requests_a_minute": 1}}, "requests_a_minute"),
        ({"expires": "2026-01-01"}, "not a key file"),
        ({"expires": "2026-01-01T00:00:00"}, "no zone"),
        ({"origins": ["*"]}, "anybody"),
        ({"previous": [{"sha256": "abc", "until": "2026-01-01T00:00:00Z"}]}, "64 lower-case"),
        (
            {"previous": [{"sha256": hashlib.sha256(b"gt-" + b"a" * 43).hexdigest(), "until": "2026-01-01T00:00:00Z"}]},
            "the same sha256",
        ),
    ],
)
def test_a_mistake_in_a_limit_keeps_what_is_in_force_and_is_told(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    async def ask() -> tuple[str, int]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            limit(station, **changes)
            await station.router.settings.reload()
            return station.router.settings.current.error, (await station.ask(chat(), key=OTHER_KEY)).status

    error, status = run(ask)

    assert says in error
    assert status == 200


def test_limits_made_by_the_command_are_those_that_hold(tmp_path: Path) -> None:
    async def ask() -> Any:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            limits = Limits(60, 20_000, 2.5, 40.0, ("coder",))
            key = written.add(station.config, "app", ["dev"], limits=limits)
            await station.router.settings.reload()
            return (await station.ask(path="/gridtie/key", key=key)).json["limits"]

    assert run(ask) == {
        "requests_per_minute": 60,
        "tokens_per_minute": 20_000,
        "usd_per_day": 2.5,
        "usd_per_month": 40.0,
        "models": ["coder"],
    }
