"""What is wrong with a head, before any body is read."""

from __future__ import annotations

import pytest

from gridtie.config.schema import Limits
from gridtie.gateway.exchange import Head
from gridtie.gateway.request_head import judge


def head(url: bytes, method: bytes = b"GET", **headers: bytes) -> Head:
    made = Head(url, {name.replace("_", "-").encode(): value for name, value in headers.items()})
    made.method = method
    return made


@pytest.mark.parametrize(
    ("url", "host", "found"),
    [
        (b"/v1/models?a=b?c", b"h:1", (b"h:1", "/v1/models", "a=b?c")),
        (b"http://h:1/v1/models?x", b"h:1", (b"h:1", "/v1/models", "x")),
        (b"HTTPS://H:1/v1", b"h:1", (b"H:1", "/v1", "")),
        (b"http://h:1", b"", (b"h:1", "/", "")),
        (b"http://h:1?x", b"h:1", (b"h:1", "/", "x")),
        (b"/\xff", b"h", (b"h", "/\xff", "")),
    ],
)
def test_every_form_of_a_target_gives_host_path_and_query(
    url: bytes, host: bytes, found: tuple[bytes, str, str]
) -> None:
    asked = head(url, **({"host": host} if host else {}))

    assert judge(asked, 0, b"", Limits()) is None
    assert (asked.host, asked.path, asked.query) == found


def test_the_whole_router_may_be_asked_for_its_options() -> None:
    asked = head(b"*", b"OPTIONS", host=b"h")

    assert judge(asked, 0, b"", Limits()) is None
    assert asked.path == "*"


@pytest.mark.parametrize(
    ("asked", "announced", "status", "word"),
    [
        (head(b"*", host=b"h"), 0, 400, "must be a path"),
        (head(b"h:443", b"CONNECT", host=b"h"), 0, 400, "no proxy"),
        (head(b"http://other/", host=b"h"), 0, 400, "another host"),
        (head(b"http://h@evil/", host=b"h"), 0, 400, "another host"),
        (head(b"file:///etc", host=b"h"), 0, 400, "must be a path"),
        (head(b"/", host=b"h"), 17 * 1024 * 1024, 413, "limits.max_body_bytes"),
        (head(b"/" + b"x" * 40_000, host=b"h"), 0, 431, "limits.max_header_bytes"),
        (head(b"/", host=b"h", **{f"x{i}": b"" for i in range(120)}), 0, 431, "limits.max_headers"),
        (head(b"/", host=b"h", transfer_encoding=b"gzip"), -1, 501, "chunked"),
        (head(b"/", host=b"h", content_encoding=b"br"), 0, 415, "compressed"),
        (head(b"/", host=b"h", expect=b"more"), 0, 417, "100-continue"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(asked: Head, announced: int, status: int, word: str) -> None:
    wrong = judge(asked, announced, b"", Limits())

    assert wrong is not None
    assert wrong[0] == status
    assert word in wrong[2]


def test_a_header_that_is_given_twice_is_named() -> None:
    wrong = judge(head(b"/", host=b"h"), 0, b"host", Limits())

    assert wrong == (400, "invalid_request", "header 'host' is given twice")
