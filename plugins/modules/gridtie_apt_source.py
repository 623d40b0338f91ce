#!/usr/bin/python
"""A package source, with a key whose fingerprint is checked before apt is told to trust it."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_files, gridtie_network, gridtie_openpgp
from ..module_utils.gridtie_reach import context
from ..module_utils.gridtie_sources import apt_indexes, apt_site

DOCUMENTATION = r"""
module: gridtie_apt_source
short_description: A package source in deb822 form
description:
  - Writes one file in /etc/apt/sources.list.d. The key is fetched once, compared with its fingerprint and put into that
    file, so that it is trusted for this source alone.
  - Without O(uri) the source is the machine's own release with more components; nothing is written where apt has them.
options:
  name:
    description: The file's name, without its suffix.
    type: str
    required: true
  uri:
    description: The repository; empty for the machine's own.
    type: str
    default: ""
  suites:
    description: The release, or C(/) for a flat repository.
    type: str
    required: true
  components:
    description: Components, separated by spaces.
    type: str
    default: ""
  key_url:
    description: Where the key is.
    type: str
    default: ""
  fingerprint:
    description: The key's fingerprint, 40 hexadecimal digits; needed with O(key_url).
    type: str
    default: ""
  keyring:
    description: What the machine's own release is signed by.
    type: path
    default: /usr/share/keyrings/debian-archive-keyring.gpg
  lock_wait_s:
    description: Seconds that are waited for another program that uses the package manager.
    type: float
    default: 600
  network:
    description: Proxies by which this machine goes out. What is empty stays the machine's own.
    type: dict
    suboptions:
      http_proxy: {description: For http addresses., type: str, default: ""}
      https_proxy: {description: For https addresses., type: str, default: ""}
      no_proxy: {description: "Hosts that are reached directly, separated by commas.", type: str, default: ""}
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Add Debian's non-free components
  gridtie_apt_source:
    name: gridtie-non-free
    suites: trixie
    components: contrib non-free non-free-firmware
"""
RETURN = r"""
path:
  description: The file, or empty where none is needed.
  type: str
  returned: always
"""


def _missing_components(suite: str, components: str) -> list[str]:
    """Components of the machine's own release that apt has no source of."""
    have = {index.component for index in apt_indexes() if index.suite == suite}
    return [name for name in components.split() if name not in have]


def _key(module: AnsibleModule) -> list[str]:
    url, wanted = module.params["key_url"], module.params["fingerprint"].replace(" ", "").upper()
    try:
        # S310: the roles give https addresses.
        with urllib.request.urlopen(url, timeout=30, context=context()) as answer:  # noqa: S310
            data = answer.read(1 << 20)
    except (urllib.error.URLError, OSError) as error:
        module.fail_json(msg=f"{url} cannot be fetched: {error}; check the network and gridtie_https_proxy")
    try:
        found = gridtie_openpgp.fingerprint(data)
    except gridtie_openpgp.KeyFormatError as error:
        module.fail_json(msg=f"{url}: {error}; something on the way answers in its place")
    if found != wanted:
        module.fail_json(msg=f"the key at {url} has the fingerprint {found}, wanted was {wanted}; it is not trusted")
    return gridtie_openpgp.armoured_lines(data)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "uri": {"type": "str", "default": ""},
            "suites": {"type": "str", "required": True},
            "components": {"type": "str", "default": ""},
            "key_url": {"type": "str", "default": "", "no_log": False},
            "fingerprint": {"type": "str", "default": ""},
            "keyring": {"type": "path", "default": "/usr/share/keyrings/debian-archive-keyring.gpg"},
            "lock_wait_s": {"type": "float", "default": gridtie_apt.LOCK_WAIT_S},
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    gridtie_network.use(given["network"])
    path = f"/etc/apt/sources.list.d/{given['name']}.sources"
    own = not given["uri"]
    if Path(path).is_file():
        module.exit_json(changed=False, path=path)
    components = _missing_components(given["suites"], given["components"]) if own else given["components"].split()
    if own and not components:
        module.exit_json(changed=False, path="")
    site = apt_site(given["suites"]) if own else given["uri"]
    if not site:
        module.fail_json(msg=f"apt has no source for {given['suites']}, so there is no mirror to ask")
    lines = ["Types: deb", f"URIs: {site}", f"Suites: {given['suites']}"]
    lines += [f"Components: {' '.join(components)}"] if components else []
    if module.check_mode:
        module.exit_json(changed=True, path=path, diff={"before": "", "after": "\n".join(lines) + "\n"})
    lines += (
        ["Signed-By:", *(f" {line}" for line in _key(module))]
        if given["key_url"]
        else [f"Signed-By: {given['keyring']}"]
    )
    change = gridtie_files.ensure_file({"path": path, "content": "\n".join(lines) + "\n", "mode": "0644"}, check=False)
    try:
        gridtie_apt.Apt(given["lock_wait_s"], module.warn).update()
    except gridtie_apt.PackageError as error:
        Path(path).unlink()
        module.fail_json(msg=f"{error}; the source was taken away again", stdout=error.output)
    module.exit_json(changed=True, path=path, diff=change and change["diff"])


if __name__ == "__main__":
    main()
