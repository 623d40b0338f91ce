"""The option that every module has which asks the network; `module_utils/gridtie_network.py` reads it."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for."""

    DOCUMENTATION = r"""
options:
  network:
    description: Proxies by which this machine goes out, or what takes its place. What is empty stays the machine's own.
    type: dict
    suboptions:
      http_proxy: {description: For http addresses., type: str, default: ""}
      https_proxy: {description: For https addresses., type: str, default: ""}
      no_proxy: {description: "Hosts that are reached directly, separated by commas.", type: str, default: ""}
      bundle:
        description: Directory on this machine with what a bundle has for it, from which packages are taken instead.
        type: str
        default: ""
"""
