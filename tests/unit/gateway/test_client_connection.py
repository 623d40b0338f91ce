"""The connection: what it reads, what it refuses, and that nobody can make it read one request as two."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gridtie.gateway import client_connection, limits
from standins.router import KEY, Answered, Station, Wire, chat, request, routing, run
from standins.scripted import Upstream, answer, flood, silence, stream, whole

HOST = "Host: 127.0.0.1:{port}\r\n"
AUTH = f"Authorization: Bearer {KEY}\r\n"
POST = f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}{AUTH}"
SECOND = f"GET /v1/models HTTP/1.1\r\n{HOST}{AUTH}\r\n"
BODY = '{"model": "coder"}'


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
        await self.station.__aenter__()
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
    trailer = (
        f"{POST}Transfer-Encoding: chunked\r\n\r\n12\r\n{BODY}\r\n0\r\nX-Gridtie-Environment: none\r\nHost: x\r\n\r\n"
    )

    async def send() -> tuple[int, int]:
        async with ClientConnection(tmp_path) as connection:
            wire = await connection.raw(trailer + SECOND)
            return (await wire.answered()).status, (await wire.answered()).status

    assert run(send) == (200, 200)


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

    def test_endless_pipelining_is_held_outside(self, tmp_path: Path) -> None:
        async def send() -> tuple[int, bool]:
            async with ClientConnection(tmp_path, silence()) as connection:
                wire = await connection.station.connect()
                await wire.send(request(chat(), port=connection.station.port))
                await connection.upstream.turn()
                wire.writer.write(request(path="/healthz", port=connection.station.port) * 40_000)
                await asyncio.sleep(0.3)
                (each,) = connection.station.router.app.connections
                held, paused = len(each._held), each._paused
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
