"""Bring what a bundle has for a host to it; what has arrived before is not sent again."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils import gridtie_bundle

# Files below this travel together: a hundred packages singly would take longer on their way than their bytes.
_SMALL = 32 << 20
_PLACE = "/var/cache/gridtie/bundle"
# As the module has it.
_BOX = "box.tar"


class ActionModule(ActionBase):
    """Argument: ``bundle``, its directory on the controller. Returns ``directory``, where its files are on the host;
    empty where nothing was brought there yet, in check mode.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask what is there, send what is not, and have it checked and put in its place."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        bundle = gridtie_bundle.read(self._task.args["bundle"])
        directory, parts = f"{_PLACE}/{bundle.name}", bundle.parts()
        # Files are put there by whoever logs in, whose home "~" is not that of the user that the task becomes.
        incoming = self._remote_expand_user(f"~/.ansible/gridtie-bundle/{bundle.name}", sudoable=False)
        arguments = {"directory": directory, "incoming": incoming, "parts": parts}
        found = self._parts({"state": "there", **arguments}, task_vars)
        if found.get("failed"):
            return {**result, **found}
        missing = [part for part in parts if part["path"] not in found["parts"]]
        if not missing or self._task.check_mode:
            return {**result, "changed": bool(missing), "directory": "" if missing else directory}
        made = self._low_level_execute_command(
            f"mkdir -p -m 700 {self._connection._shell.quote(incoming)}", sudoable=False
        )
        if made["rc"]:
            raise AnsibleActionFail(f"{incoming} could not be made for the bundle's files: {made['stderr'].strip()}")
        self._send(bundle, [part for part in missing if part["path"] not in found["arrived"]], incoming)
        return {**result, **self._parts({"state": "placed", **arguments}, task_vars), "directory": directory}

    def _parts(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            "gridtie.gridtie.gridtie_bundle_parts", module_args=arguments, task_vars=task_vars
        )
        # A list of every file: nobody wants it in the output.
        answer.pop("invocation", None)
        return answer

    def _send(self, bundle: gridtie_bundle.Bundle, parts: list[dict[str, Any]], incoming: str) -> None:
        small = [part for part in parts if part["bytes"] < _SMALL]
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            with tarfile.open(file.name, "w:") as box:
                for part in small:
                    box.add(bundle.directory / part["path"], arcname=part["sha256"])
            if small:
                self._connection.put_file(file.name, f"{incoming}/{_BOX}")
        for part in parts:
            if part["bytes"] >= _SMALL:
                self._put(bundle.directory / part["path"], f"{incoming}/{part['sha256']}")

    def _put(self, source: Path, target: str) -> None:
        """Under its name when it is whole: a later run takes what is there for arrived."""
        self._connection.put_file(str(source), f"{target}.part")
        shell = self._connection._shell
        moved = self._low_level_execute_command(
            f"mv -f {shell.quote(target + '.part')} {shell.quote(target)}", sudoable=False
        )
        if moved["rc"]:
            raise AnsibleActionFail(f"{source.name} of the bundle did not arrive: {moved['stderr'].strip()}")
