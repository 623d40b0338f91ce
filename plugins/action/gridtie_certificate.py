"""A host's certificate: looked at, and replaced where it has to be. Its key is made on the host and stays there."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import gridtie_certificates as certificates


class ActionModule(ActionBase):
    """Arguments: ``path`` on the host and its ``group``, ``names``, ``days``, ``renew_days``; ``authority`` and
    ``authority_key``, files on the controller, or ``authority_text`` and ``authority_key_text`` in place of them; or
    ``certificate`` and ``key`` there, which are ready.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Replace what has to be replaced."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        now = datetime.datetime.now(datetime.timezone.utc)
        try:
            give = self._install if self._task.args.get("certificate") else self._renew
            result.update(give(now, task_vars))
        except (certificates.CertificateError, OSError) as error:
            raise AnsibleActionFail(str(error)) from error
        return result

    def _install(self, now: datetime.datetime, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """A ready certificate comes with its key."""
        given = self._task.args
        certificate, key = Path(given["certificate"]).expanduser(), Path(given["key"]).expanduser()
        owned = {"owner": "root", "group": given["group"]}
        text = certificates.given(certificate, key, list(given["names"]), now)
        files = {
            "directories": [{**owned, "path": str(Path(given["path"]).parent), "mode": "0750"}],
            "files": [{**owned, "path": given["path"], "mode": "0640", "content": text, "secret": True}],
        }
        done = self._execute_module("gridtie.gridtie.gridtie_files", module_args=files, task_vars=task_vars)
        # The arguments hold the private key.
        done.pop("invocation", None)
        return {**done, "why": "another one was given" if done.get("changed") else ""}

    def _renew(self, now: datetime.datetime, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The host makes its key and asks; the answer is signed here."""
        given, names = self._task.args, list(self._task.args["names"])
        found = self._key(task_vars)
        authority, _ = certificates.Authority.of(
            given.get("authority_text", ""),
            given.get("authority_key_text", ""),
            Path(given["authority"]).expanduser(),
            Path(given["authority_key"]).expanduser(),
            days=int(given["days"]),
            # The action gridtie_authority has seen to it a moment ago.
            renew_days=0,
            now=now,
            check=self._task.check_mode,
        )
        if authority is None:  # in check mode
            return {"changed": True, "why": "there is no authority yet"}
        renew_days = int(given["renew_days"])
        why = found["fault"] or authority.why_renew(found["certificate"], names, renew_days=renew_days, now=now)
        if not why or self._task.check_mode:
            return {**found, "changed": bool(why) or found["changed"], "why": why}
        request = self._key(task_vars, request=True)["request"]
        certificate = authority.issue(request, names, days=int(given["days"]), now=now)
        return {**self._key(task_vars, certificate=certificate), "why": why}

    def _key(self, task_vars: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        arguments = {"path": self._task.args["path"], "group": self._task.args["group"], **more}
        done: dict[str, Any] = self._execute_module(
            "gridtie.gridtie.gridtie_server_key", module_args=arguments, task_vars=task_vars
        )
        if done.get("failed"):
            raise AnsibleActionFail(str(done.get("msg", "the machine's key could not be looked at")), result=done)
        return done
