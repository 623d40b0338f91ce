"""The door: who may ask what, by the head of a request alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from standins.router import KEY, OTHER_KEY, Answered, Station, chat, request, routing, run
from standins.scripted import Upstream, whole


class TestHeaders:
    @pytest.mark.parametrize("name", ["x-gridtie-tag", "X_Gridtie_Tags", "x-gridtie-enviroment"])
    def test_an_instruction_that_is_not_known_is_refused_before_anything_is_sent(
        self, tmp_path: Path, name: str
    ) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return await station.ask(chat(), headers={name: "private"}), len(here.turns)

        answered, sent = run(ask)

        assert (answered.status, answered.error["code"], sent) == (400, "unknown_header", 0)
        assert "did you mean" in answered.error["message"]

    def test_one_that_comes_later_on_a_connection_is_refused_too(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                wire = await station.connect()
                statuses = []
                for headers in ({}, {"x-gridtie-tags": "a"}, {"x-gridtie-tag": "private"}):
                    await wire.send(request(chat(), port=station.port, headers=headers))
                    statuses.append((await wire.answered()).status)
                return statuses

        assert run(ask) == [200, 200, 400]

    def test_names_of_environments_are_compared_with_case_folded_in_keys_too(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                path = station.config / "keys.json"
                document = json.loads(path.read_text())
                document["keys"][1]["environments"] = ["Dev"]
                path.write_text(json.dumps(document))
                await station.router.settings.reload()
                return [
                    (await station.ask(chat(), key=OTHER_KEY, headers={"x-gridtie-environment": name})).status
                    for name in ("dev", "DEV", "ci")
                ]

        assert run(ask) == [200, 200, 403]

    def test_a_name_without_measure_is_neither_stored_nor_repeated(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, str]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                answered = await station.ask(chat(), headers={"x-gridtie-environment": "z" * 20_000})
                return answered, json.dumps(await station.rows(1), default=str)

        answered, rows = run(ask)

        assert (answered.status, answered.error["code"]) == (400, "invalid_header")
        assert len(answered.body) < 1000
        assert "z" * 200 not in rows


class TestOptions:
    def test_every_path_says_what_may_be_asked_there_without_a_key(self, tmp_path: Path) -> None:
        async def ask() -> list[tuple[int, str | None]]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                wire = await station.connect()
                found = []
                for path in ("*", "/v1/chat/completions", "/v1/models", "/v1/models/coder", "/none"):
                    await wire.send(request(path=path, method="OPTIONS", port=station.port, key=None))
                    answered = await wire.answered()
                    found.append((answered.status, answered.headers.get("allow")))
                return found

        assert run(ask) == [
            (204, "GET, HEAD, POST, OPTIONS"),
            (204, "POST, OPTIONS"),
            (204, "GET, HEAD, OPTIONS"),
            (204, "GET, HEAD, OPTIONS"),
            (404, None),
        ]

    def test_a_foreign_host_is_told_nothing(self, tmp_path: Path) -> None:
        async def ask() -> int:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return (await station.ask(path="*", method="OPTIONS", headers={"host": "evil.example"})).status

        assert run(ask) == 421


@pytest.mark.parametrize("path", ["/", "/v1/models", "/healthz", "/v1/models/"])
def test_head_is_answered_wherever_get_is(tmp_path: Path, path: str) -> None:
    async def ask() -> int:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return (await station.ask(path=path, method="HEAD")).status

    assert run(ask) == 200


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"origin": "http://[::1"}, "/v1/models"),
        ({"origin": "http://\xff:99999999"}, "/v1/models"),
        ({"host": "[::1"}, "/v1/models"),
        ({"host": "\xff"}, "/v1/models"),
        ({}, "/v1/models/%ff%zz%"),
        ({}, "/%"),
        ({}, "/gridtie/usage?%ff=%zz&&=&a;b"),
        ({}, "/gridtie/usage?since=" + "9" * 400 + "d"),
        ({}, "/gridtie/usage?since=" + "9" * 5000),
        ({}, "/gridtie/usage?since=%00"),
        ({}, "/gridtie/usage?until=0001-01-01T00:00:00%2B23:59"),
        ({}, "/gridtie/requests/%00%ff"),
        ({}, "/gridtie/requests/" + "x" * 20_000),
    ],
)
def test_nothing_that_a_client_writes_is_a_fault_of_the_router(
    tmp_path: Path, headers: dict[str, str], path: str
) -> None:
    async def ask() -> Answered:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return await station.ask(path=path, headers=headers)

    answered = run(ask)

    assert answered.status < 500
    assert answered.status == 200 or len(answered.body) < 2000


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1//chat/completions", "//v1/models/coder"])
def test_a_doubled_slash_is_told_as_what_it_is(tmp_path: Path, path: str) -> None:
    """Clients join a base URL that ends in a slash with a path that begins with one."""

    async def ask() -> list[Answered]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return [await station.ask(path=each) for each in (path, "/v1/chats")]

    doubled, other = run(ask)

    assert (doubled.status, other.status) == (404, 404)
    assert "the client's base URL ends in a slash, write it without" in doubled.error["message"]
    assert "base URL" not in other.error["message"]
    assert "/v1/chat/completions" in other.error["message"]


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"api-key": KEY}, "api-key found, which is not read; send a key of this router as `Authorization: Bearer` or"),
        ({"authorization": KEY}, "Authorization found without Bearer; send a key"),
        ({"authorization": f"Basic {KEY}", "api-key": KEY}, "api-key found"),
        ({}, "no key was sent; send a key"),
        ({"authorization": "Bearer other", "api-key": KEY}, "this key is not known; send a key"),
    ],
)
def test_a_key_that_came_in_another_way_is_told_and_never_shown(
    tmp_path: Path, headers: dict[str, str], says: str
) -> None:
    async def ask() -> Answered:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return await station.ask(chat(), key=None, headers=headers)

    answered = run(ask)

    assert (answered.status, answered.error["code"]) == (401, "invalid_key")
    assert says in answered.error["message"]
    assert "x-api-key" in answered.error["message"]
    assert KEY not in answered.body.decode()
