"""The table that says from where other machines reach a station: its text, what it lets in, what differs from it."""

from __future__ import annotations

import re

import pytest

from gridtie.host.firewall import firewall, lets_in, read_range

# As nft 1.0.6 (Debian 12) and 1.1.3 (Debian 13) list what they were given, byte for byte the same.
LISTED = """\
table inet gridtie {
	set ports {
		type inet_service
		elements = { 8443, 8484 }
	}

	set from4 {
		type ipv4_addr
		flags interval
		elements = { 0.0.0.0/0 }
	}

	set from6 {
		type ipv6_addr
		flags interval
		elements = { 2001:db8::1,
{indent}2001:db8:1::/64,
{indent}fd00::/8 }
	}

	chain guard {
		type filter hook prerouting priority dstnat - 10; policy accept;
		iifname "lo" accept
		ct direction reply accept
		fib daddr type local tcp dport @ports ip saddr != @from4 counter drop
		fib daddr type local tcp dport @ports ip6 saddr != @from6 counter drop
	}
}
""".replace("{indent}", "\t\t\t     ")
DECLARED = ["0.0.0.0/0", "fd00::/8", "2001:db8::1", "2001:db8:1::/64"]


def test_what_nft_lists_is_recognised_as_what_was_written() -> None:
    assert firewall("gridtie", [8484, 8443], DECLARED).amiss(LISTED) == []


def test_its_own_text_is_as_well() -> None:
    rules = firewall("gridtie_second", [22], ["10.0.0.1"])

    assert rules.amiss(rules.text) == []


@pytest.mark.parametrize(
    ("ports", "ranges", "told"),
    [
        ([8443], DECLARED, "ports has 8484 as well"),
        ([8443, 8484, 22], DECLARED, "ports lacks 22"),
        ([8443, 8484], ["10.0.0.0/8", *DECLARED[1:]], "from4 lacks 10.0.0.0/8"),
        ([8443, 8484], DECLARED[:2], "from6 has 2001:db8:1::/64, 2001:db8::1 as well"),
    ],
)
def test_what_differs_is_named(ports: list[int], ranges: list[str], told: str) -> None:
    assert told in firewall("gridtie", ports, ranges).amiss(LISTED)


def test_a_chain_that_is_gone_is_told() -> None:
    without = re.sub(r"\tchain guard \{.*", "}", LISTED, flags=re.DOTALL)

    assert firewall("gridtie", [8443, 8484], DECLARED).amiss(without) == ["it has no rules"]


def test_only_its_own_table_is_replaced_and_in_one_transaction() -> None:
    """`nft -f` takes a file as one transaction; `flush ruleset` would take everybody's rules."""
    text = firewall("gridtie", [8443], ["10.0.0.0/8"]).text

    assert text.startswith("table inet gridtie\ndelete table inet gridtie\ntable inet gridtie {\n")
    assert "flush" not in text


def test_ranges_that_overlap_become_one_since_nftables_refuses_them() -> None:
    text = firewall("gridtie", [8443], ["10.0.0.0/8", "10.1.0.0/16", "fd00::/9", "fd80::/9"]).text

    assert "elements = { 10.0.0.0/8 }" in text
    assert "elements = { fd00::/8 }" in text


def test_where_no_range_is_of_ipv6_nobody_gets_in_by_it() -> None:
    """An element that is missing is nobody: the set is there and empty, and what is not in it is dropped."""
    text = firewall("gridtie", [8443], ["10.0.0.0/8"]).text

    assert "set from6 {\n\t\ttype ipv6_addr\n\t\tflags interval\n\t}" in text
    assert "ip6 saddr != @from6 counter drop" in text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("10.1.2.3/16", "the range is 10.1.0.0/16, the address 10.1.2.3"),
        ("gpu-server", "no address and no range"),
        ("10.0.0.0/33", "no address and no range"),
        ("", "no address and no range"),
        ("10.0.0.1-10.0.0.9", "no address and no range"),
        # As logs have them: nftables would take the first for an IPv6 client, and the second not at all.
        ("::ffff:10.1.2.3", "packets have 10.1.2.3"),
        ("fe80::1%eth0", "packets have fe80::1"),
    ],
)
def test_what_is_no_range_is_refused_with_what_would_be_one(given: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read_range(given)


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="is no port"):
        firewall("gridtie", [port], [])


@pytest.mark.parametrize(
    ("address", "let_in"),
    [
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("fd12::1", True),
        ("2001:db8::1", False),
        ("fe80::1%eth0", False),
        ("127.0.0.1", True),
        ("::1", True),
    ],
)
def test_an_address_is_let_in_by_its_range_and_loopback_always(address: str, let_in: bool) -> None:
    assert lets_in(["10.1.0.0/16", "fd00::/8"], address) is let_in
