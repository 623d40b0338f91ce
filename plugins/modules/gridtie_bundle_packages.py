#!/usr/bin/python
"""Packages with all that they depend on, as a small repository for machines without a network."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_apt_repository, gridtie_network
from ..module_utils.gridtie_machine import read_text
from ..module_utils.gridtie_sources import apt_site

DOCUMENTATION = r"""
module: gridtie_bundle_packages
short_description: A repository of packages and what they depend on
description:
  - Brings packages from this machine's own mirror, as apt does it and with the distribution's signatures checked, into
    a flat repository with an index. Dependencies are those of a machine on which nothing is installed.
options:
  directory:
    description: The repository is made in C(packages) below it; what was fetched is kept beside it for the next time.
    type: path
    required: true
  names:
    description: The packages.
    type: list
    elements: str
    required: true
  foreign:
    description: Single packages of O(release); what they depend on is in the machine's own.
    type: list
    elements: str
    default: []
  release:
    description: Code name of another release, such as C(trixie); needed with O(foreign).
    type: str
    default: ""
  codename:
    description: Code name of the machine's own release.
    type: str
    required: true
  keyring:
    description: The keyring that the other release is checked with.
    type: path
    default: /usr/share/keyrings/debian-archive-keyring.gpg
extends_documentation_fragment: [gridtie.gridtie.gridtie_apt, gridtie.gridtie.gridtie_network]
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Collect Docker
  gridtie.gridtie.gridtie_bundle_packages:
    directory: /var/cache/gridtie/bundle
    names: [docker.io, iptables]
    codename: trixie
"""
RETURN = r"""
packages:
  description: The packages' files.
  type: list
  returned: always
"""


def _collect(module: AnsibleModule, apt: gridtie_apt.Apt) -> list[str]:
    given = module.params
    directory = Path(given["directory"])
    fetched = directory.with_name(f"{directory.name}-fetched")
    packages = gridtie_apt_repository.collect(apt, given["names"], fetched)
    site = apt_site(given["codename"]) if given["foreign"] else ""
    if given["foreign"] and not site:
        module.fail_json(msg=f"apt has no source for {given['codename']}, so there is no mirror to ask")
    with contextlib.ExitStack() as held:
        if given["foreign"]:
            others = apt.of_release(given["foreign"], given["release"], site, given["keyring"])
            packages += held.enter_context(others)
        gridtie_apt_repository.publish(packages, directory / "packages")
    return sorted(path.name for path in packages)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "foreign": {"type": "list", "elements": "str", "default": []},
            "release": {"type": "str", "default": ""},
            "codename": {"type": "str", "required": True},
            "keyring": {"type": "path", "default": "/usr/share/keyrings/debian-archive-keyring.gpg"},
            **gridtie_apt.ARGUMENTS,
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=False,
    )
    gridtie_network.use(module.params["network"])
    index = Path(module.params["directory"]) / "packages" / gridtie_apt_repository.INDEX
    before = read_text(str(index))
    try:
        packages = _collect(module, gridtie_apt.Apt(module.params["lock_wait_s"], module.warn))
    except gridtie_apt.PackageError as error:
        module.fail_json(msg=str(error), stdout=error.output)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or index.parent}: {error.strerror or error}")
    module.exit_json(changed=read_text(str(index)) != before, packages=packages)


if __name__ == "__main__":
    main()
