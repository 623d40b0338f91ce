"""The connection: what it reads, what it refuses, and that nobody can make it read one request as two."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.gateway import client_connection, limits
from gridtie.gateway.exchange import Exchange
from standins.router import KEY, Answered, Station, Wire, chat, request, routing, run
from standins.scripted import Upstream, answer, flood, silence, stream, whole

HOST = "Host: 127.0.0.1:{port}\r\n"
AUTH = f"Authorization: Bearer {KEY}\r\n"
POST = f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}{AUTH}"
SECOND = f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}\r\n"
BODY = '{"model": "coder"}'
TRAILER = "x: y\r\n"


class ClientConnection:
    """A router whose upstream answers everything."""

    def __init__(self, tmp_path: Path, *behaviours: object, limits: str = "{}") -> None:
        self._path = tmp_path
        self._limits = limits
        self.upstream = Upstream(*(behaviours or (whole(),)))  # type: ignore[arg-type]

    async def __aenter__(self) -> ClientConnection:
        await self.upstream.__aenter__()
        rules = routing(self.upstream.url, use="[local]", limits=self._limits)
        self.station = Station(self._path, rules, drain_seconds=0.5)
        try:
            await self.station.__aenter__()
        except BaseException:
            await self.upstream.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *told: object) -> None:
        await self.station.__aexit__(None, None, None)
        await self.upstream.__aexit__(None, None, None)

    async def raw(self, text: str) -> Wire:
        wire = await self.station.connect()
        await wire.send(text.replace("{port}", str(self.station.port)).encode("latin-1"))
        return wire


# Name -> the bytes, the status. All of them end the connection, and none reaches the upstream.
REFUSED = {
    "length and chunked": (f"{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and length": (f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two equal lengths": (f"{POST}Content-Length: 18\r\nContent-Length: 18\r\n\r\n{BODY}", 400),
    "two different lengths": (f"{POST}Content-Length: 18\r\nContent-Length: 3\r\n\r\n{BODY}", 400),
    "a list of lengths": (f"{POST}Content-Length: 18, 18\r\n\r\n{BODY}", 400),
    "a signed length": (f"{POST}Content-Length: +18\r\n\r\n{BODY}", 400),
    "a hexadecimal length": (f"{POST}Content-Length: 0x12\r\n\r\n{BODY}", 400),
    "an endless length": (f"{POST}Content-Length: {'9' * 30}\r\n\r\n{BODY}", 400),
    "a folded header": (f"{POST}X-A: b\r\n Content-Length: 18\r\n\r\n{BODY}", 400),
    "a space before the colon": (f"{POST}Content-Length : 18\r\n\r\n{BODY}", 400),
    "a bare line feed": (f"{POST}X-A: b\nContent-Length: 18\r\n\r\n{BODY}", 400),
    "a NUL in a header": (f"{POST}X-A: b\0c\r\nContent-Length: 18\r\n\r\n{BODY}", 400),
    "a coding that is not chunked": (f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked said twice": (f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "an unknown coding": (f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "two codings": (f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (
        f"POST /v1/chat/completions HTTP/1.0\r\n{HOST}{AUTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "a chunk longer than it says": (f"{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", 400),
    "a chunk size with a prefix": (f"{POST}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk size without an end": (f"{POST}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400),
    "an overflowing chunk size": (f"{POST}Transfer-Encoding: chunked\r\n\r\n{'F' * 20}\r\n", 400),
    "two hosts": (f"GET /v1/models HTTP/1.1\r\n{HOST}{HOST}{AUTH}\r\n", 400),
    "two keys": (f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}{AUTH}\r\n", 400),
    "no host": (f"GET /v1/models HTTP/1.1\r\n{AUTH}\r\n", 421),
    "a foreign host": (f"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n{AUTH}\r\n", 421),
    "our host at another port": (f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:1\r\n{AUTH}\r\n", 421),
    "an absolute target": (f"GET http://127.0.0.1/v1/models HTTP/1.1\r\n{HOST}{AUTH}\r\n", 400),
    "a foreign origin": (f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}Origin: https://evil.example\r\n\r\n", 403),
    "a null origin": (f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}Origin: null\r\n\r\n", 403),
    "HTTP/2 in plain": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a version there is not": (f"GET /v1/models HTTP/1.2\r\n{HOST}{AUTH}\r\n", 400),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "an absolute target elsewhere": (f"GET http://evil.example/v1/models HTTP/1.1\r\n{HOST}{AUTH}\r\n", 400),
    "an absolute target without a host": (f"GET http:///v1/models HTTP/1.1\r\n{HOST}{AUTH}\r\n", 400),
    "another scheme": (f"GET ftp://127.0.0.1:{{port}}/v1/models HTTP/1.1\r\n{HOST}{AUTH}\r\n", 400),
    "an asterisk for another method": (f"GET * HTTP/1.1\r\n{HOST}{AUTH}\r\n", 400),
    "an origin that does not parse": (f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}Origin: http://[::1\r\n\r\n", 403),
    "an origin of no form": (f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}Origin: ://\xff[]\r\n\r\n", 403),
    "a host that does not parse": (f"GET /v1/models HTTP/1.1\r\nHost: [::1\r\n{AUTH}\r\n", 421),
    "an unknown header of ours": (f"{POST}X-Gridtie-Tag: private\r\nContent-Length: 18\r\n\r\n{BODY}", 400),
    "a header of ours with underscores": (f"{POST}x_gridtie_tags: private\r\nContent-Length: 18\r\n\r\n{BODY}", 400),
    "endless chunk extensions": (f"{POST}Transfer-Encoding: chunked\r\n\r\n3;{'x' * 200_000}", 431),
    "an endless trailer": (f"{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: {'x' * 200_000}", 431),
    "too many trailers": (
        f"{POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{TRAILER * 200}\r\n",
        431,
    ),
    "a tunnel": (f"CONNECT evil.example:443 HTTP/1.1\r\n{HOST}{AUTH}\r\n", 400),
    "a compressed body": (f"{POST}Content-Encoding: gzip\r\nContent-Length: 18\r\n\r\n{BODY}", 415),
    "an unknown expectation": (f"{POST}Expect: magic\r\nContent-Length: 18\r\n\r\n{BODY}", 417),
    "no key": (f"GET /v1/models HTTP/1.1\r\n{HOST}\r\n", 401),
    "a wrong key": (f"GET /v1/models HTTP/1.1\r\n{HOST}Authorization: Bearer gt-no\r\n\r\n", 401),
    "a path there is not": (f"GET /admin HTTP/1.1\r\n{HOST}{AUTH}\r\n", 404),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_or_may_not_be_asked_ends_the_connection(tmp_path: Path, name: str) -> None:
    text, status = REFUSED[name]

    async def send() -> tuple[int, bool, int]:
        async with ClientConnection(tmp_path) as connection:
            # What follows must never be taken for a request of its own.
            wire = await connection.raw(text + SECOND)
            answered = await wire.answered()
            return answered.status, await wire.ended(), len(connection.upstream.turns)

    assert run(send) == (status, True, 0)


def test_a_trailer_decides_nothing(tmp_path: Path) -> None:
    trailer = f"{POST}Transfer-Encoding: chunked\r\n\r\n12\r\n{BODY}\r\n0\r\nAuthorization: none\r\nHost: x\r\n\r\n"

    async def send() -> tuple[int, int]:
        async with ClientConnection(tmp_path) as connection:
            wire = await connection.raw(trailer + SECOND)
            return (await wire.answered()).status, (await wire.answered()).status

    assert run(send) == (200, 200)


def test_a_trailer_that_says_where_a_prompt_may_go_is_too_late(tmp_path: Path) -> None:
    async def send() -> Answered:
        async with ClientConnection(tmp_path) as connection:
            chunks = f"12\r\n{BODY}\r\n0\r\nX-Gridtie-Tags: private\r\n\r\n"
            return await (await connection.raw(f"{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}")).answered()

    answered = run(send)

    assert (answered.status, answered.error["code"]) == (400, "unknown_header")


class TestReading:
    def test_a_request_in_single_bytes_is_read(self, tmp_path: Path) -> None:
        async def send() -> int:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.station.connect()
                for byte in request(chat(), port=connection.station.port):
                    wire.writer.write(bytes([byte]))
                    await asyncio.sleep(0)
                return (await wire.answered()).status

        assert run(send) == 200

    def test_pipelined_requests_are_answered_in_order_one_at_a_time(self, tmp_path: Path) -> None:
        async def send() -> tuple[list[str], int]:
            async with ClientConnection(tmp_path, whole(after=0.1)) as connection:
                wire = await connection.station.connect()
                both = request(chat(), port=connection.station.port) + request(
                    path="/healthz", port=connection.station.port
                )
                await wire.send(both + request(chat(), port=connection.station.port)[:40])
                await wire.send(request(chat(), port=connection.station.port)[40:])
                await connection.upstream.turn()
                await asyncio.sleep(0.02)
                at_once = len(connection.upstream.turns)
                answers = [await wire.answered() for _ in range(3)]
                return ["id" if "id" in each.json else "status" for each in answers], at_once

        assert run(send) == (["id", "status", "id"], 1)

    def test_a_pipelined_request_is_judged_too(self, tmp_path: Path) -> None:
        async def send() -> list[int]:
            async with ClientConnection(tmp_path, whole(after=0.1)) as connection:
                first = request(chat(), port=connection.station.port)
                wire = await connection.station.connect()
                await wire.send(first + request(chat(), port=connection.station.port, key="gt-wrong"))
                return [(await wire.answered()).status for _ in range(2)]

        assert run(send) == [200, 401]

    def test_forty_pipelined_requests_are_all_answered_in_order(self, tmp_path: Path) -> None:
        async def send() -> list[tuple[int, int]]:
            async with ClientConnection(tmp_path) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                # Of growing size, so that their ends fall anywhere in the pieces that are read.
                asked = [
                    request(chat("x" * 97 * number), port=port) if number % 2 else request(path="/healthz", port=port)
                    for number in range(40)
                ]
                await wire.send(b"".join(asked))
                answers = [await wire.answered() for _ in asked]
                return [
                    (each.status, len(turn.body))
                    for each, turn in zip(answers[1::2], connection.upstream.turns, strict=True)
                ]

        found = run(send)

        assert [status for status, _ in found] == [200] * 20
        assert [size for _, size in found] == sorted(size for _, size in found)
        assert len({size for _, size in found}) == 20

    def test_bytes_that_come_between_an_answer_and_the_next_request_stay_in_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bodies: list[bytes] = []
        waiting: list[Exchange] = []

        def handle(exchange: Exchange) -> None:
            bodies.append(bytes(exchange.body))
            waiting.append(exchange)

        async def send() -> list[bytes]:
            async with ClientConnection(tmp_path) as connection:
                monkeypatch.setattr(connection.station.router.app, "handle", handle)
                one, wire = request(chat(), port=connection.station.port), await connection.station.connect()
                await wire.send(one)
                await asyncio.sleep(0.05)
                await wire.send(one[:-5])
                await asyncio.sleep(0.05)
                (each,) = connection.station.router.app.connections
                # More is read before the loop comes to what was held.
                waiting[0].respond(200, b"")
                each.data_received(one[-5:])
                await asyncio.sleep(0.05)
                return bodies

        first, second = run(send)

        assert first == second

    def test_a_refusal_waits_for_the_answers_before_it(self, tmp_path: Path) -> None:
        async def send() -> tuple[list[int], bool]:
            async with ClientConnection(tmp_path, whole(after=0.1)) as connection:
                first = request(chat(), port=connection.station.port)
                wire = await connection.station.connect()
                await wire.send(first + b"GET / HTTP/9\r\n\r\n" + first)
                return [(await wire.answered()).status for _ in range(2)], await wire.ended()

        assert run(send) == ([200, 400], True)

    @pytest.mark.parametrize("step", [1, 3, 64, 100_000])
    @pytest.mark.parametrize("chunked", [True, False])
    @pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
    def test_an_upgrade_is_ignored_however_the_bytes_are_cut(
        self, tmp_path: Path, step: int, chunked: bool, upgrade: str
    ) -> None:
        body = json.dumps(chat("x" * 500))
        chunks = f"5;a=b\r\n{body[:5]}\r\n{len(body) - 5:x}\r\n{body[5:]}\r\n0\r\nX-T: y\r\n\r\n"
        framed = (
            f"Transfer-Encoding: chunked\r\n\r\n{chunks}" if chunked else f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        head = f"{POST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"

        async def send() -> tuple[list[int], list[str]]:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.station.connect()
                twice = f"{head}{framed}{head}{framed}{SECOND}".replace("{port}", str(connection.station.port)).encode()
                for at in range(0, len(twice), step):
                    wire.writer.write(twice[at : at + step])
                    await asyncio.sleep(0)
                answers = [(await wire.answered()).status for _ in range(3)]
                return answers, [turn.json["messages"][0]["content"] for turn in connection.upstream.turns]

        assert run(send) == ([200, 200, 200], ["x" * 500] * 2)

    def test_an_upgrade_without_a_body_is_a_plain_request(self, tmp_path: Path) -> None:
        async def send() -> list[int]:
            async with ClientConnection(tmp_path) as connection:
                head = f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                wire = await connection.raw(head + SECOND)
                return [(await wire.answered()).status for _ in range(2)]

        assert run(send) == [200, 200]

    def test_what_follows_the_body_of_an_upgrade_is_no_part_of_it(self, tmp_path: Path) -> None:
        head = f"{POST}Connection: Upgrade\r\nUpgrade: h2c\r\n"

        async def send() -> tuple[list[int], bool]:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.raw(f"{head}Content-Length: {len(BODY)}\r\n\r\n{BODY}garbage\r\n\r\n{SECOND}")
                return [(await wire.answered()).status for _ in range(2)], await wire.ended()

        assert run(send) == ([200, 400], True)

    @pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/v1/models", "HTTP://LOCALHOST:{port}/v1/models?x=y"])
    def test_a_target_with_our_own_address_is_a_path(self, tmp_path: Path, target: str) -> None:
        async def send() -> int:
            async with ClientConnection(tmp_path) as connection:
                host = target.split("/")[2]
                wire = await connection.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{AUTH}\r\n")
                return (await wire.answered()).status

        assert run(send) == 200

    def test_a_slash_at_the_end_of_a_path_means_nothing(self, tmp_path: Path) -> None:
        async def send() -> list[int]:
            async with ClientConnection(tmp_path) as connection:
                paths = ("/v1/models/", "/healthz/", "/v1/models//", "/v1/models/coder", "/")
                found = [(await connection.station.ask(path=path)).status for path in paths]
                posted = await connection.station.ask(chat(), path="/v1/chat/completions/")
                return [*found, posted.status]

        assert run(send) == [200, 200, 404, 200, 200, 200]

    def test_a_body_in_many_chunks_arrives_whole(self, tmp_path: Path) -> None:
        body = json.dumps(chat("y" * 30_000)).encode()

        async def send() -> tuple[int, bool]:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.raw(f"{POST}Transfer-Encoding: chunked\r\n\r\n")
                await wire.send(b"".join(b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body) - 1, 2)))
                tail = body[-1:] if len(body) % 2 else b""
                await wire.send((b"1\r\n%b\r\n" % tail if tail else b"") + b"0\r\n\r\n")
                answered = await wire.answered()
                return answered.status, connection.upstream.turns[0].json["messages"][0]["content"] == "y" * 30_000

        assert run(send) == (200, True)

    def test_endless_pipelining_is_held_outside(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, bool]:
            async with ClientConnection(tmp_path, silence()) as connection:
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port))
                await connection.upstream.turn()
                wire.writer.write(request(path="/healthz", port=connection.station.port) * 40_000)
                await asyncio.sleep(0.3)
                (each,) = connection.station.router.app.connections
                held, paused = len(each._pipelined.data), each._paused
                wire.close()
                return held, paused

        held, paused = run(send)

        assert paused
        assert held < limits.PIPELINE_BYTES + 512 * 1024

    def test_a_head_that_changes_on_a_connection_is_judged_anew(self, tmp_path: Path) -> None:
        async def send() -> list[int]:
            async with ClientConnection(tmp_path) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                statuses = []
                for headers in ({}, {}, {"x-gridtie-environment": "ci"}, {"x-gridtie-environment": "moon"}, {}):
                    await wire.send(request(chat(), port=port, headers=headers))
                    statuses.append((await wire.answered()).status)
                await wire.send(request(chat(), port=port, key="gt-wrong"))
                return [*statuses, (await wire.answered()).status]

        assert run(send) == [200, 200, 200, 403, 200, 401]

    def test_requests_with_the_head_of_the_one_before_are_each_read_for_themselves(self, tmp_path: Path) -> None:
        said = ["one", "another", "x" * 3_000, "y" * 20_000, "one"]

        async def send() -> tuple[list[int], list[str], int]:
            async with ClientConnection(tmp_path) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                statuses = []
                for text in said:
                    await wire.send(request(chat(text), port=port))
                    statuses.append((await wire.answered()).status)
                # Two at once, and one in two pieces.
                both = request(chat("first"), port=port) + request(chat("second"), port=port)
                await wire.send(both[:-10])
                await asyncio.sleep(0.05)
                await wire.send(both[-10:])
                statuses += [(await wire.answered()).status for _ in range(2)]
                ids = {row["id"] for row in await connection.station.rows(len(said) + 2)}
                heard = [turn.json["messages"][0]["content"] for turn in connection.upstream.turns]
                return statuses, heard, len(ids)

        assert run(send) == ([200] * 7, [*said, "first", "second"], 7)

    def test_a_head_that_is_known_by_its_bytes_stands_for_itself_after_another_one(self, tmp_path: Path) -> None:
        async def send() -> list[str]:
            async with ClientConnection(tmp_path) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                for environment, pieces in (("dev", 1), ("dev", 1), ("ci", 2), ("dev", 1), ("ci", 1)):
                    data = request(chat(), port=port, headers={"x-gridtie-environment": environment})
                    for at in range(pieces):
                        await wire.send(data[at * 60 : None if at == pieces - 1 else 60])
                        await asyncio.sleep(0.05)
                    assert (await wire.answered()).status == 200
                return [row["environment"] for row in await connection.station.rows(5)]

        assert sorted(run(send)) == ["ci", "ci", "dev", "dev", "dev"]

    @pytest.mark.parametrize("length", ["+18", "0x12", "18, 18", "1 8", "-18", ""])
    def test_a_length_that_is_none_is_refused_behind_a_head_that_is_known(self, tmp_path: Path, length: str) -> None:
        async def send() -> tuple[int, int, bool]:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.raw(f"{POST}Content-Length: 18\r\n\r\n{BODY}")
                before = (await wire.answered()).status
                text = f"{POST}Content-Length: {length}\r\n\r\n{BODY}"
                await wire.send(text.replace("{port}", str(connection.station.port)).encode())
                return before, (await wire.answered()).status, await wire.ended()

        assert run(send) == (200, 400, True)

    def test_a_revoked_key_is_refused_on_a_connection_that_used_it(self, tmp_path: Path) -> None:
        async def send() -> list[int]:
            async with ClientConnection(tmp_path) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                await wire.send(request(chat(), port=port))
                before = (await wire.answered()).status
                (tmp_path / "config" / "keys.json").write_text('{"schema": 1, "keys": []}')
                await connection.station.router.settings.reload()
                await wire.send(request(chat(), port=port))
                return [before, (await wire.answered()).status]

        assert run(send) == [200, 401]

    def test_expect_100_continue_is_answered_before_the_body(self, tmp_path: Path) -> None:
        async def send() -> list[int]:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.raw(f"{POST}Expect: 100-continue\r\nContent-Length: 18\r\n\r\n")
                go = await wire.answered()
                await wire.send(BODY.encode())
                return [go.status, (await wire.answered()).status]

        assert run(send) == [100, 200]

    def test_expect_without_a_key_is_refused_before_the_body(self, tmp_path: Path) -> None:
        async def send() -> int:
            async with ClientConnection(tmp_path) as connection:
                head = f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 18\r\n\r\n"
                return (await (await connection.raw(head)).answered()).status

        assert run(send) == 401


class TestAnswering:
    def test_connections_are_kept_until_the_client_says_close(self, tmp_path: Path) -> None:
        async def send() -> tuple[list[str | None], bool]:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.station.connect()
                told = []
                for headers in ({}, {"connection": "close"}):
                    await wire.send(request(path="/v1/models", port=connection.station.port, headers=headers))
                    told.append((await wire.answered()).headers.get("connection"))
                return told, await wire.ended()

        assert run(send) == ([None, "close"], True)

    def test_head_gets_the_head_of_get(self, tmp_path: Path) -> None:
        async def send() -> tuple[str, int]:
            async with ClientConnection(tmp_path) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                await wire.send(request(path="/v1/models", method="HEAD", port=port))
                _, headers = await wire.head()
                # The next answer follows at once: no body came with the first.
                await wire.send(request(path="/healthz", port=port))
                return headers["content-length"], (await wire.answered()).status

        length, status = run(send)

        assert int(length) > 0
        assert status == 200

    def test_http_1_0_gets_a_stream_that_the_end_of_the_connection_ends(self, tmp_path: Path) -> None:
        async def send() -> Answered:
            async with ClientConnection(tmp_path, stream("a", "b")) as connection:
                body = '{"model": "coder", "stream": true}'
                head = f"POST /v1/chat/completions HTTP/1.0\r\n{HOST}{AUTH}Content-Length: {len(body)}\r\n\r\n"
                return await (await connection.raw(head + body)).answered()

        answered = run(send)

        assert "transfer-encoding" not in answered.headers
        assert (answered.text, answered.events[-1]) == ("ab", "[DONE]")

    def test_a_wrong_method_is_told_the_right_ones(self, tmp_path: Path) -> None:
        async def send() -> tuple[Answered, Answered]:
            async with ClientConnection(tmp_path) as connection:
                ask = connection.station.ask
                return await ask(method="DELETE", path="/v1/models"), await ask(
                    method="GET", path="/v1/chat/completions"
                )

        models, completions = run(send)

        assert (models.status, models.headers["allow"]) == (405, "GET, HEAD")
        assert (completions.status, completions.headers["allow"]) == (405, "POST")

    def test_a_path_there_is_not_is_told_what_there_is(self, tmp_path: Path) -> None:
        async def send() -> Answered:
            async with ClientConnection(tmp_path) as connection:
                return await connection.station.ask(path="/v2")

        assert "/v1/chat/completions" in run(send).error["message"]

    def test_a_browser_on_our_own_page_may_ask(self, tmp_path: Path) -> None:
        async def send() -> int:
            async with ClientConnection(tmp_path) as connection:
                origin = {"origin": f"http://localhost:{connection.station.port}"}
                return (await connection.station.ask(path="/v1/models", headers=origin)).status

        assert run(send) == 200


class TestBounds:
    def test_a_body_over_the_limit_is_refused_by_its_length(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, str]:
            async with ClientConnection(tmp_path, limits="{max_body_bytes: 1000}") as connection:
                answered = await connection.station.ask(chat("x" * 2000))
                return answered.status, answered.error["code"]

        assert run(send) == (413, "body_too_large")

    def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, int]:
            async with ClientConnection(tmp_path, limits="{max_body_bytes: 1000}") as connection:
                wire = await connection.raw(f"{POST}Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(3):
                    await wire.send(b"1F4\r\n" + b"x" * 500 + b"\r\n")
                return (await wire.answered()).status, len(connection.upstream.turns)

        assert run(send) == (413, 0)

    @pytest.mark.parametrize(
        "headers", ["X-Long: " + "x" * 5000 + "\r\n", "".join(f"X-{i}: y\r\n" for i in range(200))]
    )
    @pytest.mark.parametrize("ended", [True, False])
    def test_headers_are_bounded_in_bytes_and_count(self, tmp_path: Path, headers: str, ended: bool) -> None:
        async def send() -> int:
            async with ClientConnection(tmp_path, limits="{max_header_bytes: 4000, max_headers: 100}") as connection:
                wire = await connection.raw(POST + headers + ("\r\n" if ended else "X-More: "))
                return (await wire.answered()).status

        assert run(send) == 431

    def test_headers_are_bounded_in_time(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, bool]:
            async with ClientConnection(tmp_path, limits="{header_timeout: 0.3}") as connection:
                wire = await connection.raw("GET /v1/models HT")
                answered = await wire.answered()
                return answered.status, await wire.ended()

        assert run(send) == (408, True)

    def test_a_body_that_does_not_come_is_bounded_in_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "BODY_SECONDS", 0.3)

        async def send() -> int:
            async with ClientConnection(tmp_path) as connection:
                return (await (await connection.raw(f"{POST}Content-Length: 18\r\n\r\n{{")).answered()).status

        assert run(send) == 408

    def test_idle_connections_are_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "KEEP_ALIVE_SECONDS", 0.3)

        async def send() -> bool:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.station.connect()
                await wire.send(request(path="/healthz", port=connection.station.port))
                await wire.answered()
                return await wire.ended()

        assert run(send)

    def test_a_client_that_stops_reading_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "STALL_SECONDS", 0.3)

        async def send() -> bool:
            async with ClientConnection(tmp_path, flood) as connection:
                wire = await connection.station.connect(limit=1024)
                await wire.send(request(chat(stream=True), port=connection.station.port))
                turn = await connection.upstream.turn()
                async with asyncio.timeout(5):
                    await turn.closed.wait()
                return await connection.station.settled()

        assert run(send)

    def test_the_next_request_waits_until_the_last_answer_has_been_taken(self, tmp_path: Path) -> None:
        large = answer("x" * 8_000_000)

        async def send() -> tuple[int, list[int], int]:
            async with ClientConnection(tmp_path, whole(large), whole()) as connection:
                wire = await connection.station.connect(limit=1024)
                await wire.send(request(chat(), port=connection.station.port))
                await connection.upstream.turn()
                (each,) = connection.station.router.app.connections
                while not each._write_paused:
                    await asyncio.sleep(0.01)
                await wire.send(request(chat(), port=connection.station.port))
                await asyncio.sleep(0.1)
                before = len(connection.upstream.turns)
                answers = [await wire.answered() for _ in range(2)]
                return before, [len(each.body) for each in answers], len(connection.upstream.turns)

        assert run(send) == (1, [len(large), len(answer())], 2)

    def test_too_many_connections_are_told_so(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, str]:
            async with ClientConnection(tmp_path, limits="{max_connections: 2}") as connection:
                wires = [await connection.station.connect() for _ in range(2)]
                await asyncio.sleep(0.05)
                status, headers = await (await connection.station.connect()).head()
                for wire in wires:
                    wire.close()
                return status, headers["retry-after"]

        assert run(send) == (503, "2")


def test_every_early_refusal_is_linger_closed(tmp_path: Path) -> None:
    """The client reads the refusal although it was still sending."""

    async def send() -> int:
        async with ClientConnection(tmp_path) as connection:
            wire = await connection.station.connect()
            head = request(b"", port=connection.station.port, key="gt-wrong", headers={"content-length": "4000000"})
            await wire.send(head)
            wire.writer.write(b"x" * 500_000)
            return (await wire.answered()).status

    assert run(send) == 401
    assert client_connection.limits.LINGER_BYTES >= 500_000


@pytest.mark.parametrize("key", [None, "gt-wrong"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_refusal_is_read_by_a_client_that_is_still_sending(tmp_path: Path, key: str | None, chunked: bool) -> None:
    size = 16_000_000

    async def send() -> tuple[int, str | None, int]:
        async with ClientConnection(tmp_path) as connection:
            wire = await connection.station.connect()
            framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(size)}
            await wire.send(request(method="POST", port=connection.station.port, key=key, headers=framing))
            sent = 0
            while sent < size:
                piece = b"x" * 1_000_000
                await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                sent += len(piece)
            answered = await wire.answered()
            return answered.status, answered.headers.get("connection"), connection.station.router.app.held.total

    assert run(send) == (401, "close", 0)


def test_a_body_that_is_too_large_is_told_so_while_it_comes(tmp_path: Path) -> None:
    async def send() -> tuple[list[int], int]:
        async with ClientConnection(tmp_path) as connection:
            statuses = []
            for framing in ({"transfer-encoding": "chunked"}, {"content-length": "17000000"}):
                wire = await connection.station.connect()
                await wire.send(request(method="POST", port=connection.station.port, headers=framing))
                for _ in range(17):
                    piece = b"x" * 1_000_000
                    await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece) if "transfer-encoding" in framing else piece)
                statuses.append((await wire.answered()).status)
            return statuses, connection.station.router.app.held.total

    assert run(send) == ([413, 413], 0)


def test_what_is_sent_after_a_refusal_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_TOTAL_SECONDS", 0.5)

    async def send() -> bool:
        async with ClientConnection(tmp_path) as connection:
            wire = await connection.station.connect()
            await wire.send(
                request(method="POST", port=connection.station.port, key=None, headers={"transfer-encoding": "chunked"})
            )
            try:
                async with asyncio.timeout(5):
                    while True:
                        await wire.send(b"1\r\nx\r\n")
                        await asyncio.sleep(0.05)
            except ConnectionError:
                return True

    assert run(send)


class TestHeldBytes:
    """What clients make the router hold is bounded in sum, and given back at every end."""

    SMALL = "{held_bytes: 400000, max_body_bytes: 200000}"

    def test_a_body_without_room_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        async def send() -> tuple[Answered, Answered, int]:
            async with ClientConnection(tmp_path, limits=self.SMALL) as connection:
                held = connection.station.router.app.held
                other = held.holding("station")
                assert other.take(190_000)
                full = await connection.station.ask(chat("x" * 50_000))
                other.release()
                return full, await connection.station.ask(chat("x" * 50_000)), held.total

        full, after, held = run(send)

        assert (full.status, full.error["code"], full.headers["retry-after"]) == (503, "overloaded", "2")
        assert "limits.held_bytes" in full.error["message"]
        assert (after.status, held) == (200, 0)

    def test_another_keys_bytes_do_not_count_against_ones_half(self, tmp_path: Path) -> None:
        async def send() -> int:
            async with ClientConnection(tmp_path, limits=self.SMALL) as connection:
                assert connection.station.router.app.held.holding("dev").take(200_000)
                return (await connection.station.ask(chat("x" * 50_000))).status

        assert run(send) == 200

    def test_chunks_count_as_they_come(self, tmp_path: Path) -> None:
        async def send() -> tuple[list[int], Answered, int]:
            async with ClientConnection(tmp_path, limits=self.SMALL) as connection:
                held = connection.station.router.app.held
                wire = await connection.raw(f"{POST}Transfer-Encoding: chunked\r\n\r\n")
                seen = []
                for _ in range(4):
                    await wire.send(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
                    await asyncio.sleep(0.05)
                    seen.append(held.of("station"))
                return seen, await wire.answered(), held.total

        seen, answered, held = run(send)

        assert seen[0] == 50_000
        assert 100_000 <= seen[1] <= 100_000 + limits.COUNTED_STEP_BYTES
        assert (answered.status, answered.error["code"], held) == (503, "overloaded", 0)

    @pytest.mark.parametrize("end", ["answered", "gone while reading", "gone while waiting", "malformed", "stopped"])
    def test_they_are_given_back_however_the_request_ends(self, tmp_path: Path, end: str) -> None:
        async def send() -> tuple[int, int]:
            behaviour = whole() if end == "answered" else silence()
            async with ClientConnection(tmp_path, behaviour) as connection:
                held = connection.station.router.app.held
                body = json.dumps(chat("x" * 50_000)).encode()
                wire = await connection.station.connect()
                if end in ("answered", "gone while waiting", "stopped"):
                    await wire.send(request(body, port=connection.station.port))
                    await connection.upstream.turn()
                else:
                    framing = {"transfer-encoding": "chunked"}
                    await wire.send(request(method="POST", port=connection.station.port, headers=framing))
                    await wire.send(b"%x\r\n%b\r\n" % (len(body), body))
                await asyncio.sleep(0.05)
                most = held.total
                if end == "answered":
                    await wire.answered()
                elif end == "malformed":
                    await wire.send(b"zz\r\n")
                elif end == "stopped":
                    await connection.station.router.stop()
                else:
                    wire.close()
                await asyncio.sleep(0.05)
                return most, held.total

        most, left = run(send)

        assert most >= 50_000 or end == "answered"
        assert left == 0

    def test_pipelined_bytes_count(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, int]:
            async with ClientConnection(tmp_path, silence()) as connection:
                held, port = connection.station.router.app.held, connection.station.port
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=port))
                await connection.upstream.turn()
                await wire.send(request(path="/healthz", port=port) * 300)
                await asyncio.sleep(0.1)
                most = held.of("station")
                wire.close()
                await asyncio.sleep(0.05)
                return most, held.total

        most, left = run(send)

        assert most >= 300 * 50
        assert left == 0

    def test_pipelined_bytes_without_room_end_the_connection_after_the_answer(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, bool, int]:
            small = "{held_bytes: 20000, max_body_bytes: 10000}"
            async with ClientConnection(tmp_path, whole(after=0.2), limits=small) as connection:
                port, wire = connection.station.port, await connection.station.connect()
                await wire.send(request(chat(), port=port))
                await connection.upstream.turn()
                await wire.send(request(path="/healthz", port=port) * 300)
                status = (await wire.answered()).status
                return status, await wire.ended(), connection.station.router.app.held.total

        assert run(send) == (200, True, 0)

    def test_an_answer_counts_whole_until_the_client_has_taken_its_last_byte(self, tmp_path: Path) -> None:
        large = answer("x" * 8_000_000)

        async def send() -> tuple[int, int, int]:
            async with ClientConnection(tmp_path, whole(large)) as connection:
                held = connection.station.router.app.held
                wire = await connection.station.connect(limit=1024)
                await wire.send(request(chat(), port=connection.station.port))
                async with asyncio.timeout(5):
                    # Less of it counts while it comes from upstream.
                    while (most := held.of("station")) < len(large):
                        await asyncio.sleep(0.01)
                body = (await wire.answered()).body
                await asyncio.sleep(0.05)
                return most, len(body), held.total

        most, size, left = run(send)

        assert most >= len(large)
        assert (size, left) == (len(large), 0)

    def test_a_client_that_takes_nothing_is_given_up_where_there_is_no_room_for_its_answer(
        self, tmp_path: Path
    ) -> None:
        large = answer("x" * 8_000_000)
        # One key has half of it: room for one such answer, and for no more than 50 kB beside it.
        room = f"{{held_bytes: {2 * len(large) + 100_000}, max_body_bytes: 2000000}}"

        async def send() -> tuple[int, int]:
            async with ClientConnection(tmp_path, whole(large), flood, limits=room) as connection:
                app, port = connection.station.router.app, connection.station.port
                first = await connection.station.connect(limit=1024)
                await first.send(request(chat(), port=port))
                async with asyncio.timeout(5):
                    while app.held.total < len(large):
                        await asyncio.sleep(0.01)
                    second = await connection.station.connect(limit=1024)
                    await second.send(request(chat(stream=True), port=port))
                    await connection.upstream.turn()
                    while len(app.connections) > 1:
                        await asyncio.sleep(0.01)
                return len(app.connections), app.held.total

        connections, held = run(send)

        assert connections == 1
        assert len(large) <= held < len(large) + 1000

    def test_a_refused_body_is_let_go_at_once_and_a_closed_connection_too(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, bool]:
            async with ClientConnection(tmp_path, limits="{max_body_bytes: 100000}") as connection:
                wire = await connection.raw(f"{POST}Transfer-Encoding: chunked\r\n\r\n")
                await wire.send(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\nffff\r\n" + b"x" * 0xFFFF + b"\r\n")
                await wire.answered()
                (each,) = connection.station.router.app.connections
                size = len(each._body)
                wire.close()
                await asyncio.sleep(0.05)
                # Without a cycle through the parser nothing waits for the garbage collector.
                return size, hasattr(each, "_parser")

        assert run(send) == (0, False)

    def test_a_reload_changes_the_bound(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, int]:
            async with ClientConnection(tmp_path) as connection:
                path = connection.station.config / "llm_routing.yaml"
                smaller = "limits: {held_bytes: 60000, max_body_bytes: 30000}"
                path.write_text(path.read_text().replace("limits: {}", smaller))
                await connection.station.router.settings.reload()
                held = connection.station.router.app.held
                assert held.holding("station").take(20_000)
                return held.limit, (await connection.station.ask(chat("x" * 20_000))).status

        assert run(send) == (60_000, 503)


def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a fault of ours")


class TestFaultsOfOurs:
    """Whatever is raised inside, the client gets an answer or the end of its connection, and the log says why."""

    @pytest.mark.parametrize("part", ["admit", "handle"])
    def test_a_request_that_has_no_answer_yet_gets_a_500(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
    ) -> None:
        async def send() -> tuple[Answered, bool]:
            async with ClientConnection(tmp_path) as connection:
                monkeypatch.setattr(connection.station.router.app, part, failing)
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port))
                return await wire.answered(), await wire.ended()

        answered, ended = run(send)

        assert (answered.status, answered.error["code"], ended) == (500, "internal_error", True)
        assert [record.message for record in caplog.records if record.exc_info] == [
            record.message for record in caplog.records if "the router failed in data_received" in record.message
        ]
        assert "a fault of ours" in caplog.text

    def test_an_answer_that_has_begun_is_broken_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def begins(exchange: Exchange) -> None:
            exchange.begin(200, b"", b"so far")
            failing()

        async def send() -> Answered:
            async with ClientConnection(tmp_path) as connection:
                monkeypatch.setattr(connection.station.router.app, "handle", begins)
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port))
                return await wire.answered()

        try:
            answered = run(send)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the abort overtook the status
        assert not answered.whole

    @pytest.mark.parametrize("part", ["_parse", "_hold_back", "_serve", "_stalled", "pause", "resume"])
    def test_every_entrance_of_the_loop_is_guarded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
    ) -> None:
        class Listener:
            pause = resume = cancel = failing if part in ("pause", "resume") else lambda self: None

        async def provoke(connection: ClientConnection, wire: Wire) -> bool:
            """Whether the client hears of it: an answer, or the end."""
            port = connection.station.port
            if part == "_parse":
                await wire.send(request(chat(), port=port))
            elif part == "_stalled":
                await wire.send(request(chat(), port=port)[:-1])
            else:
                monkeypatch.setattr(connection.station.router.app, "handle", waits)
                await wire.send(request(chat(), port=port))
                await arrived.wait()
                if part == "_hold_back":
                    await wire.send(b"GET")
                elif part == "_serve":
                    await wire.send(request(chat(), port=port))
                    await asyncio.sleep(0.05)
                    monkeypatch.setattr(client_connection.ClientConnection, part, failing)
                    waiting[0].respond(200, b"")
                    return (await wire.answered()).status == 200 and await wire.ended()
                else:
                    (each,) = connection.station.router.app.connections
                    (each.pause_writing if part == "pause" else each.resume_writing)()
            if part == "_parse":
                return await wire.ended()
            answered = await wire.answered()
            return (answered.status, answered.error["code"]) == (500, "internal_error") and await wire.ended()

        waiting: list[Exchange] = []
        arrived = asyncio.Event()

        def waits(exchange: Exchange) -> None:
            exchange.listener = Listener()  # type: ignore[assignment]
            waiting.append(exchange)
            arrived.set()

        async def send() -> bool:
            async with ClientConnection(tmp_path) as connection:
                if part in ("_parse", "_hold_back", "_stalled"):
                    monkeypatch.setattr(client_connection.ClientConnection, part, failing)
                return await provoke(connection, await connection.station.connect())

        assert run(send)
        assert "a fault of ours" in caplog.text

    @pytest.mark.parametrize("part", ["opened", "closed", "cancel"])
    def test_a_fault_where_nobody_can_be_told_is_in_the_log(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
    ) -> None:
        class Listener:
            cancel = failing

        def waits(exchange: Exchange) -> None:
            exchange.listener = Listener()  # type: ignore[assignment]

        async def send() -> None:
            async with ClientConnection(tmp_path) as connection:
                app = connection.station.router.app
                if part == "cancel":
                    monkeypatch.setattr(app, "handle", waits)
                else:
                    monkeypatch.setattr(app, part, failing)
                wire = await connection.station.connect()
                if part != "opened":
                    await wire.send(request(chat(), port=connection.station.port))
                    await asyncio.sleep(0.05)
                    wire.close()
                await asyncio.sleep(0.05)
                monkeypatch.undo()
                for each in tuple(app.connections):
                    app.closed(each)

        run(send)

        assert caplog.text.count("RuntimeError: a fault of ours") == 1

    def test_a_request_that_comes_to_no_end_is_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        cancelled: list[bool] = []

        class Listener:
            def cancel(self) -> None:
                cancelled.append(True)

        def hangs(exchange: Exchange) -> None:
            exchange.listener = Listener()  # type: ignore[assignment]

        async def send() -> tuple[Answered, bool]:
            async with ClientConnection(tmp_path) as connection:
                monkeypatch.setattr(connection.station.router.app, "handle", hangs)
                connection.station.router.app.patience = 0.3
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port))
                return await wire.answered(), await wire.ended()

        answered, ended = run(send)

        assert (answered.status, answered.error["code"], ended) == (500, "internal_error", True)
        assert "did not come to an end" in answered.error["message"]
        assert cancelled == [True]
        assert "no end after 0.3 s" in caplog.text

    def test_a_stream_that_comes_to_no_end_is_broken_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cancelled: list[bool] = []

        class Listener:
            def cancel(self) -> None:
                cancelled.append(True)

        def hangs(exchange: Exchange) -> None:
            exchange.begin(200, b"", b"so far")
            exchange.listener = Listener()  # type: ignore[assignment]

        async def send() -> Answered:
            async with ClientConnection(tmp_path) as connection:
                monkeypatch.setattr(connection.station.router.app, "handle", hangs)
                connection.station.router.app.patience = 0.3
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port))
                return await wire.answered()

        answered = run(send)

        assert (answered.status, answered.body, answered.whole) == (200, b"so far", False)
        assert cancelled == [True]

    def test_patience_is_routings_total_and_a_little(self, tmp_path: Path) -> None:
        async def look() -> float:
            async with ClientConnection(tmp_path) as connection:
                return connection.station.router.app.patience

        assert run(look) == 900.0 + limits.GRACE_SECONDS

    def test_a_shorter_total_holds_for_no_request_that_was_admitted_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its own configuration bounds it: the file was changed while its body was on the way."""
        monkeypatch.setattr(limits, "GRACE_SECONDS", 0.0)

        async def send() -> Answered:
            async with ClientConnection(tmp_path, whole(after=0.8)) as connection:
                station = connection.station
                sent = request(chat(), port=station.port, headers={"expect": "100-continue"})
                wire = await station.connect()
                await wire.send(sent[:-5])
                assert (await wire.head())[0] == 100
                shorter = routing(connection.upstream.url, use="[local]", timeouts="{total: 0.2}")
                (station.config / "llm_routing.yaml").write_text(shorter)
                await station.router.settings.reload()
                await wire.send(sent[-5:])
                return await wire.answered()

        assert run(send).status == 200

    def test_what_comes_after_the_end_gets_into_no_other_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first: list[Exchange] = []

        def handle(exchange: Exchange) -> None:
            if not first:
                first.append(exchange)
                exchange.respond(200, b"", b"one")
            else:
                first[0].write(b"late")
                first[0].begin(200, b"")
                first[0].end(b"late")
                first[0].respond(500, b"")
                exchange.respond(200, b"", b"two")

        async def send() -> list[bytes]:
            async with ClientConnection(tmp_path) as connection:
                monkeypatch.setattr(connection.station.router.app, "handle", handle)
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port) * 2)
                return [(await wire.answered()).body for _ in range(2)]

        assert run(send) == [b"one", b"two"]


class TestSlowBodies:
    def test_a_body_that_stands_still_is_given_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "BODY_STALL_SECONDS", 0.4)

        async def send() -> Answered:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.raw(f"{POST}Content-Length: 18\r\n\r\n{{")
                return await wire.answered()

        answered = run(send)

        assert (answered.status, answered.error["code"]) == (408, "request_timeout")
        assert "no byte" in answered.error["message"]

    def test_a_slow_body_that_moves_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "BODY_STALL_SECONDS", 0.4)

        async def send() -> int:
            async with ClientConnection(tmp_path) as connection:
                wire = await connection.raw(f"{POST}Content-Length: {len(BODY)}\r\n\r\n")
                for start in range(0, len(BODY), 4):
                    await wire.send(BODY[start : start + 4].encode())
                    await asyncio.sleep(0.25)
                return (await wire.answered()).status

        assert run(send) == 200
