"""A request whose head repeats the one before is known by its bytes, and nothing else is."""

from __future__ import annotations

from random import Random

import pytest

from fuzz.targets import client_connection
from gridtie.gateway.exchange import Head
from gridtie.gateway.repeated_head import RepeatedHead

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nAccept: */*\r\n\r\n"


def repeated(raw: bytes = HEAD + b"{}") -> RepeatedHead:
    found = RepeatedHead.of(Head(), raw)
    assert found is not None
    return found


@pytest.mark.parametrize("body", [b"{}", b"", b'{"model": "coder"}', b"\r\n\r\n", b"x" * 123_456])
def test_another_body_of_any_length_is_the_body(body: bytes) -> None:
    assert repeated().body(HEAD.replace(b"2", b"%d" % len(body), 1) + body) == body


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"{",
        HEAD + b"{}POST",
        HEAD,
        HEAD[:40],
        b"",
        HEAD.replace(b": 2", b":  2") + b"{}",
        HEAD.replace(b": 2", b": +2") + b"{}",
        HEAD.replace(b": 2", b": 0x2") + b"{}",
        HEAD.replace(b": 2", b": 2 ") + b"{}",
        HEAD.replace(b": 2", b": ") + b"{}",
        HEAD.replace(b": 2", b": \xb2") + b"{}",
        HEAD.replace(b": 2", b": 2, 2") + b"{}",
        HEAD.replace(b": 2", b": %012d" % 2) + b"{}",
        HEAD.replace(b"*/*", b"*/*\r\nTransfer-Encoding: chunked") + b"{}",
        HEAD.replace(b"Host: here", b"Host: there") + b"{}",
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"{}",
        HEAD.replace(b"/v1/chat", b"/v1/Chat") + b"{}",
    ],
)
def test_whatever_else_differs_is_left_to_the_parser(data: bytes) -> None:
    assert repeated().body(data) is None


def test_only_a_line_of_its_own_is_a_length() -> None:
    head = b"POST /?content-length:9 HTTP/1.1\r\nX: content-length: 9\r\ncontent-LENGTH:2\r\n\r\n"

    assert repeated(head + b"{}").body(head.replace(b"TH:2", b"TH:3") + b"[1]") == b"[1]"


@pytest.mark.parametrize(
    ("raw", "upgrade"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n", False),
        (HEAD.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", False),
        (HEAD[:-2], False),
        (HEAD + b"{}", True),
    ],
)
def test_a_head_without_a_length_or_an_end_is_none_to_go_by(raw: bytes, upgrade: bool) -> None:
    head = Head()
    head.upgrade = upgrade

    assert RepeatedHead.of(head, raw) is None


HEADS = (
    HEAD,
    b"POST /a HTTP/1.1\r\nx: content-length: 2\r\ncontent-length:2\r\n\r\n",
    b"PUT /b HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length:\t2 \r\n\r\n",
    b"GET /u HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\n",
    b"POST /e HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
)
BODIES = (b"", b"{}", b"\r\n\r\n", b"abc" * 100, HEAD, b"x" * 4090)
LENGTHS = (b"+2", b"02", b" 2", b"2 ", b"0x2", b"", b"2, 2", b"-1", b"1", b"3", b"9" * 30)


def requests(random: Random) -> list[bytes]:
    """Several with one head, some cut in two, some with a length or a byte that is wrong; each as it comes."""
    head, pieces = random.choice(HEADS), list[bytes]()
    for _ in range(random.randint(2, 6)):
        head, body = random.choice(HEADS) if random.random() < 0.2 else head, random.choice(BODIES)
        before, _, after = head.rpartition(b"2")
        data = before + (random.choice(LENGTHS) if random.random() < 0.06 else b"%d" % len(body)) + after + body
        at, what = random.randrange(1, len(data)), random.random()
        if what < 0.06:
            data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        pieces += [data[:at], data[at:]] if 0.1 < what < 0.2 else [data]
    return pieces


def test_requests_are_served_as_the_parser_serves_them_all_at_once() -> None:
    random, known = Random(59), 0
    for _ in range(400):
        pieces = requests(random)
        first = RepeatedHead.of(Head(), pieces[0])
        known += first is not None and any(first.body(piece) is not None for piece in pieces[1:])

        client_connection(pieces)

    assert known > 100
