"""What cannot be true of all hosts of an inventory at once: one problem each, before anything is changed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from . import gridtie_authorities as authorities
from .gridtie_collection import package
from .gridtie_site_inputs import beyond_loopback

Problem = dict[str, str]


class Others:
    """The variables and facts of all hosts of the inventory, also of those that take no part in a run."""

    def __init__(self, hostvars: Mapping[str, Any], hosts: Collection[str], taking_part: Collection[str]) -> None:
        self._hostvars = hostvars
        self.hosts = hosts
        self.taking_part = taking_part

    def get(self, host: str, name: str, default: Any = None) -> Any:
        """A variable of another host; roles' defaults are not among them."""
        return self._hostvars[host].get(name, default) if host in self._hostvars else default

    def lets_others_in(self, host: str) -> bool:
        """Whether other machines reach its router."""
        try:
            return self.get(host, "gridtie_tls", "off") != "off" and beyond_loopback(
                str(self.get(host, "gridtie_listen", "") or "")
            )
        except ValueError:
            return True  # No address: that host has its own line for it.

    def signed_here(self) -> dict[str, bool]:
        """Of each host, whether its certificate is one of the authority that signs here."""
        return {
            host: self.get(host, "gridtie_tls", "off") == "project" and self.lets_others_in(host) for host in self.hosts
        }

    def shown(self) -> dict[str, Mapping[str, str]]:
        """The certificates of each host that was looked at, by file."""
        found: dict[str, Mapping[str, str]] = {}
        for host in self.hosts:
            # A host that takes no part was looked at from one that does.
            for entry in (self.get(host, "_preflight_elsewhere") or {}).get("results") or []:
                if entry.get("certificates"):
                    found[entry["item"]] = entry["certificates"]
            if certificates := (self.get(host, "_preflight_host_state") or {}).get("certificates"):
                found[host] = certificates
        return found


def not_looked_at(elsewhere: Mapping[str, Any]) -> list[str]:
    """Those hosts outside of a run that could not be reached from it."""
    results = elsewhere.get("results") or []
    # Where nothing is made, nobody is asked: the loop was skipped.
    return [entry["item"] for entry in results if "certificates" not in entry and not entry.get("skipped")]


def problems(
    values: Mapping[str, Any], host: str, others: Others, state: Mapping[str, Any], version: str
) -> list[Problem]:
    """``state`` is what is on the host at hand, ``version`` the checkout's."""
    try:
        return [
            *_closed_members(values.get("gridtie_pool") or [], host, others),
            *_newer(str(state.get("version") or ""), version, values),
            *_authorities(values, host, others),
        ]
    except (TypeError, AttributeError, KeyError):
        return []  # A value of the wrong type: it has its own line in the list.


def kept_out(values: Mapping[str, Any], host: str, others: Others) -> list[str]:
    """Those hosts that have this one in their pool and by their address are not among whom its firewall lets in."""
    lets_in = package("gridtie.host.firewall").lets_in
    ranges, found = values.get("gridtie_firewall") or [], []
    for name in others.hosts if ranges else ():
        if name == host or host not in (others.get(name, "gridtie_pool") or []):
            continue
        try:
            if not lets_in(map(str, ranges), str(others.get(name, "ansible_host", name))):
                found.append(name)
        except (TypeError, ValueError):
            continue  # A name, which only its resolver knows; or a range that has its own line in the list.
    return found


def _closed_members(pool: list[str], host: str, others: Others) -> Iterator[Problem]:
    for name in pool:
        if name == host or name not in others.hosts or others.lets_others_in(name):
            continue
        listen, tls = others.get(name, "gridtie_listen", ""), others.get(name, "gridtie_tls", "off")
        yield {
            "found": f"gridtie_pool of {host} names {name}, whose router lets no other machine in (gridtie_listen is "
            f"{str(listen or '')!r}, gridtie_tls {tls})",
            "fix": f"set gridtie_listen: 0.0.0.0 and gridtie_tls: project for {name}, as inventories/team does for "
            "its servers, or take it out of the pool",
        }


def _newer(there: str, here: str, values: Mapping[str, Any]) -> Iterator[Problem]:
    if _numbers(there) > _numbers(here) and not values.get("gridtie_downgrade"):
        yield {
            "found": f"the station here is of version {there}, and this checkout is {here}: another controller has "
            "upgraded it",
            "fix": f"use a checkout of {there} or newer; or, to go back on purpose, do what docs/upgrade.md says of "
            "the ledger and run this with -e gridtie_downgrade=true",
        }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _authorities(values: Mapping[str, Any], host: str, others: Others) -> list[Problem]:
    """Of a host that would show, or trust, another certificate than before."""
    signed = others.signed_here()
    trusts = [name for name in values.get("gridtie_pool") or [] if name in others.taking_part]
    concerned = any(signed.get(name) for name in (host, *trusts))
    if not concerned or values.get("gridtie_replace_authority"):
        return []
    return authorities.problems(values, others.shown(), signed, datetime.datetime.now(datetime.timezone.utc))
