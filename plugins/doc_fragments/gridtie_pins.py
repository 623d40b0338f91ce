"""Options of modules whose digests are held to the inventory's lock; the action plugins of the same names read them."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for."""

    DOCUMENTATION = r"""
options:
  pins:
    description: C(learn) or C(require). The action plugin reads it.
    type: str
  former_pins:
    description: What the station learned before there was a lock. The action plugin reads it.
    type: dict
"""
