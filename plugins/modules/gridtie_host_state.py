#!/usr/bin/python
"""What earlier runs, of this controller or another, and people have left on a host that a run must not go over."""

from __future__ import annotations

import re
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_edits
from ..module_utils.gridtie_station import station

DOCUMENTATION = r"""
module: gridtie_host_state
short_description: What is on a host that a run must not go over unasked
description:
  - Changes nothing. A host without a station has none of it.
options:
  config_dir:
    description: Where the station's configuration is.
    type: path
    required: true
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Look at what an earlier run left
  gridtie.gridtie.gridtie_host_state:
    config_dir: /etc/gridtie
"""
RETURN = r"""
version:
  description: Of the station that is here; empty where there is none.
  type: str
  returned: always
certificates:
  description: Name of each file below C(tls) to the certificates in it, as PEM and without keys.
  type: dict
  returned: always
routing:
  description: The routing file that a person has edited since it was last written; empty where nobody has.
  type: str
  returned: always
"""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?")


def certificates(directory: Path) -> dict[str, str]:
    """The certificates that a station shows (``server.pem``) and trusts (``pool-NAME.pem``), never a key."""
    found = {}
    for path in sorted(directory.glob("*.pem")):
        text = path.read_text(encoding="ascii", errors="replace")
        found[path.name] = "".join(_CERTIFICATE.findall(text))
    return found


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec={"config_dir": {"type": "path", "required": True}}, supports_check_mode=True)
    directory = Path(module.params["config_dir"])
    routing = directory / "llm_routing.yaml"
    try:
        edited = gridtie_edits.edited(str(routing))
        module.exit_json(
            changed=False,
            version=str(station(str(directory)).get("version") or ""),
            certificates=certificates(directory / "tls"),
            routing=routing.read_text(encoding="utf-8", errors="replace") if edited else "",
        )
    except OSError as error:
        module.fail_json(msg=f"{error.filename or directory}: {error.strerror or error}")


if __name__ == "__main__":
    main()
