"""HTTP to the router: any status is an answer, a silence is an error that says what to look at."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gridtie.host.router import Declined, Router, Unreachable, send
from standins.httpd import Httpd, serving


@pytest.fixture
def httpd() -> Iterator[Httpd]:
    with serving() as server:
        yield server


def test_the_key_and_the_body_are_sent(httpd: Httpd) -> None:
    httpd.answers["/gridtie/route"] = (200, {"rule": "dev"})
    assert Router(httpd.url, "gt-key").post("/gridtie/route", {"tags": ["private"]}) == {"rule": "dev"}
    (asked,) = httpd.asked
    assert (asked.method, asked.body) == ("POST", {"tags": ["private"]})
    assert (asked.headers["authorization"], asked.headers["content-type"]) == ("Bearer gt-key", "application/json")


def test_without_a_key_none_is_sent(httpd: Httpd) -> None:
    httpd.answers["/x"] = (200, {})
    Router(httpd.url, "").get("/x")
    assert "authorization" not in httpd.asked[0].headers


def test_an_error_status_is_an_answer(httpd: Httpd) -> None:
    httpd.answers["/x"] = (418, {"error": {"code": "teapot", "message": "short and stout"}}, {"Retry-After": "3"})
    answer = send("GET", httpd.url + "/x")
    assert (answer.status, answer.error(), answer.headers["retry-after"]) == (418, ("teapot", "short and stout"), "3")


def test_the_routers_refusal_is_told_in_its_own_words(httpd: Httpd) -> None:
    httpd.answers["/x"] = (403, {"error": {"code": "not_admin", "message": "this key may not"}})
    with pytest.raises(Declined, match="this key may not") as caught:
        Router(httpd.url, "k").get("/x")
    assert (caught.value.status, caught.value.code) == (403, "not_admin")


@pytest.mark.parametrize("status", [200, 500])
def test_what_is_no_router_is_said_to_be_none(httpd: Httpd, status: int) -> None:
    httpd.answers["/x"] = (status, b"<html>")
    with pytest.raises(Declined, match=r"<html>|no JSON"):
        Router(httpd.url, "k").get("/x")


def test_a_redirect_is_not_followed(httpd: Httpd) -> None:
    httpd.answers["/x"] = (302, {}, {"Location": httpd.url + "/elsewhere"})
    assert send("GET", httpd.url + "/x").status == 302
    assert [asked.path for asked in httpd.asked] == ["/x"]


def test_a_proxy_is_not_used(httpd: Httpd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    httpd.answers["/x"] = (200, {})
    assert send("GET", httpd.url + "/x").status == 200


def test_nothing_listening_is_said(httpd: Httpd) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(Unreachable, match="connection refused, nothing listens there"):
            send("GET", url)


def test_silence_is_bounded_and_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(Unreachable, match=r"nothing within 0\.2 s"):
            send("GET", url, timeout=0.2)
