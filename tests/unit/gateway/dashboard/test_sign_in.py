"""A key opens the dashboard by a code; the browser gets a cookie that our page alone can use, as long as the key is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridtie.host.key_limits import stamp
from standins.router import KEY, OTHER_KEY, Station, routing, run
from standins.signed_in import Browser, signed_in

T = TypeVar("T")


def at(directory: Path, work: Callable[[Station], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with Station(directory, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            return await work(station)

    return run(inside)


async def with_keys(station: Station, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change keys.json, and have the router go by it."""
    path = station.config / "keys.json"
    document = json.loads(path.read_text())
    change(document["keys"])
    path.write_text(json.dumps(document))
    await station.router.settings.reload()
    assert station.router.settings.current.error == ""


def test_a_code_opens_a_session_of_its_key(tmp_path: Path) -> None:
    async def work(station: Station) -> list[Any]:
        browsers = [await signed_in(station, key) for key in (KEY, OTHER_KEY)]
        return [(await browser.get("session")).json for browser in browsers]

    assert at(tmp_path, work) == [{"name": "station", "admin": True}, {"name": "dev", "admin": False}]


def test_the_cookie_is_for_our_page_alone_and_no_key_is_in_it(tmp_path: Path) -> None:
    async def work(station: Station) -> tuple[str, str, int]:
        browser = Browser(station)
        plain = await browser.redeem(await browser.code())
        secure = await browser.send(
            "POST", "session", {"code": await browser.code()}, origin=f"https://127.0.0.1:{station.port}"
        )
        return plain.headers["set-cookie"], secure.headers["set-cookie"], station.port

    plain, secure, port = at(tmp_path, work)
    assert plain.startswith(f"gridtie_{port}=")
    assert "; Path=/dashboard; " in plain
    assert "; HttpOnly; SameSite=Strict" in plain
    assert KEY not in plain
    assert "Secure" not in plain
    assert secure.endswith("; Secure")


def test_a_code_is_good_once_and_whoever_uses_it_again_ends_the_session(tmp_path: Path) -> None:
    async def work(station: Station) -> tuple[int, int, str]:
        thief, person = Browser(station), Browser(station)
        code = await person.code()
        await thief.redeem(code)
        second = await person.redeem(code)
        return second.status, (await thief.get("session")).status, second.error["message"]

    status, thief, message = at(tmp_path, work)
    assert (status, thief) == (401, 401)
    assert "gridtie dashboard" in message


def test_without_a_session_nothing_is_told_and_what_to_do_is(tmp_path: Path) -> None:
    async def work(station: Station) -> list[Any]:
        browser = Browser(station)
        browser.cookie = f"gridtie_{station.port}=made-up"
        paths = ("session", "live", "history", "requests", "requests.csv", "requests.json", "requests/some-id")
        return [await browser.get(path) for path in paths] + [await browser.send("POST", "cancel", {"id": "x"})]

    answers = at(tmp_path, work)
    assert {each.status for each in answers} == {401}
    assert {each.error["code"] for each in answers} == {"not_signed_in"}
    assert "gridtie dashboard" in answers[0].error["message"]


def test_a_key_alone_opens_no_page_and_a_session_no_model(tmp_path: Path) -> None:
    """Neither is taken for the other: a stolen cookie asks no model."""

    async def work(station: Station) -> list[int]:
        browser = await signed_in(station)
        cookie = {"cookie": browser.cookie}
        return [
            (await station.ask(path="/dashboard/history")).status,
            (await station.ask(path="/v1/models", key=None, headers=cookie)).status,
            (await station.ask(path="/gridtie/usage", key=None, headers=cookie)).status,
            (await station.ask({}, path="/gridtie/sign-in", key=None, headers=cookie)).status,
        ]

    assert at(tmp_path, work) == [401, 401, 401, 401]


def test_signing_out_ends_it(tmp_path: Path) -> None:
    async def work(station: Station) -> tuple[str, int]:
        browser = await signed_in(station)
        out = await browser.send("DELETE", "session", {})
        return out.headers["set-cookie"], (await browser.get("session")).status

    cookie, status = at(tmp_path, work)
    assert "Max-Age=0" in cookie
    assert status == 401


@pytest.mark.parametrize("change", ["revoked", "ended", "replaced"])
def test_a_session_ends_with_its_key(tmp_path: Path, change: str) -> None:
    def changed(rows: list[dict[str, Any]]) -> None:
        row = next(each for each in rows if each["name"] == "dev")
        if change == "revoked":
            rows.remove(row)
        elif change == "ended":
            row["expires"] = stamp(time.time() - 1)
        else:
            row["sha256"] = "0" * 64

    async def work(station: Station) -> tuple[int, int]:
        browser, other = await signed_in(station, OTHER_KEY), await signed_in(station)
        await with_keys(station, changed)
        return (await browser.get("session")).status, (await other.get("session")).status

    assert at(tmp_path, work) == (401, 200)


def test_what_a_key_may_do_is_asked_anew(tmp_path: Path) -> None:
    def no_admin(rows: list[dict[str, Any]]) -> None:
        rows[0]["admin"] = False

    async def work(station: Station) -> list[Any]:
        browser = await signed_in(station)
        await with_keys(station, no_admin)
        return (await browser.get("session")).json

    assert at(tmp_path, work) == {"name": "station", "admin": False}


def test_a_key_with_an_end_and_limits_signs_in_while_it_lasts(tmp_path: Path) -> None:
    def limited(rows: list[dict[str, Any]]) -> None:
        row = next(each for each in rows if each["name"] == "dev")
        row.update(expires=stamp(time.time() + 1.5), limits={"requests_per_minute": 1})

    async def work(station: Station) -> tuple[list[int], int]:
        await with_keys(station, limited)
        browser = await signed_in(station, OTHER_KEY)
        statuses = [(await browser.get("session")).status for _ in range(3)]
        await asyncio.sleep(1.6)
        return statuses, (await browser.get("session")).status

    # To look costs none of its requests.
    assert at(tmp_path, work) == ([200, 200, 200], 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        # A page of another server on this machine: its cookies are ours as well, its port is not.
        {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
        {"origin": ""},
    ],
)
def test_a_page_of_others_changes_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async def work(station: Station) -> list[int]:
        browser = await signed_in(station)
        return [
            (await browser.send("POST", "cancel", {"id": "x"}, **headers)).status,
            (await browser.send("DELETE", "session", {}, **headers)).status,
            (await browser.send("POST", "session", {"code": await browser.code()}, **headers)).status,
            (await browser.get("session")).status,
        ]

    assert at(tmp_path, work) == [403, 403, 403, 200]


def test_a_declared_origin_may_ask_models_and_not_the_dashboard(tmp_path: Path) -> None:
    rules = routing("http://127.0.0.1:1/v1", use="[local]") + "defaults: {allowed_origins: ['app://obsidian.md']}\n"

    async def inside() -> tuple[int, int]:
        async with Station(tmp_path, rules) as station:
            browser = await signed_in(station)
            models = await station.ask(path="/v1/models", headers={"origin": "app://obsidian.md"})
            ended = await browser.send("POST", "cancel", {"id": "x"}, origin="app://obsidian.md")
            return models.status, ended.status

    assert run(inside) == (200, 403)


def test_a_page_at_another_port_is_not_told_what_its_browser_brings_along(tmp_path: Path) -> None:
    async def work(station: Station) -> tuple[int, int]:
        browser = await signed_in(station)
        same_site = await browser.get("requests", **{"sec-fetch-site": "same-site"})
        return same_site.status, (await browser.get("requests", **{"sec-fetch-site": "none"})).status

    assert at(tmp_path, work) == (403, 200)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"code": 1}', b"\xff"])
def test_a_body_that_is_none_is_the_clients_mistake(tmp_path: Path, body: bytes) -> None:
    async def work(station: Station) -> int:
        return (await Browser(station).send("POST", "session", body)).status

    assert at(tmp_path, work) == 400


def test_the_key_of_another_router_signs_in_nowhere(tmp_path: Path) -> None:
    def relay(rows: list[dict[str, Any]]) -> None:
        rows[1].update(environments=["relay"], relay=True)

    async def work(station: Station) -> int:
        await with_keys(station, relay)
        return (await station.ask({}, path="/gridtie/sign-in", key=OTHER_KEY)).status

    assert at(tmp_path, work) == 403
