"""The router's own environment variables are read, or refused by name and mistake."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gridtie.gateway import serve
from gridtie.gateway.serve import Options


def test_without_variables_the_router_listens_on_loopback_alone() -> None:
    options = Options.read({})

    assert (options.host, options.port, options.tls) == ("127.0.0.1", 8484, None)
    assert (options.config_dir, options.state_dir) == (Path("/etc/gridtie"), Path("/var/lib/gridtie"))
    assert (options.access_log, options.drain_seconds) == (True, 25.0)


def test_a_database_is_named_by_a_file_and_none_is_the_default() -> None:
    assert Options.read({"GRIDTIE_DATABASE_FILE": " /etc/gridtie/secrets/database "}).database_file == Path(
        "/etc/gridtie/secrets/database"
    )
    assert Options.read({"GRIDTIE_DATABASE_FILE": ""}).database_file is None


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:8443", "0.0.0.0", 8443),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::]:8443", "::", 8443),
        ("[::1]:8443", "::1", 8443),
        ("gpu-server.internal:8443", "gpu-server.internal", 8443),
        (" 127.0.0.1:1\n", "127.0.0.1", 1),
    ],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    options = Options.read({"GRIDTIE_LISTEN": text, "GRIDTIE_TLS_LISTEN": text})

    assert (options.host, options.port) == (host, port)
    assert options.tls == (host, port)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("8443", "lacks its address or its port"),
        (":8443", "lacks its address or its port"),
        ("geheim", "lacks its address or its port"),
        ("geheim:port", "has a port that is not a number"),
        ("geheim:", "has a port that is not a number"),
        ("geheim:99999", "has a port that is not a number"),
        ("geheim:-1", "has a port that is not a number"),
        ("geheim:\u0668\u0664", "has a port that is not a number"),
        ("http://geheim:8484", "begins with a scheme"),
        ("::1:8484", "has an IPv6 address without brackets"),
        ("[geheim]:8484", "has no IPv6 address in its brackets"),
        ("[::1:8484", "has an IPv6 address without brackets"),
        ("ge heim:8484", "has an address with characters"),
        ("gehéim:8484", "has an address with characters"),
        ('"geheim:8484"', "has a port that is not a number"),
    ],
)
@pytest.mark.parametrize("name", ["GRIDTIE_LISTEN", "GRIDTIE_TLS_LISTEN"])
def test_an_address_that_cannot_be_is_told_by_variable_and_mistake(name: str, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} {says}") as refusal:
        Options.read({name: text})

    assert "wanted: address:port, such as 127.0.0.1:8484" in str(refusal.value)
    assert "eheim" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "geheim", "25s", "-1", "nan", "inf", "1e3", "1_0", "\u0662", "99999999"])
def test_the_seconds_of_draining_are_a_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"^GRIDTIE_DRAIN_SECONDS is not a number of seconds") as refusal:
        Options.read({"GRIDTIE_DRAIN_SECONDS": text})

    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("0.3", 0.3), (".5", 0.5), (" 25 ", 25.0)])
def test_draining_may_take_no_time(text: str, seconds: float) -> None:
    assert Options.read({"GRIDTIE_DRAIN_SECONDS": text}).drain_seconds == seconds


@pytest.mark.parametrize("text", ["", "true", "1", "geheim"])
def test_the_access_log_is_on_or_off(text: str) -> None:
    with pytest.raises(ValueError, match=r"^GRIDTIE_ACCESS_LOG is neither on nor off") as refusal:
        Options.read({"GRIDTIE_ACCESS_LOG": text})

    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize("name", ["GRIDTIE_CONFIG_DIR", "GRIDTIE_STATE_DIR"])
def test_an_empty_directory_is_not_the_current_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is empty"):
        Options.read({name: ""})


def test_a_collector_of_traces_is_named_by_its_base_url_or_not_at_all() -> None:
    assert Options.read({}).traces == Options.read({"GRIDTIE_TRACES_ENDPOINT": " "}).traces == ""
    assert Options.read({"GRIDTIE_TRACES_ENDPOINT": " https://c:4318/otlp "}).traces == "https://c:4318/otlp"


@pytest.mark.parametrize("text", ["geheim:4318", "http://user:geheim@collector:4318", "http://collector:4318/?geheim"])
def test_an_endpoint_that_cannot_be_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^GRIDTIE_TRACES_ENDPOINT .*wanted: the base URL") as refusal:
        Options.read({"GRIDTIE_TRACES_ENDPOINT": text})

    assert "geheim" not in str(refusal.value)


def test_without_the_libraries_for_traces_it_is_said_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "gridtie.gateway.traces"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ValueError, match=r"pip install 'gridtie\[traces\]'.*gridtie_traces_endpoint"):
        serve._tracing("http://127.0.0.1:4318", None)
