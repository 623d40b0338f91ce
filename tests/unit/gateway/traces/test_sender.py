"""What a collector's trouble is called, and that nothing but the collector is asked."""

from __future__ import annotations

import re
import socket

import pytest

from gridtie.gateway.traces import sender as module
from gridtie.gateway.traces.sender import Sender, traces_url
from standins.collector import Mode, collector
from unit.gateway.traces.conftest import finished


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/api/public/otel", "https://c/api/public/otel/v1/traces"),
        ("https://c/v1/traces", "https://c/v1/traces"),
    ],
)
def test_spans_go_below_the_base_url(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


def test_a_batch_is_one_request_with_the_stations_name() -> None:
    with collector() as found:
        assert Sender(found.url, {"gridtie.project": "lab"})([finished(), finished()]) == ""

    assert (len(found.bodies), len(found.spans)) == (1, 2)
    assert found.resource["gridtie.project"] == "lab"
    assert found.headers[0]["content-encoding"] == "gzip"


def test_a_refusal_is_told_by_its_status_and_the_next_batch_is_tried() -> None:
    with collector(Mode.REFUSES) as found:
        send = Sender(found.url, {})
        assert send([finished()]) == "HTTP 400"
        found.mode = Mode.TAKES
        assert send([finished()]) == ""

    assert len(found.spans) == 1


def test_a_redirect_is_not_followed_and_is_no_success() -> None:
    with collector(Mode.REDIRECTS) as found:
        assert Sender(found.url, {})([finished()]) == "HTTP 307"


def test_a_collector_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPORT_SECONDS", 0.3)
    with collector(Mode.HANGS) as found:
        assert Sender(found.url, {})([finished()]) == "no answer within 0.3 s"


def test_a_collector_that_is_not_there_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPORT_SECONDS", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert Sender(f"http://127.0.0.1:{taken.getsockname()[1]}", {})([finished()]) == "it cannot be reached"


def test_a_collector_on_this_machine_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with collector() as found:
        assert Sender(found.url, {})([finished()]) == ""


def test_one_that_is_elsewhere_goes_by_the_machines_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPORT_SECONDS", 0.3)
    with collector() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert Sender("http://collector.invalid:4318", {})([finished()]) == ""

    assert proxy.paths == ["http://collector.invalid:4318/v1/traces"]


def test_a_fault_of_ours_costs_a_batch_and_not_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> list[object]:
        raise RuntimeError("geheim")

    with collector() as found:
        send = Sender(found.url, {})
        with monkeypatch.context() as patched:
            patched.setattr(module, "spans", broken)
            assert re.fullmatch(r"RuntimeError at test_sender\.py:\d+", send([finished()]))
        assert send([finished()]) == ""
