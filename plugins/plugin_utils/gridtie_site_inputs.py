"""What a person can write wrongly about who may reach a station: one problem each, before anything is changed."""

from __future__ import annotations

import datetime
import ipaddress
import re
from pathlib import Path
from typing import Any, Collection, Iterator, Mapping

from .gridtie_collection import package

# Key names go into headers, labels and reports.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What Docker takes as the name of a network.
_NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# What a certificate can be for: a host name or an address.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
# A card by its number or by its UUID, whole or a slice of it.
_DEVICE = re.compile(r"\d{1,3}|(GPU|MIG)-[0-9A-Za-z/-]+", re.IGNORECASE)

Problem = dict[str, str]


def beyond_loopback(address: str) -> bool:
    """Whether others than this machine's own programs reach what listens there."""
    return bool(address) and not ipaddress.ip_address(address).is_loopback


def problems(
    values: Mapping[str, Any], hosts: Collection[str], host: str, environments: Collection[str]
) -> list[Problem]:
    """``hosts`` are the inventory's, ``host`` the one at hand, ``environments`` those of the routing file."""
    try:
        return [
            *_listening(values),
            *_people(values.get("gridtie_people") or [], environments),
            *_pool(values, hosts, host),
            *_networks(values),
            *_firewall(values),
            *_devices(values),
        ]
    except (TypeError, AttributeError, KeyError):
        return []  # A value of the wrong type: it has its own line in the list.


def _listening(values: Mapping[str, Any]) -> Iterator[Problem]:
    address, tls = str(values.get("gridtie_listen") or ""), values.get("gridtie_tls", "off")
    try:
        wide = beyond_loopback(address)
    except ValueError:
        yield _problem(
            f"gridtie_listen is {address!r}", "give an address of the machine, or 0.0.0.0 for all; empty: nowhere"
        )
        return
    if wide and tls == "off":
        yield _problem(
            f"gridtie_listen is {address}, where others than this machine reach it, and gridtie_tls is off",
            "set gridtie_tls: project (the playbook makes an authority and a certificate) or given; without TLS the "
            "router listens on loopback only",
        )
    if not wide:
        return
    if str(values.get("gridtie_tls_port")) == str(values.get("gridtie_port")):
        yield _problem(
            f"gridtie_tls_port and gridtie_port are both {values['gridtie_port']}", "choose another gridtie_tls_port"
        )
    for name in (values.get("gridtie_address"), *(values.get("gridtie_tls_names") or [])):
        if name and not _is_host(str(name)):
            yield _problem(f"{name!r} is no host name or address", "correct gridtie_address or gridtie_tls_names")
    yield from _files(values, tls)


def _is_host(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _HOST.fullmatch(name) is not None
    return True


def _files(values: Mapping[str, Any], tls: str) -> Iterator[Problem]:
    if tls == "given":
        for name in ("gridtie_tls_certificate", "gridtie_tls_key", "gridtie_ca_certificate"):
            path = Path(str(values.get(name) or "")).expanduser()
            if not path.is_file():
                yield _problem(
                    f"gridtie_tls is given, and {name} is {str(values.get(name) or '')!r}, which is no file here",
                    f"set {name} to a PEM file on the machine where the playbook runs",
                )
    if tls == "project" and int(values["gridtie_tls_renew_days"]) >= int(values["gridtie_tls_days"]):
        yield _problem(
            f"gridtie_tls_renew_days is {values['gridtie_tls_renew_days']}, and a certificate is good for "
            f"{values['gridtie_tls_days']} days: every run would renew it",
            "choose fewer gridtie_tls_renew_days",
        )


def _people(people: list[Mapping[str, Any]], environments: Collection[str]) -> Iterator[Problem]:
    canonical = package("gridtie.config.names").canonical
    known = {canonical(environment) for environment in environments}
    seen: set[str] = set()
    for person in people:
        name = str(person.get("name", ""))
        if not _NAME.fullmatch(name) or name == "station" or name.startswith("relay."):
            yield _problem(
                f"gridtie_people has the name {name!r}",
                "use up to 64 letters, digits, dots and dashes; `station` and what begins with `relay.` are taken",
            )
        if canonical(name) in seen:
            yield _problem(f"gridtie_people has {name} twice", "name each person once")
        seen.add(canonical(name))
        wanted = person.get("environments")
        if wanted is not None and not wanted:
            yield _problem(f"gridtie_people: {name} has no environment", "name one, or leave the list out")
        for environment in wanted or []:
            if known and canonical(str(environment)) not in known:
                yield _problem(
                    f"gridtie_people: {name} has the environment {environment!r}",
                    f"the routing file knows {', '.join(environments)}",
                )
        for day in ("since", "until"):
            given = str(person.get(day) or "")
            if given and not _is_day(given):
                yield _problem(f"gridtie_people: {day} of {name} is {given!r}", "write a day, such as '2026-11-24'")
        for limit, value in (person.get("limits") or {}).items():
            if limit != "models" and float(value or 0) < 0:
                yield _problem(f"gridtie_people: {limit} of {name} is {value}", "write 0 for no limit, or more")


def _is_day(text: str) -> bool:
    """As keys.json has it, which compares days as text: the standard has more ways to write one (20261124)."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _pool(values: Mapping[str, Any], hosts: Collection[str], host: str) -> Iterator[Problem]:
    since = str(values.get("gridtie_pool_since") or "")
    if since and not _is_day(since):
        yield _problem(f"gridtie_pool_since is {since!r}", "write a day, such as '2026-11-24'")
    for name in values.get("gridtie_pool") or []:
        if name == host:
            yield _problem(f"gridtie_pool of {host} names {host} itself", "name other hosts")
        elif name not in hosts:
            yield _problem(
                f"gridtie_pool names {name}, which is no host of this inventory", "add it, or correct the name"
            )


def _networks(values: Mapping[str, Any]) -> Iterator[Problem]:
    for name in values.get("gridtie_networks") or []:
        if not _NETWORK.fullmatch(str(name)):
            yield _problem(f"gridtie_networks has {name!r}", "use letters, digits, dots and dashes")
    if values.get("gridtie_networks") and values.get("gridtie_engine_mode") == "native":
        yield _problem(
            "gridtie_networks is set, and with gridtie_engine_mode: native the router is on the machine's own network, "
            "where it can join no other",
            "set gridtie_engine_mode: container",
        )


def _firewall(values: Mapping[str, Any]) -> Iterator[Problem]:
    read_range = package("gridtie.host.firewall").read_range
    # The type `list` lets a text pass, which Ansible splits at commas for modules alone.
    texts = [name for name in ("gridtie_firewall", "gridtie_firewall_ports") if isinstance(values.get(name), str)]
    for name in texts:
        yield _problem(f"{name} is the text {values[name]!r}", f"write a list, such as -e '{{\"{name}\": [...]}}'")
    if texts:
        return
    for given in values.get("gridtie_firewall") or []:
        try:
            read_range(str(given))
        except ValueError as error:
            yield _problem(
                f"gridtie_firewall: {error}", "write an address or a range; a name cannot be used, since it may move"
            )
    for port in values.get("gridtie_firewall_ports") or []:
        if not str(port).isdigit() or not 0 < int(port) < 1 << 16:
            yield _problem(f"gridtie_firewall_ports has {port!r}", "write ports as numbers from 1 to 65535")
    if values.get("gridtie_firewall_ports") and not values.get("gridtie_firewall"):
        yield _problem(
            "gridtie_firewall_ports is set, and gridtie_firewall is empty, so that nothing would guard them",
            "say in gridtie_firewall who reaches them, or leave gridtie_firewall_ports out",
        )


def _devices(values: Mapping[str, Any]) -> Iterator[Problem]:
    names = package("gridtie.host.gpu.devices").asked(values.get("gridtie_gpu_devices"))
    for name in names:
        if not _DEVICE.fullmatch(name):
            yield _problem(
                f"gridtie_gpu_devices has {name!r}",
                "write `all`, or numbers (0, 1) and UUIDs (GPU-...) of cards, as `gridtie gpu` shows them",
            )
    if names and str(values.get("gridtie_gpu", "auto")).lower() in ("off", "false", "no"):
        yield _problem(
            "gridtie_gpu_devices names cards, and gridtie_gpu is off, so that none is used", "leave one of them out"
        )


def _problem(found: str, fix: str) -> Problem:
    return {"found": found, "fix": fix}
