"""Which stations of an inventory ask which: read from the variables and facts of all hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: gridtie_team
short_description: Which stations of an inventory ask which
description:
  - C(gridtie_members) gives what station.json says of a pool, C(gridtie_relays) whose keys a station accepts,
    C(gridtie_authorities) whom it trusts, C(gridtie_builder) who makes its images.
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


def builder(host: str, hosts: Sequence[str], hostvars: Mapping[str, Any]) -> str:
    """The first host of a play that runs the same images as this one: it makes them for the others."""

    def kind(name: str) -> tuple[Any, ...]:
        facts = hostvars[name]
        machine, choice = facts.get("gridtie_machine") or {}, facts.get("gridtie_resolved_choice") or {}
        return (
            machine.get("architecture"),
            (machine.get("system") or {}).get("id"),
            *(choice.get(part) for part in ("engine", "mode", "source")),
        )

    return next((name for name in hosts if kind(name) == kind(host)), host)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {
            "gridtie_members": members,
            "gridtie_authorities": authorities,
            "gridtie_relays": relays,
            "gridtie_builder": builder,
        }
