"""The option that every module has which installs packages; `module_utils/gridtie_apt.py` reads it."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for."""

    DOCUMENTATION = r"""
options:
  lock_wait_s:
    description: Seconds that are waited for another program that uses the package manager.
    type: float
    default: 600
"""
