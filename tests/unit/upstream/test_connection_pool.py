"""Connections to upstreams: opened, kept, given up; directly, through a proxy, and under TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gridtie.upstream import connection_pool as pool_module
from gridtie.upstream.connection_pool import ConnectionPool, OriginPool
from gridtie.upstream.endpoint import Endpoint
from gridtie.upstream.errors import Broken, ConnectFailed, ConnectTimeout
from gridtie.upstream.origin import Origin, Proxy
from standins.authority import make_authority
from standins.router import run
from standins.scripted import Upstream, raw, whole


class Answer:
    """A receiver that collects."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status, self.headers = status, headers

    def on_body(self, data: bytes, last: bool) -> None:
        self.body += data
        if last:
            self.done.set_result(None)

    def on_error(self, error: Broken) -> None:
        self.done.set_exception(error)


async def exchange(endpoint: Endpoint, body: bytes = b"{}") -> Answer:
    """One request over a kept connection, or a new one."""
    connection = endpoint.pool.take() or await endpoint.pool.open(2.0)
    answer = Answer()
    connection.send(endpoint.head("POST", "/chat/completions", (), len(body)), body, answer)
    async with asyncio.timeout(5):
        await answer.done
    return answer


def pool() -> ConnectionPool:
    return ConnectionPool(asyncio.get_running_loop())


class TestAnswers:
    @pytest.mark.parametrize(
        ("sent", "body"),
        [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nx: y\r\n\r\n", b"ok"),
            (b"HTTP/1.1 200 OK\r\n\r\nok", b"ok"),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
            (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
            (b"HTTP/1.0 200 OK\r\n\r\nok", b"ok"),
        ],
    )
    def test_every_way_to_end_a_body_is_understood(self, sent: bytes, body: bytes) -> None:
        async def ask() -> Answer:
            async with Upstream(raw(sent)) as upstream:
                return await exchange(Endpoint(pool(), upstream.url))

        answer = run(ask)

        assert (answer.status, answer.body) == (200, body)

    @pytest.mark.parametrize(
        "surplus", [b"HTTP/1.1 500 no\r\ncontent-length: 3\r\n\r\nbad", b"HTTP/1.1 200 OK\r\ncont"]
    )
    def test_a_second_answer_to_one_request_is_dropped_with_its_connection(self, surplus: bytes) -> None:
        async def ask() -> tuple[Answer, Answer, int]:
            first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + surplus
            async with Upstream(raw(first, close=False), whole()) as upstream:
                endpoint = Endpoint(pool(), upstream.url)
                return await exchange(endpoint), await exchange(endpoint), upstream.connections

        one, two, connections = run(ask)

        assert (one.status, one.body) == (200, b"ok")
        assert (two.status, connections) == (200, 2)

    def test_a_large_body_goes_up_whole(self) -> None:
        async def ask() -> int:
            async with Upstream(whole()) as upstream:
                await exchange(Endpoint(pool(), upstream.url), b'"' + b"x" * 3_000_000 + b'"')
                return len(upstream.turns[0].body)

        assert run(ask) == 3_000_002

    def test_credentials_and_path_come_from_the_endpoint(self) -> None:
        async def ask() -> tuple[str, str]:
            async with Upstream(whole()) as upstream:
                await exchange(Endpoint(pool(), upstream.url, (("Authorization", "Bearer k"), ("Host", "evil"))))
                turn = upstream.turns[0]
                assert turn.headers["host"] == f"127.0.0.1:{upstream.port}"
                return turn.line, turn.headers["authorization"]

        assert run(ask) == ("POST /v1/chat/completions HTTP/1.1", "Bearer k")

    def test_a_header_cannot_carry_a_second_one(self) -> None:
        async def ask() -> None:
            Endpoint(pool(), "http://h/v1", (("authorization", "a\r\nx: y"),)).head("POST", "/", (), 0)

        with pytest.raises(ValueError, match="line break"):
            run(ask)


class Raises(Answer):
    """A receiver with a fault in one of its calls; in `on_error` besides, where that is asked for."""

    def __init__(self, call: str, then: bool = False) -> None:
        super().__init__()
        self._call = call
        self._then = then
        self.errors: list[Broken] = []

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._maybe("head")

    def on_body(self, data: bytes, last: bool) -> None:
        self._maybe("last" if last else "body")

    def on_error(self, error: Broken) -> None:
        self.errors.append(error)
        if not self.done.done():
            self.done.set_result(None)
        if self._then:
            raise RuntimeError("and another")
        self._maybe("error")

    def _maybe(self, call: str) -> None:
        if call == self._call:
            raise RuntimeError("a fault of ours")


class TestFaultsOfOurs:
    """A receiver that raises is told so once, and its connection is nobody's any more."""

    @pytest.mark.parametrize("call", ["head", "body", "last", "last by the end", "error"])
    @pytest.mark.parametrize("then", [False, True])
    def test_they_end_the_answer_and_are_told_once(
        self, caplog: pytest.LogCaptureFixture, call: str, then: bool
    ) -> None:
        sent = {
            "error": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
            "body": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "last by the end": b"HTTP/1.1 200 OK\r\n\r\n",
        }.get(call, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")

        async def ask() -> tuple[list[Broken], object]:
            async with Upstream(raw(sent)) as upstream:
                endpoint = Endpoint(pool(), upstream.url)
                connection = await endpoint.pool.open(2.0)
                receiver = Raises(call.split()[0], then)
                connection.send(endpoint.head("POST", "/", (), 2), b"{}", receiver)
                async with asyncio.timeout(5):
                    await receiver.done
                await asyncio.sleep(0.05)
                return receiver.errors, endpoint.pool.take()

        (error,), kept = run(ask)

        assert error.internal is (call != "error")
        assert kept is None
        assert "a fault of ours" in caplog.text or (call == "error" and then)

    def test_an_answer_to_another_is_not_touched(self) -> None:
        """What a receiver raises at its last body comes when the connection may be in use again."""

        async def ask() -> tuple[list[Broken], int]:
            async with Upstream(whole()) as upstream:
                endpoint = Endpoint(pool(), upstream.url)
                connection = await endpoint.pool.open(2.0)
                second = Answer()

                class Sends(Raises):
                    def on_body(self, data: bytes, last: bool) -> None:
                        again = endpoint.pool.take()
                        assert again is connection
                        again.send(endpoint.head("POST", "/", (), 2), b"{}", second)
                        raise RuntimeError("a fault of ours")

                first = Sends("none")
                connection.send(endpoint.head("POST", "/", (), 2), b"{}", first)
                async with asyncio.timeout(5):
                    await second.done
                return first.errors, second.status

        (error,), status = run(ask)

        assert error.internal
        assert status == 200


class TestKeeping:
    def test_a_connection_serves_again_and_again(self) -> None:
        async def ask() -> int:
            async with Upstream(whole()) as upstream:
                endpoint = Endpoint(pool(), upstream.url)
                for _ in range(3):
                    await exchange(endpoint)
                return upstream.connections

        assert run(ask) == 1

    def test_one_that_says_close_does_not(self) -> None:
        async def ask() -> int:
            async with Upstream(whole(headers="connection: close\r\n")) as upstream:
                endpoint = Endpoint(pool(), upstream.url)
                for _ in range(2):
                    await exchange(endpoint)
                return upstream.connections

        assert run(ask) == 2

    def test_idle_ones_are_closed_after_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.05)

        async def ask() -> object:
            async with Upstream(whole()) as upstream:
                connections = pool()
                endpoint = Endpoint(connections, upstream.url)
                await exchange(endpoint)
                await asyncio.sleep(0.1)
                connections.sweep(asyncio.get_running_loop().time())
                return endpoint.pool.take()

        assert run(ask) is None

    def test_no_more_than_a_bound_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool_module, "MAX_IDLE", 2)

        async def ask() -> int:
            async with Upstream(whole(after=0.05)) as upstream:
                endpoint = Endpoint(pool(), upstream.url)
                await asyncio.gather(*(exchange(endpoint) for _ in range(4)))
                kept = 0
                while endpoint.pool.take() is not None:
                    kept += 1
                return kept

        assert run(ask) == 2


class TestOpening:
    def test_a_refused_connection_is_said(self) -> None:
        async def ask() -> None:
            await OriginPool(asyncio.get_running_loop(), Origin("http", "127.0.0.1", 1)).open(2)

        with pytest.raises(ConnectFailed, match=r"no connection to 127\.0\.0\.1:1: ") as refused:
            run(ask)

        assert refused.value.passing

    def test_a_connection_that_takes_too_long_is_given_up(self) -> None:
        async def ask() -> None:
            async with tcp(lambda _reader, _writer: asyncio.sleep(10)) as port:
                # TLS is waited for, and never begins.
                await OriginPool(asyncio.get_running_loop(), Origin("https", "127.0.0.1", port)).open(0.2)

        with pytest.raises(ConnectTimeout, match=r"within 0\.2 s"):
            run(ask)

    def test_a_ca_file_that_is_not_there_is_said(self, tmp_path: Path) -> None:
        async def ask() -> None:
            origin = Origin("https", "127.0.0.1", 1, str(tmp_path / "none.pem"))
            await OriginPool(asyncio.get_running_loop(), origin).open(2)

        with pytest.raises(ConnectFailed, match="No such file") as missing:
            run(ask)

        assert not missing.value.passing


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@asynccontextmanager
async def tcp(connected: Connected) -> AsyncIterator[int]:
    """A bare server."""
    writers = []

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await connected(reader, writer)

    server = await asyncio.start_server(each, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


class TestProxy:
    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "SSH-2.0"),
            (b"HTTP/1.1 200 OK\r\n\r\nsurprise", "before TLS"),
            (b"x" * 20_000, "does not end"),
            (b"", "closed the connection"),
        ],
    )
    def test_one_that_does_not_let_us_through_is_named(self, answer: bytes, why: str) -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if not answer:
                writer.close()

        async def ask() -> None:
            async with tcp(refuse) as port:
                origin = Origin("https", "api.example.com", 443, None, Proxy("127.0.0.1", port))
                await OriginPool(asyncio.get_running_loop(), origin).open(2)

        with pytest.raises(ConnectFailed, match=why):
            run(ask)

    def test_it_is_asked_for_the_host_by_name_and_with_its_own_credentials(self) -> None:
        asked: list[bytes] = []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        async def ask() -> None:
            async with tcp(note) as port:
                origin = Origin("https", "api.example.com", 443, None, Proxy("127.0.0.1", port, "Basic abc"))
                await OriginPool(asyncio.get_running_loop(), origin).open(2)

        with pytest.raises(ConnectFailed):
            run(ask)
        assert asked[0].startswith(b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n")
        assert b"Proxy-Authorization: Basic abc\r\n" in asked[0]


@asynccontextmanager
async def connect_proxy(seen: list[str]) -> AsyncIterator[Proxy]:
    """A proxy that tunnels wherever it is asked to."""

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        seen.append(target)
        host, _, port = target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async with tcp(tunnel) as port:
        yield Proxy("127.0.0.1", port)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority"))


def server_side(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.with_name("server.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


class TestTls:
    def test_an_upstream_of_our_own_authority_answers_in_http_1_1(self, authority: Path) -> None:
        async def ask() -> int:
            async with Upstream(whole(), tls=server_side(authority)) as upstream:
                return (await exchange(Endpoint(pool(), upstream.url, ca_file=str(authority)))).status

        assert run(ask) == 200

    def test_through_a_proxy_as_well_and_over_a_kept_tunnel(self, authority: Path) -> None:
        async def ask() -> tuple[list[int], list[str], str]:
            seen: list[str] = []
            async with Upstream(whole(), tls=server_side(authority)) as upstream, connect_proxy(seen) as proxy:
                endpoint = Endpoint(pool(), upstream.url, ca_file=str(authority), proxy=proxy)
                statuses = [(await exchange(endpoint)).status for _ in range(2)]
                return statuses, seen, f"127.0.0.1:{upstream.port}"

        statuses, seen, target = run(ask)

        assert statuses == [200, 200]
        assert seen == [target]

    def test_an_authority_nobody_knows_is_not_trusted(self, authority: Path) -> None:
        async def ask() -> None:
            async with Upstream(whole(), tls=server_side(authority)) as upstream:
                await exchange(Endpoint(pool(), upstream.url))

        with pytest.raises(ConnectFailed, match=r"certificate of 127\.0\.0\.1:\d+ is not trusted"):
            run(ask)

    def test_a_certificate_for_another_name_is_not_trusted(self, authority: Path) -> None:
        async def ask() -> None:
            # Another loopback address: reachable, and not in the certificate.
            tls = server_side(authority)
            server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.2", 0, ssl=tls)
            port = server.sockets[0].getsockname()[1]
            try:
                await exchange(Endpoint(pool(), f"https://127.0.0.2:{port}/v1", ca_file=str(authority)))
            finally:
                server.close()

        with pytest.raises(ConnectFailed, match="not trusted") as foreign:
            run(ask)

        assert not foreign.value.passing
