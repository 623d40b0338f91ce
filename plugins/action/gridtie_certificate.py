"""A host's certificate with its key: looked at, and replaced where it has to be. Both stay out of the output."""

from __future__ import annotations

import base64
import datetime
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

_ROOT = Path(__file__).resolve().parents[2]
if str(_ROOT) not in sys.path:
    # Ansible lets modules import our module_utils by name, but not the plugins of a plain checkout: the import below
    # needs the path first.
    sys.path.append(str(_ROOT))

from plugins.plugin_utils import gridtie_certificates as certificates  # noqa: E402


class ActionModule(ActionBase):
    """Arguments: ``path`` on the host and its ``group``, ``names``, ``days``, ``renew_days``; ``authority`` and
    ``authority_key``, files on the controller; or ``certificate`` and ``key`` there, which are ready.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Replace what has to be replaced."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, now = self._task.args, datetime.datetime.now(datetime.timezone.utc)
        found = self._there(given["path"], task_vars)
        try:
            wanted, why = self._wanted(given, found, now)
        except (certificates.CertificateError, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        if wanted is None:  # in check mode, before there is an authority
            result.update(changed=True, why=why)
            return result
        directory = {"path": str(Path(given["path"]).parent), "mode": "0750", "owner": "root", "group": given["group"]}
        file = {**directory, "path": given["path"], "mode": "0640", "content": wanted, "secret": True}
        done = self._execute_module(
            "gridtie_files", module_args={"directories": [directory], "files": [file]}, task_vars=task_vars
        )
        # The arguments hold the private key.
        done.pop("invocation", None)
        result.update(done)
        result["why"] = why
        return result

    def _there(self, path: str, task_vars: dict[str, Any] | None) -> str:
        """What the host has, "" where it has nothing."""
        read = self._execute_module("ansible.legacy.slurp", module_args={"src": path}, task_vars=task_vars)
        return base64.b64decode(read["content"]).decode("ascii", "replace") if "content" in read else ""

    def _wanted(self, given: dict[str, Any], found: str, now: datetime.datetime) -> tuple[str | None, str]:
        names = list(given["names"])
        if given.get("certificate"):
            certificate, key = Path(given["certificate"]).expanduser(), Path(given["key"]).expanduser()
            wanted = certificates.given(certificate, key, names, now)
            return wanted, "" if wanted == found else "another one was given"
        renew_days, days = int(given["renew_days"]), int(given["days"])
        authority, _ = certificates.Authority.ensure(
            Path(given["authority"]).expanduser(),
            Path(given["authority_key"]).expanduser(),
            days=days,
            # The action gridtie_authority has seen to it a moment ago.
            renew_days=0,
            now=now,
            check=self._task.check_mode,
        )
        if authority is None:
            return None, "there is no authority yet"
        why = authority.why_renew(found, names, renew_days=renew_days, now=now)
        return (authority.issue(names, days=days, now=now) if why else found), why
