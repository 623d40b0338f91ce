#!/usr/bin/python
"""A package source, with a key whose fingerprint is checked before apt is told to trust it."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_deb822, gridtie_files, gridtie_network, gridtie_openpgp
from ..module_utils.gridtie_machine import read_text
from ..module_utils.gridtie_reach import context
from ..module_utils.gridtie_sources import apt_indexes, apt_site

DOCUMENTATION = r"""
module: gridtie_apt_source
short_description: A package source in deb822 form
description:
  - Writes one file in /etc/apt/sources.list.d, and writes it anew where it says anything else than what is declared.
    The key is fetched, read by GnuPG, refused unless it is the only one and has the fingerprint, and put into that
    file, so that it is trusted for this source alone. Where its source does not answer, the file is as it was before.
  - Without O(uri) the source is the machine's own release with more components; nothing is written where apt has them.
  - C(deb822_repository) takes keys without comparing them; docs/decisions/0028 has the reasons.
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
  only_update:
    description: Whether only a source that is there is changed, and none added.
    type: bool
    default: false
extends_documentation_fragment: [gridtie.gridtie.gridtie_apt, gridtie.gridtie.gridtie_network]
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Add Debian's non-free components
  gridtie.gridtie.gridtie_apt_source:
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


def _key(module: AnsibleModule) -> str:
    """The key as it is fetched, in ASCII armour."""
    url = module.params["key_url"]
    try:
        # S310: the roles give https addresses.
        with urllib.request.urlopen(url, timeout=30, context=context()) as answer:  # noqa: S310
            data = answer.read(1 << 20)
    except (urllib.error.URLError, OSError) as error:
        module.fail_json(msg=f"{url} cannot be fetched: {error}; check the network and gridtie_https_proxy")
    try:
        key = gridtie_openpgp.only_key(data, _fingerprint(module))
    except gridtie_openpgp.KeyFormatError as error:
        module.fail_json(msg=f"{url}: {error}; the owner of the repository has changed it, or something on the way has")
    return key


def _fingerprint(module: AnsibleModule) -> str:
    return str(module.params["fingerprint"]).replace(" ", "").upper()


def _wanted(module: AnsibleModule, before: dict[str, str]) -> dict[str, str]:
    """The fields of the source; none where apt has all of it without this file."""
    given = module.params
    components = given["components"].split()
    if given["uri"]:
        return gridtie_deb822.source(given["uri"], given["suites"], components)
    components = gridtie_deb822.lacking(apt_indexes(), given["suites"], components, before)
    site = apt_site(given["suites"])
    if components and not site:
        module.fail_json(msg=f"apt has no source for {given['suites']}, so there is no mirror to ask")
    return gridtie_deb822.source(site, given["suites"], components) if components else {}


def _is_signed(module: AnsibleModule, signed_by: str) -> bool:
    if not module.params["key_url"]:
        return bool(signed_by == module.params["keyring"])
    # Without GnuPG nobody can say: the key is fetched again.
    return bool(shutil.which(gridtie_openpgp.GPG)) and gridtie_deb822.is_signed_by(signed_by, _fingerprint(module))


def _apply(module: AnsibleModule, apt: gridtie_apt.Apt, path: str, wanted: dict[str, str]) -> dict[str, object] | None:
    """Write the file and have apt read it; as it was before where that fails."""
    before = Path(path).read_bytes() if Path(path).is_file() else None
    signed_by = gridtie_openpgp.signed_by(_key(module)) if module.params["key_url"] else module.params["keyring"]
    text = gridtie_deb822.text_of({**wanted, gridtie_deb822.SIGNED_BY: signed_by})
    change = gridtie_files.ensure_file({"path": path, "content": text, "mode": "0644"}, check=False)
    try:
        apt.update()
    except gridtie_apt.PackageError as error:
        if before is None:
            Path(path).unlink()
        else:
            gridtie_files.write_atomically(path, before, 0o644)
        taken = "taken away again" if before is None else "put back as it was"
        module.fail_json(msg=f"{error}; the source was {taken}", stdout=error.output)
    return change and change["diff"]


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
            "only_update": {"type": "bool", "default": False},
            **gridtie_apt.ARGUMENTS,
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    gridtie_network.use(given["network"])
    path = f"/etc/apt/sources.list.d/{given['name']}.sources"
    if given["only_update"] and not Path(path).is_file():
        module.exit_json(changed=False, path="")
    before = gridtie_deb822.fields(read_text(path))
    signed_by = before.pop(gridtie_deb822.SIGNED_BY, "")
    wanted = _wanted(module, before)
    if not wanted or (before == wanted and _is_signed(module, signed_by)):
        module.exit_json(changed=False, path=path if wanted else "")
    if module.check_mode:
        diff = {"before": gridtie_deb822.text_of(before), "after": gridtie_deb822.text_of(wanted)}
        module.exit_json(changed=True, path=path, diff=diff)
    apt = gridtie_apt.Apt(given["lock_wait_s"], module.warn)
    try:
        if given["key_url"] and not shutil.which(gridtie_openpgp.GPG):
            apt.install([gridtie_openpgp.GPG])
    except gridtie_apt.PackageError as error:
        module.fail_json(msg=f"{error}; it is needed to read the key at {given['key_url']}", stdout=error.output)
    module.exit_json(changed=True, path=path, diff=_apply(module, apt, path, wanted))


if __name__ == "__main__":
    main()
