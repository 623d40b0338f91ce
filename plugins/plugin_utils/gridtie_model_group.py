"""By which group of the inventory a host's models are decided."""

from __future__ import annotations

from typing import Any

from ansible.inventory.helpers import sort_groups

# Groups that a playbook makes while it runs, and those that every host is in.
_NO_GROUPS = ("all", "ungrouped")


def group_of(host: str, hostvars: Any, declared: str = "") -> str:
    """The group by which a host's models are decided: as declared, else the one whose variables outweigh the others."""
    declared = declared or str(hostvars[host].get("gridtie_models_group") or "")
    inventory = getattr(hostvars, "_inventory", None)
    found = inventory.get_host(host) if inventory else None
    named = [str(group.name) for group in sort_groups(found.get_groups())] if found else []
    own = [name for name in named if name not in _NO_GROUPS and not name.startswith("gridtie_")]
    return declared or (own[-1] if own else "ungrouped")
