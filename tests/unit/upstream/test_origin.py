"""Where an upstream is, and whether a proxy stands before it."""

from __future__ import annotations

import pytest

from gridtie.upstream.origin import Origin, Proxy, ProxySettings, parse


@pytest.mark.parametrize(
    ("url", "origin", "path", "authority"),
    [
        ("http://engine:11434", Origin("http", "engine", 11434), "", "engine:11434"),
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443), "/v1", "api.openai.com"),
        ("https://host/a/b/", Origin("https", "host", 443), "/a/b", "host"),
        ("http://[::1]:80", Origin("http", "::1", 80), "", "[::1]"),
        ("http://[::1]:8080/v1", Origin("http", "::1", 8080), "/v1", "[::1]:8080"),
    ],
)
def test_a_base_url_is_an_origin_and_a_path(url: str, origin: Origin, path: str, authority: str) -> None:
    assert parse(url) == (origin, path)
    assert parse(url)[0].authority == authority


@pytest.mark.parametrize("url", ["ftp://host/", "engine:11434", "http://", "https://host/v1?x=1", "https://host/#a"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="wanted"):
        parse(url)


def test_credentials_in_a_base_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="key file") as refusal:
        parse("https://user:geheim@host/v1")

    assert "geheim" not in str(refusal.value)


NO_PROXY = [
    ("*", True),
    ("api.example.com", True),
    ("example.com", True),
    (".example.com", True),
    ("*.example.com", True),
    ("API.EXAMPLE.COM", True),
    ("api.example.com:443", True),
    ("api.example.com:8443", False),
    ("ample.com", False),
    ("other.example.com", False),
    ("", False),
    ("localhost, 10.0.0.0/8 ,example.com", True),
]


@pytest.mark.parametrize(("entries", "direct"), NO_PROXY)
def test_no_proxy_names_hosts_domains_and_ports(entries: str, direct: bool) -> None:
    settings = ProxySettings({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": entries})

    assert (settings.for_url("https://api.example.com/v1") is None) is direct


@pytest.mark.parametrize(
    ("url", "direct"), [("https://10.1.2.3/v1", True), ("https://11.1.2.3/v1", False), ("https://host/v1", False)]
)
def test_no_proxy_names_networks(url: str, direct: bool) -> None:
    settings = ProxySettings({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8"})

    assert (settings.for_url(url) is None) is direct


def test_plain_http_never_goes_through_a_proxy() -> None:
    assert ProxySettings({"HTTPS_PROXY": "http://proxy:3128"}).for_url("http://engine:11434") is None


def test_a_proxys_credentials_become_a_header_and_stay_out_of_its_repr() -> None:
    proxy = ProxySettings({"https_proxy": "http://user:p%40ss@proxy"}).for_url("https://host")

    assert proxy == Proxy("proxy", 80, "Basic dXNlcjpwQHNz")
    assert "dXNlcjpwQHNz" not in repr(proxy)


def test_a_proxy_of_another_kind_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY") as refusal:
        ProxySettings({"HTTPS_PROXY": "socks5://user:geheim@proxy:1080"})

    assert "geheim" not in str(refusal.value)
