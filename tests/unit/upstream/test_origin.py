"""Where an upstream is, and whether a proxy stands before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("url", ["https://h:geheim/v1", "https://h/v1?k=geheim", "geheim", "https://h /geheim"])
def test_no_part_of_what_is_no_base_url_is_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^the base URL .*wanted: http\(s\)://host") as refusal:
        parse(url)

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
    (",,", False),
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


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("169.254/16", "https://169.254.1.2/v1", True),
        ("192.168.*", "https://192.168.3.4/v1", True),
        ("192.168.*", "https://192.169.3.4/v1", False),
        ("10.1.2.3", "https://10.1.2.3/v1", True),
        ("10.1.2.3:443", "https://10.1.2.3/v1", True),
        ("10.1.2.3:444", "https://10.1.2.3/v1", False),
        ("::1", "https://[::1]/v1", True),
        ("[::1]", "https://[::1]/v1", True),
        ("[::1]:8443", "https://[::1]:8443/v1", True),
        ("[::1]:8443", "https://[::1]/v1", False),
        ("fd00::/8", "https://[fd12::1]/v1", True),
        ("example.com.", "https://api.example.com/v1", True),
        ("example.com", "https://api.example.com./v1", True),
    ],
)
def test_no_proxy_names_addresses_in_every_spelling_that_is_in_use(entry: str, url: str, direct: bool) -> None:
    settings = ProxySettings({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": entry})

    assert (settings.for_url(url) is None) is direct


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("http://proxy:geheim", "its port is not a number from 1 to 65535"),
        ("http://proxy:0", "its port is not a number from 1 to 65535"),
        ("http://proxy:99999", "its port is not a number from 1 to 65535"),
        ("http://user:geheim@proxy:p", "its port is not a number from 1 to 65535"),
        ("http://user:ge/heim@proxy:1", "%2F"),
        ("http://user:ge#heim@proxy:1", "%23"),
        ("http://user:ge@heim@proxy:1", "%40"),
        ("http://user:ge?heim@proxy:1", "%3F"),
        ("http://user:ge[heim@proxy:1", "%5B"),
        ("http://user:100%geheim@proxy:1", "has a bare %"),
        ("http://us%3Aer:geheim@proxy:1", "a colon in the user's name"),
        ("http://user:geheim%0A@proxy:1", "control characters"),
        ("http://[::1:3128", "brackets"),
        ("http://::1:3128", "IPv6 address without brackets"),
        ("http://geheim proxy:3128", "a space"),
        (" http://geheim:3128", "a space"),
        ("http://geheim:3128\n", "a space"),
        (" ", "a space"),
        ('"http://geheim:3128"', "in quotes"),
        ("https://geheim:3128", "another scheme than http://"),
        ("socks5h://geheim:1080", "another scheme than http://"),
        ("://geheim", "another scheme than http://"),
        ("http://", "names no host"),
        ("http://:3128", "names no host"),
        ("http://user:geheim@", "names no host"),
        ("http://geheim/path", "goes on after host and port"),
        ("http://geheim?x", "goes on after host and port"),
        ("http://gehéim:1", "beyond ASCII"),
        ("http://<geheim>:1", "placeholder"),
        ("http://geheim..x:1", "cannot be one"),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_read_is_told_by_variable_and_mistake(name: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as refusal:
        ProxySettings({name: value})

    assert says in str(refusal.value)
    assert "wanted: http://host:port" in str(refusal.value)
    assert "eheim" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128)),
        ("http://proxy:3128/", Proxy("proxy", 3128)),
        ("HTTP://Proxy:3128", Proxy("proxy", 3128)),
        ("proxy:3128", Proxy("proxy", 3128)),
        ("user:pw@proxy:3128", Proxy("proxy", 3128, "Basic dXNlcjpwdw==")),
        ("http://user@proxy:3128", Proxy("proxy", 3128, "Basic dXNlcjo=")),
        ("http://[::1]:3128", Proxy("::1", 3128)),
    ],
)
def test_a_proxy_is_read_in_every_spelling_that_is_in_use(value: str, proxy: Proxy) -> None:
    assert ProxySettings({"HTTPS_PROXY": value}).for_url("https://host") == proxy


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("localhost,geheim host", "entry 2 holds a space"),
        ("a;geheim", "entry 1 holds a space or a semicolon"),
        ("a,,http://geheim", "entry 3 is a URL"),
        ("geheim:p", "has a port that is not a number"),
        ("geheim:0", "has a port that is not a number"),
        ("geheim:70000", "has a port that is not a number"),
        ("geheim:\u0663", "beyond ASCII"),
        ("gehéim.example", "beyond ASCII"),
        ("10.0.0.0/33", "names no address and no network"),
        ("10.0.0.0/geheim", "names no address and no network"),
        ("10.0.0.300", "names no address and no network"),
        ("[::1", "brackets that are not whole"),
        ("[::1]geheim", "brackets that are not whole"),
        ("[geheim]", "no IPv6 address in its brackets"),
        ("geheim.*", "names no host"),
        ("ge*heim", "names no host"),
        ("geheim..x", "names no host"),
        ("<geheim>", "names no host"),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_an_entry_of_no_proxy_that_names_nothing_is_told_by_its_place(name: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: entry ") as refusal:
        ProxySettings({"HTTPS_PROXY": "http://proxy:3128", name: value})

    assert says in str(refusal.value)
    assert "geheim" not in str(refusal.value)


@given(st.text(max_size=30))
def test_any_proxy_variable_is_read_or_refused_in_our_words(value: str) -> None:
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        try:
            ProxySettings({name: value})
        except ValueError as error:
            assert str(error).startswith(name)
            assert "wanted: " in str(error)


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
