#!/usr/bin/python
"""A server's private key, made on the machine that uses it. It never leaves it, and is in no result."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_files
from ..module_utils.gridtie_machine import read_text

DOCUMENTATION = r"""
module: gridtie_server_key
short_description: A server's private key with its certificate, as one file
description:
  - Looks at the file and returns the certificate in it, without the key.
  - With O(request), makes a new key beside it and returns a signing request for that. The file stays as it is.
  - With O(certificate), which was signed for that request, key and certificate replace the file in one step.
  - Needs the command C(openssl) for a request.
options:
  path:
    description: The file.
    type: path
    required: true
  group:
    description: Group that may read it.
    type: str
    required: true
  request:
    description: Whether a new key is made.
    type: bool
    default: false
  certificate:
    description: The certificate that was signed, in PEM, with the rest of its chain.
    type: str
    default: ""
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Make a key and ask for a certificate
  gridtie.gridtie.gridtie_server_key:
    path: /etc/gridtie/tls/server.pem
    group: gridtie
    request: true
"""
RETURN = r"""
certificate:
  description: The certificate that is there, in PEM; empty where there is none.
  type: str
  returned: always
fault:
  description: Why what is there cannot be used; empty where it can.
  type: str
  returned: always
request:
  description: The signing request for the new key, in PEM.
  type: str
  returned: with O(request)
"""

_BEGINS = "-----BEGIN CERTIFICATE-----"


def certificate_of(text: str) -> str:
    """The certificates of a file that holds a key before them."""
    return text[text.index(_BEGINS) :] if _BEGINS in text else ""


def fault_of(path: str) -> str:
    """Why the file is not a key and its certificate."""
    if not Path(path).is_file():
        return "there is none yet"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or "not in PEM"
        return f"it is not a key and its certificate ({str(reason).lower().replace('_', ' ')})"
    return ""


def _openssl(module: AnsibleModule, *words: str, given: str = "") -> str:
    """What openssl prints; a key goes to it by a pipe, and never onto the disk or into a list of processes."""
    program = module.get_bin_path("openssl")
    if program is None:
        module.fail_json(msg="there is no openssl command on this machine; install it: apt-get install openssl")
    status, output, errors = module.run_command([program, *words], data=given, binary_data=True)
    if status != 0:
        module.fail_json(msg=f"openssl {words[0]} failed: {errors.strip()[-500:]}")
    return str(output)


def _request(module: AnsibleModule, draft: dict[str, Any]) -> str:
    """Make a key, keep it beside the file, and return the request. Who signs it decides the names."""
    key = _openssl(module, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    gridtie_files.ensure_file({**draft, "content": key}, False)
    return _openssl(module, "req", "-new", "-sha256", "-subj", "/CN=gridtie", "-key", "/dev/stdin", given=key)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
            "request": {"type": "bool", "default": False},
            "certificate": {"type": "str", "default": ""},
        },
        mutually_exclusive=[("request", "certificate")],
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    path, result = given["path"], {"request": ""}
    owned = {"owner": "root", "group": given["group"]}
    file = {**owned, "path": path, "mode": "0640", "secret": True}
    # Of a run that was killed in between another one is left, which the next request replaces.
    draft: dict[str, Any] = {
        "path": f"{path}.new-key",
        "mode": "0600",
        "owner": "root",
        "group": "root",
        "secret": True,
    }
    try:
        changes = [gridtie_files.ensure_directory({**owned, "path": str(Path(path).parent), "mode": "0750"}, check)]
        if given["request"] and not check:
            result["request"] = _request(module, draft)
        elif given["certificate"] and not check:
            key = read_text(draft["path"])
            changes.append(gridtie_files.ensure_file({**file, "content": key + given["certificate"]}, check))
            gridtie_files.remove(draft["path"], check)
        elif text := read_text(path):
            changes.append(gridtie_files.ensure_file({**file, "content": text}, check))
    except KeyError as error:
        module.fail_json(msg=f"{path}: there is no user or group {error} on this machine")
    except OSError as error:
        module.fail_json(msg=f"{path}: {error.strerror or error}")
    done = [change for change in changes if change]
    result.update(certificate=certificate_of(read_text(path)), fault=fault_of(path))
    module.exit_json(changed=bool(done), diff=[change["diff"] for change in done], **result)


if __name__ == "__main__":
    main()
