"""Which stations of an inventory ask which: read from the variables and facts of all hosts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: gridtie_team
short_description: Which stations of an inventory ask which
description:
  - C(gridtie_members) gives what station.json says of a pool, C(gridtie_relays) whose keys a station accepts,
    C(gridtie_authorities) whom it trusts, C(gridtie_balanced) whom its vllm-router asks, C(gridtie_served_by_all) what
    every member of a pool serves, C(gridtie_builder) who makes its images, C(gridtie_waves) how many hosts are worked
    on at once, C(gridtie_losses) what a purge would take away, C(gridtie_scrape_targets) where routers tell their
    metrics.
author: Gridtie contributors
"""


def members(names: Sequence[str], hostvars: Mapping[str, Any], stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pool for station.json. A host that took no part in this run is as the last run left it."""
    before = {member["name"]: member for member in (stored or {}).get("pool") or []}
    found = []
    for name in names:
        facts = hostvars.get(name, {})
        site = facts.get("gridtie_resolved_site")
        if not site:
            found += [before[name]] if name in before else []
            continue
        models = facts.get("gridtie_resolved_models") or []
        found.append(
            {
                "name": name,
                "url": site["url"],
                "key_file": f"secrets/pool-{name}",
                "ca_file": f"tls/pool-{name}.pem",
                "models": models or before.get(name, {}).get("models", []),
            }
        )
    return found


def served_by_all(pool: Sequence[Mapping[str, Any]], url: str) -> list[dict[str, Any]]:
    """What vllm-router at ``url`` can be asked for: the models that every member of a pool has, by their names.

    One that not all have would be asked of those that lack it. Each has the least context of all, and takes as many
    requests at once as all together; how many of them each server takes is told as well.
    """
    found = []
    for first in pool[0].get("models") or [] if pool else []:
        same = [next((m for m in one.get("models") or [] if m["name"] == first["name"]), None) for one in pool]
        models = [model for model in same if model is not None]
        if len(models) < len(pool):
            continue
        slots = [int(model.get("parallel") or 1) for model in models]
        kept = {name: value for name, value in first.items() if name not in _OF_ONE_HOST}
        found.append(
            {
                **kept,
                "url": url,
                "dialect": "openai",
                "context": min(int(model["context"]) for model in models),
                "parallel": sum(slots),
                "servers": {str(one["url"]): each for one, each in zip(pool, slots, strict=True)},
                "capabilities": sorted(set.intersection(*(set(m.get("capabilities") or []) for m in models))),
                # Nothing of it is in this machine's memory.
                "predicted_bytes": None,
                "why": f"served by {', '.join(str(one['name']) for one in pool)}",
            }
        )
    return found


# What is true of a model where it is, and of no other host.
_OF_ONE_HOST = ("file", "digest", "larger_contexts", "acceptance")


def balanced(pool: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Whom vllm-router asks, and by which authority each is known: a file beside this list."""
    return [{"name": str(one["name"]), "url": str(one["url"]), "ca_file": f"pool-{one['name']}.pem"} for one in pool]


def unknown(
    names: Sequence[str], hostvars: Mapping[str, Any], stored: Mapping[str, Any], coming: Sequence[str]
) -> list[str]:
    """Those of a pool of which neither this run nor an earlier one tells where they are; ``coming`` are yet to tell."""
    known = [member["name"] for member in members(names, hostvars, stored)]
    return [name for name in names if name not in known and name not in coming]


def waves(wanted: Any, default: str) -> list[str]:
    """What Ansible takes as `serial`: `1,25%` or a list is one host, then a quarter of all at a time.

    Raises ValueError for anything else.
    """
    given = wanted if isinstance(wanted, (list, tuple)) else str(wanted or default).split(",")
    sizes = [str(size).strip() for size in given]
    if not sizes or not all(re.fullmatch(r"[1-9]\d*%?", size) for size in sizes):
        raise ValueError(f"gridtie_serial is {wanted!r}; give numbers or percentages of hosts, such as 1,25%")
    return sizes


def authorities(names: Sequence[str], hostvars: Mapping[str, Any], directory: str) -> list[dict[str, str]]:
    """By whom each member of a pool is known, as files to be written; without those that took no part in this run."""
    sites = {name: (hostvars[name].get("gridtie_resolved_site") or {}) for name in names if name in hostvars}
    return [
        {"path": f"{directory}/pool-{name}.pem", "content": site["authority"]}
        for name, site in sites.items()
        if site.get("authority")
    ]


def relays(host: str, hostvars: Mapping[str, Any]) -> dict[str, str]:
    """Every station that has this host in its pool, to the SHA-256 of its key; "" where it took no part."""
    found = {}
    for name in hostvars:
        facts = hostvars[name]
        if host in (facts.get("gridtie_pool") or []):
            found[name] = (facts.get("gridtie_resolved_relays") or {}).get(host, "")
    return found


def builder(host: str, hosts: Sequence[str], hostvars: Mapping[str, Any], alike: Sequence[str] = ()) -> str:
    """The first host of a play that runs the same images as this one: it makes them for the others. ``alike`` are
    variables that an image has more in it for, wherever they say anything.
    """

    def kind(name: str) -> tuple[Any, ...]:
        facts = hostvars[name]
        machine, choice = facts.get("gridtie_machine") or {}, facts.get("gridtie_resolved_choice") or {}
        return (
            machine.get("architecture"),
            (machine.get("system") or {}).get("id"),
            *(choice.get(part) for part in ("engine", "mode", "source")),
            *(bool(facts.get(variable)) for variable in alike),
        )

    return next((name for name in hosts if kind(name) == kind(host)), host)


def scrape_targets(names: Sequence[str], hostvars: Mapping[str, Any], here: str, port: Any) -> list[dict[str, Any]]:
    """Whose metrics can be had from the host ``here``, for Prometheus' discovery by files.

    Its own router's on loopback, at ``port``; those of others by TLS, where they let other machines in. By the
    inventory alone: a host that is off stays among them, and is seen to be off.
    """
    found = []
    for name in sorted(names):
        facts = hostvars.get(name, {})
        if name == here:
            scheme, address = "http", f"127.0.0.1:{port}"
        elif facts.get("gridtie_listen"):
            host = str(facts.get("gridtie_address") or facts.get("ansible_host") or name)
            bracketed = f"[{host}]" if ":" in host else host
            scheme, address = "https", f"{bracketed}:{facts.get('gridtie_tls_port') or 8443}"
        else:
            continue
        found.append({"targets": [address], "labels": {"instance": name, "__scheme__": scheme}})
    return found


def losses(hosts: Iterable[Mapping[str, Any]]) -> str:
    """What a purge would take away, host by host; empty where nothing is left to lose."""
    found = {host["inventory_hostname"]: (host.get("_station_preview") or {}).get("lines") or [] for host in hosts}
    return "\n".join(
        line for name, lines in found.items() if lines for line in (f"{name}:", *(f"  {each}" for each in lines))
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {
            "gridtie_members": members,
            "gridtie_authorities": authorities,
            "gridtie_balanced": balanced,
            "gridtie_served_by_all": served_by_all,
            "gridtie_relays": relays,
            "gridtie_builder": builder,
            "gridtie_unknown_members": unknown,
            "gridtie_waves": waves,
            "gridtie_losses": losses,
            "gridtie_scrape_targets": scrape_targets,
        }
