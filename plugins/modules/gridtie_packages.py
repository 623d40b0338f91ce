#!/usr/bin/python
"""Install distribution packages, from the machine's release or single ones from another, and hold their version."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_network
from ..module_utils.gridtie_sources import apt_site

DOCUMENTATION = r"""
module: gridtie_packages
short_description: Distribution packages that shall be there, or stay at their version
description:
  - Asks dpkg alone where nothing is missing. Repairs an interrupted installation, waits for whoever else
    uses the package manager, and works without python3-apt.
  - With O(release), single packages come from another release of the distribution through the machine's own mirror,
    with signatures checked; no source of that release stays behind.
options:
  names:
    description: The packages.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) installs what is missing. V(held) keeps the version that is installed from being upgraded, V(unheld)
        lets it go again; neither installs anything.
    type: str
    choices: [present, held, unheld]
    default: present
  release:
    description: Code name of the other release, such as C(trixie).
    type: str
  codename:
    description: Code name of the machine's own release; needed with O(release).
    type: str
  keyring:
    description: The keyring that the other release is checked with.
    type: path
    default: /usr/share/keyrings/debian-archive-keyring.gpg
extends_documentation_fragment: [gridtie.gridtie.gridtie_apt, gridtie.gridtie.gridtie_network]
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Install Docker
  gridtie.gridtie.gridtie_packages:
    names: [docker.io, iptables]

- name: Keep the driver from an unattended upgrade
  gridtie.gridtie.gridtie_packages:
    names: [nvidia-driver]
    state: held
"""
RETURN = r"""
installed:
  description: Packages that were missing; with another O(state), those whose hold was changed.
  type: list
  returned: always
"""


def _install(module: AnsibleModule, apt: gridtie_apt.Apt) -> list[str]:
    """Have what is missing; its names."""
    given = module.params
    names = gridtie_apt.missing(given["names"])
    if names and not module.check_mode:
        # A bundle has those of another release in the same repository.
        if given["release"] and not (given["network"] or {}).get("bundle"):
            site = apt_site(given["codename"])
            if not site:
                module.fail_json(msg=f"apt has no source for {given['codename']}, so there is no mirror to ask")
            apt.install_from_release(names, given["release"], site, given["keyring"])
        else:
            apt.install(names)
        left = gridtie_apt.missing(names)
        if left:
            module.fail_json(msg=f"apt-get ended well, but {', '.join(left)} is not installed")
    return names


def _hold(module: AnsibleModule, apt: gridtie_apt.Apt, wanted: bool) -> list[str]:
    """Hold or let go what is not; its names."""
    held = gridtie_apt.held(module.params["names"])
    names = [name for name in module.params["names"] if (name in held) != wanted]
    if names and not module.check_mode:
        apt.hold(names, held=wanted)
    return names


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "held", "unheld"], "default": "present"},
            "release": {"type": "str"},
            "codename": {"type": "str"},
            "keyring": {"type": "path", "default": "/usr/share/keyrings/debian-archive-keyring.gpg"},
            **gridtie_apt.ARGUMENTS,
            **gridtie_network.ARGUMENTS,
        },
        required_by={"release": ["codename"]},
        supports_check_mode=True,
    )
    state = module.params["state"]
    gridtie_network.use(module.params["network"])
    apt = gridtie_apt.Apt(module.params["lock_wait_s"], module.warn)
    try:
        names = _install(module, apt) if state == "present" else _hold(module, apt, state == "held")
    except gridtie_apt.PackageError as error:
        module.fail_json(msg=str(error), stdout=error.output)
    listing = "".join(f"{name}\n" for name in names)
    module.exit_json(
        changed=bool(names), installed=names, diff={"before": "", "after": listing, "after_header": f"packages {state}"}
    )


if __name__ == "__main__":
    main()
