"""The certificate authority of an inventory, on the controller: made, renewed, or given. Its key never leaves it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import gridtie_certificates as certificates


class ActionModule(ActionBase):
    """Arguments: ``certificate`` and ``key`` (files on the controller), ``certificate_text`` and ``key_text`` (in place
    of them), ``made`` (whether the authority signs here), ``days``, ``renew_days``. Returns ``bundle``, the
    certificates to be trusted.
    """

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the authority ready."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        certificate = Path(given["certificate"]).expanduser()
        if not given["made"]:
            try:
                result.update(changed=False, bundle=certificate.read_text(encoding="ascii"))
            except (OSError, ValueError) as error:
                raise AnsibleActionFail(f"gridtie_ca_certificate: {certificate} cannot be read: {error}") from error
            return result
        try:
            authority, why = certificates.Authority.of(
                given.get("certificate_text", ""),
                given.get("key_text", ""),
                certificate,
                Path(given["key"]).expanduser(),
                days=int(given["days"]),
                renew_days=int(given["renew_days"]),
                now=datetime.datetime.now(datetime.timezone.utc),
                check=self._task.check_mode,
            )
        except (certificates.CertificateError, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        result.update(changed=bool(why), why=why, bundle=authority.pem if authority is not None else "")
        return result
