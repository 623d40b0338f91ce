"""Who reaches a station's ports from other machines, as one table of nftables: its text, and what is in force. Pure.

The table only takes away: what it lets pass still meets every other rule of the machine (ufw's, firewalld's, Docker's).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Iterable, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# A port that Docker publishes never comes to the hook `input`: Docker rewrites its destination at -100 (dstnat) of
# `prerouting` and forwards it. So packets are judged right before that, while they still have the port that the client
# asked for; after connection tracking (-200), which tells answers to this machine's own requests from requests.
_HOOK = "type filter hook prerouting priority dstnat - 10; policy accept;"
# As `nft list` prints them. Packets for another machine, or between containers, are none of ours (fib daddr). What this
# machine sends to itself comes over lo, whatever address it asks.
_RULES = (
    'iifname "lo" accept',
    "ct direction reply accept",
    "fib daddr type local tcp dport @ports ip saddr != @from4 counter drop",
    "fib daddr type local tcp dport @ports ip6 saddr != @from6 counter drop",
)
_SETS = (("ports", "inet_service", ""), ("from4", "ipv4_addr", "interval"), ("from6", "ipv6_addr", "interval"))


@dataclass(frozen=True)
class Firewall:
    """A table, the TCP ports that it guards, and who reaches them; loopback always does."""

    table: str
    ports: frozenset[int]
    ranges: frozenset[Network]

    @property
    def text(self) -> str:
        """For `nft -f`, which takes it in one step: there is no moment without rules, and a mistake changes nothing."""
        sets = "".join(self._set(*each) for each in _SETS)
        rules = "".join(f"\t\t{line}\n" for line in (_HOOK, *_RULES))
        table = f"table inet {self.table}"
        # Deleting needs a table that is there.
        return f"{table}\ndelete {table}\n{table} {{\n{sets}\tchain guard {{\n{rules}\t}}\n}}\n"

    def amiss(self, listing: str) -> list[str]:
        """What differs in `nft --stateless list table inet TABLE`; empty where it is as declared."""
        wrong = []
        for name, *_ in _SETS:
            there, wanted = _elements(listing, name), self._wanted(name)
            if too_few := wanted - there:
                wrong.append(f"{name} lacks {', '.join(sorted(too_few))}")
            if too_many := there - wanted:
                wrong.append(f"{name} has {', '.join(sorted(too_many))} as well")
        chain = re.search(r"chain guard \{\n(.*?)\n\t\}", listing, re.DOTALL)
        lines = [line.strip() for line in chain[1].splitlines()] if chain else []
        if lines != [_HOOK, *_RULES]:
            wrong.append("its rules are not those that were written" if lines else "it has no rules")
        return wrong

    def _wanted(self, name: str) -> frozenset[str]:
        if name == "ports":
            return frozenset(map(str, self.ports))
        version = 4 if name == "from4" else 6
        return frozenset(map(_written, (each for each in self.ranges if each.version == version)))

    def _set(self, name: str, kind: str, flags: str) -> str:
        elements = ", ".join(sorted(self._wanted(name)))
        lines = [f"type {kind}", *([f"flags {flags}"] if flags else [])]
        lines += [f"elements = {{ {elements} }}"] if elements else []
        return f"\tset {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def firewall(table: str, ports: Iterable[int], ranges: Iterable[str]) -> Firewall:
    """The table of one station. Raises ValueError for what is no port or no range.

    Ranges that lie in one another or side by side become one, since nftables refuses those that overlap.
    """
    numbers = frozenset(map(int, ports))
    if wrong := sorted(number for number in numbers if not 0 < number < 1 << 16):
        raise ValueError(f"{wrong[0]} is no port")
    given = [read_range(each) for each in ranges]
    joined: set[Network] = set()
    joined.update(ipaddress.collapse_addresses(each for each in given if isinstance(each, ipaddress.IPv4Network)))
    joined.update(ipaddress.collapse_addresses(each for each in given if isinstance(each, ipaddress.IPv6Network)))
    return Firewall(table, numbers, frozenset(joined))


def read_range(text: str) -> Network:
    """One address or range (10.1.0.0/16, fd00::/8). Raises ValueError with what would be right."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if str(from_packets := source(str(found.network_address))) != str(found.network_address):
            raise ValueError(f"{text!r} is as programs write it, and packets have {from_packets}: write that")
        return found
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no address and no range, such as 10.1.0.0/16 or fd00::/8") from None
    raise ValueError(f"{text!r} is an address within a range: the range is {meant}, the address {text.split('/')[0]}")


def source(address: str) -> Address:
    """The address that packets have, of one as programs write it: a link-local one with its interface (fe80::1%eth0),
    an IPv4 client of an IPv6 socket as ::ffff:a.b.c.d. Raises ValueError for what is none.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


def lets_in(ranges: Iterable[str], address: str) -> bool:
    """Whether packets from the address pass; loopback always does. Raises ValueError for what is none."""
    comes_from = source(address)
    return comes_from.is_loopback or any(comes_from in each for each in map(read_range, ranges))


def _written(network: Network) -> str:
    """As nft writes it: a single address without a length."""
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _elements(listing: str, name: str) -> frozenset[str]:
    found = re.search(rf"set {name} \{{.*?\n\t\}}", listing, re.DOTALL)
    inner = re.search(r"elements = \{(.*?)\}", found[0], re.DOTALL) if found else None
    return frozenset(inner[1].replace(",", " ").split()) if inner else frozenset()
