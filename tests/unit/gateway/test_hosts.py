"""Which names the router answers to."""

from __future__ import annotations

import pytest

from gridtie.gateway.hosts import Hosts, ports

HOSTS = Hosts(["Router.Internal", "other.internal:9000"], {8484, 18484}, ["gpu-server", "[fe80::1]:8443"])


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"127.0.0.1:8484", True),
        (b"localhost:8484", True),
        (b"LOCALHOST:8484", True),
        (b"[::1]:8484", True),
        (b"localhost:18484", True),
        (b"router.internal:8484", True),
        (b"other.internal:9000", True),
        (b"other.internal:8484", False),
        (b"GPU-server", True),
        (b"gpu-server:8484", False),
        (b"[fe80::1]:8443", True),
        (b"localhost", False),
        (b"localhost:80", False),
        (b"127.0.0.2:8484", False),
        (b"127.0.0.1:8484.evil.example", False),
        (b"evil.example:8484", False),
        (b"localhost:8484, evil.example", False),
        (b"", False),
    ],
)
def test_names_and_ports_are_matched_exactly(host: bytes, allowed: bool) -> None:
    assert HOSTS.allows(host) is allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"localhost:49153", True),
        (b"Gridtie:8484", True),
        (b"gridtie", True),
        (b"evil.example:49153", False),
        (b"localhost:49153.evil.example", False),
        (b"localhost:", False),
        (b":49153", False),
    ],
)
def test_a_name_may_be_reached_at_every_port(host: bytes, allowed: bool) -> None:
    assert Hosts([], {8484}, ["localhost:*", "gridtie:*"]).allows(host) is allowed


def test_a_page_of_another_port_is_not_one_of_ours_for_all_that() -> None:
    hosts = Hosts([], {8484}, ["localhost:*"])

    assert hosts.allows_origin(b"http://localhost:8484")
    assert not hosts.allows_origin(b"http://localhost:3000")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:8484", True),
        (b"https://router.internal:8484", True),
        (b"http://evil.example", False),
        (b"http://localhost:3000", False),
        (b"chrome-extension://localhost:8484", False),
        (b"http://localhost:8484@evil.example", False),
        (b"null", False),
        (b"http://[::1", False),
        (b"http://[::1]:8484", True),
        (b"http://localhost:8484/", False),
        (b"://localhost:8484", False),
        (b"http://\xff", False),
        (b"", False),
    ],
)
def test_only_pages_of_our_own_may_ask(origin: bytes, allowed: bool) -> None:
    assert HOSTS.allows_origin(origin) is allowed


def test_port_80_needs_no_port_in_the_name() -> None:
    assert Hosts([], {80}).allows(b"localhost")


def test_ports_come_from_endpoints() -> None:
    assert ports("http://127.0.0.1:8484", "https://a", "http://b") == {8484, 443, 80}
