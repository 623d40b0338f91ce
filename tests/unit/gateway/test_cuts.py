"""However a client's bytes are cut, the same requests are seen and the same answers given."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from gridtie.config.schema import Limits
from gridtie.gateway.client_connection import ClientConnection
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.routing.held_bytes import HeldBytes

Seen = list[tuple[bytes, str, bytes]]


class Served:
    """A service that answers at once, or later where the path says so."""

    limits = Limits(max_body_bytes=3000, max_header_bytes=2000, max_headers=20)
    patience = 9.0
    date_line = b""
    draining = False
    loaded = 1

    def __init__(self) -> None:
        self.held = HeldBytes(10_000_000)
        self.seen: Seen = []
        self.waiting: list[Exchange] = []

    def request_id(self) -> str:
        return "id"

    def opened(self, connection: ClientConnection) -> bool:
        return True

    def closed(self, connection: ClientConnection) -> None:
        pass

    def admit(self, exchange: Exchange) -> bool:
        exchange.head.route, exchange.head.loaded = Route(path="/"), 1
        return True

    def handle(self, exchange: Exchange) -> None:
        self.seen.append((exchange.head.method, exchange.head.path, bytes(exchange.body)))
        self.waiting.append(exchange)
        if exchange.head.path != "/later":
            self.go_on()

    def refuse(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        exchange.respond(status, b"")

    def go_on(self) -> None:
        while self.waiting:
            self.waiting.pop().respond(200, b"")


class Wire:
    """A transport that keeps what was written, and where nothing may be written after the end."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.paused = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int, low: int = 0) -> None:
        pass

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def a_request(random: random.Random) -> bytes:
    """Any of many kinds: methods, targets, framings, upgrades, sizes around the bounds."""
    body = (
        random.randbytes(random.choice([0, 1, 5, 17, 300, 2999, 3001]))
        .hex()
        .encode()[: 3001 if random.random() < 0.9 else 9]
    )
    method = random.choice([b"POST", b"GET", b"PUT", b"OPTIONS"])
    target = random.choice([b"/a", b"/later", b"http://h/a", b"/b/"])
    lines = [b"%b %b HTTP/1.1" % (method, target), b"host: h"]
    if random.random() < 0.3:
        lines += [b"connection: Upgrade", b"upgrade: h2c"]
    elif random.random() < 0.1:
        lines += [b"connection: close"]
    if random.random() < 0.05:
        lines += [b"x: " + b"y" * 3000]
    if random.random() < 0.5:
        return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])
    return b"\r\n".join([*lines, b"transfer-encoding: chunked", b"", in_chunks(random, body)])


def in_chunks(random: random.Random, body: bytes) -> bytes:
    chunks = b""
    while body:
        size = random.choice([1, 2, 7, 100, 4000])
        piece, body = body[:size], body[size:]
        chunks += b"%x%b\r\n%b\r\n" % (len(piece), random.choice([b"", b";a=b"]), piece)
    return chunks + b"0\r\n" + random.choice([b"", b"t: r\r\n"]) + b"\r\n"


def broken(random: random.Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.choice([b"", b"\r\n", b"\0", b":", b" ", random.randbytes(1)]) + data[at + 1 :]


async def served(data: bytes, cuts: random.Random) -> tuple[list[bytes], Seen]:
    """The statuses of all answers, and the requests as they were seen."""
    service, wire = Served(), Wire()
    transport: Any = wire
    connection = ClientConnection(service, asyncio.get_running_loop())
    connection.connection_made(transport)
    while data and not wire.closed:
        size = 0 if wire.paused else cuts.choice([1, 3, 50, 700, 5000, 300_000])
        if size:
            connection.data_received(data[:size])
            data = data[size:]
        if wire.paused or cuts.random() < 0.5:
            service.go_on()
        if wire.paused or cuts.random() < 0.3:
            await asyncio.sleep(0)
    for _ in range(200):
        service.go_on()
        await asyncio.sleep(0)
    connection.connection_lost(None)
    assert service.held.total == 0
    # Which of two things is wrong is seen first depends on the cut.
    statuses = re.findall(rb"HTTP/1.1 (\d+)", wire.written)
    return [b"4xx" if status in (b"400", b"413", b"431") else status for status in statuses], service.seen


@pytest.mark.parametrize("whole", [True, False])
def test_cuts_change_nothing(whole: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def compare() -> int:
        answers = 0
        for seed in range(150):
            made = random.Random(seed)
            data = b"".join(a_request(made) for _ in range(made.choice([1, 2, 5, 30])))
            if not whole:
                data = broken(made, data)
            one, *others = [await served(data, random.Random(cuts)) for cuts in range(3)]
            assert others == [one, one], seed
            answers += len(one[0])
        return answers

    assert asyncio.run(compare()) > 200
    assert not caplog.records
