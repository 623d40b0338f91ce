"""Which web pages may ask, and what their browsers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.gateway.exchange import Head
from gridtie.gateway.hosts import Hosts
from gridtie.gateway.origins import Origins
from standins.router import Answered, Station, chat, routing, run
from standins.scripted import Upstream, stream, whole

DECLARED = ["app://obsidian.md", "vscode-file://vscode-app", "capacitor://localhost", "Tauri://Localhost/", "null"]
ORIGINS = Origins(Hosts([], {8484}), DECLARED)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:8484", True),
        (b"app://obsidian.md", True),
        (b"APP://Obsidian.md", True),
        (b"vscode-file://vscode-app", True),
        (b"tauri://localhost", True),
        (b"app://obsidian.md.evil.example", False),
        (b"app://other", False),
        (b"https://obsidian.md", False),
        (b"http://[::1", False),
        (b"\xff\xfe://", False),
        (b"", False),
        # Declared or not: any page can be made to send it.
        (b"null", False),
    ],
)
def test_our_own_pages_and_declared_ones_may_ask(origin: bytes, allowed: bool) -> None:
    head = Head()

    assert ORIGINS.admit(head, origin) is allowed
    assert (b"access-control-allow-origin: %b\r\n" % origin in head.cors) is allowed


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (b"http://localhost:9000", b"localhost:9000", True),
        (b"https://LOCALHOST:9000", b"localhost:9000", True),
        # Another server of this machine, and one that its page asks.
        (b"http://localhost:3000", b"localhost:9000", False),
        (b"http://localhost:3000", b"localhost:8484", False),
        # A name that was bound anew to this machine.
        (b"http://evil.example:9000", b"evil.example:9000", False),
        (b"app://localhost:9000", b"localhost:9000", False),
    ],
)
def test_the_page_of_a_container_that_is_published_at_another_port_may_ask_where_it_came_from(
    origin: bytes, host: bytes, allowed: bool
) -> None:
    head = Head()
    head.host = host

    assert Origins(Hosts([], {8484}, ["localhost:*"]), []).admit(head, origin) is allowed


@pytest.mark.parametrize("asked", [b"authorization\r\nx: y", b"a b", b"x" * 3000, b"a,,b"])
def test_names_of_headers_that_are_none_are_not_repeated(asked: bytes) -> None:
    head = Head(headers={b"access-control-request-method": b"POST", b"access-control-request-headers": asked})
    ORIGINS.admit(head, b"app://obsidian.md")

    assert b"access-control-allow-headers" not in ORIGINS.preflight(head, "POST")


def rules(url: str) -> str:
    return routing(url, use="[local]") + "defaults: {allowed_origins: ['app://obsidian.md']}\n"


ORIGIN = {"origin": "app://obsidian.md"}
PREFLIGHT = {
    **ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, x-stainless-os",
    "access-control-request-private-network": "true",
}


class TestInABrowser:
    def test_a_declared_application_asks_before_it_asks_and_reads_the_answer(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, list[Answered]]:
            async with Upstream(whole(), stream("a")) as here, Station(tmp_path, rules(here.url)) as station:
                before = await preflight(station, PREFLIGHT)
                return before, [
                    await station.ask(chat(), headers=ORIGIN),
                    await station.ask(chat(stream=True), headers=ORIGIN),
                    # Refused, and read all the same: why is what the person has to be told.
                    await station.ask(chat(), headers=ORIGIN, key="gt-wrong"),
                    await station.ask(path="/v2", headers=ORIGIN),
                    await station.ask(b"{", headers={**ORIGIN, "content-encoding": "gzip"}),
                ]

        before, answers = run(ask)

        assert before.status == 204
        assert "content-length" not in before.headers
        assert before.headers["access-control-allow-origin"] == "app://obsidian.md"
        assert before.headers["access-control-allow-methods"] == "POST, OPTIONS"
        assert before.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os"
        assert before.headers["access-control-allow-private-network"] == "true"
        assert [answer.status for answer in answers] == [200, 200, 401, 404, 415]
        assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"app://obsidian.md"}

    def test_an_undeclared_one_is_told_where_it_would_be_declared(self, tmp_path: Path) -> None:
        async def ask() -> list[Answered]:
            async with Upstream(whole()) as here, Station(tmp_path, rules(here.url)) as station:
                foreign = {"origin": "vscode-file://vscode-app"}
                return [
                    await station.ask(chat(), headers=foreign),
                    await preflight(station, {**PREFLIGHT, **foreign}),
                ]

        answers = run(ask)

        assert [answer.status for answer in answers] == [403, 403]
        assert all("defaults.allowed_origins" in answer.error["message"] for answer in answers)
        assert not any("access-control-allow-origin" in answer.headers for answer in answers)

    def test_one_head_after_another_on_a_connection_is_answered_for_its_own_origin(self, tmp_path: Path) -> None:
        async def ask() -> list[str | None]:
            async with Upstream(whole()) as here, Station(tmp_path, rules(here.url)) as station:
                return [
                    (await station.ask(path="/v1/models", headers=headers)).headers.get("access-control-allow-origin")
                    for headers in (ORIGIN, {}, {"origin": f"http://localhost:{station.port}"})
                ]

        first, second, third = run(ask)

        assert (first, second) == ("app://obsidian.md", None)
        assert third is not None
        assert third.startswith("http://localhost:")


async def preflight(station: Station, headers: dict[str, str]) -> Answered:
    """A browser's question before it asks; it has no key for it."""
    return await station.ask(path="/v1/chat/completions", method="OPTIONS", key=None, headers=headers)
