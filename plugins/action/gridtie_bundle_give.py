"""Bring what a bundle has for a host to it; what has arrived before is not sent again."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..modules.gridtie_bundle_parts import BOX, SMALL, parcels
from ..plugin_utils import gridtie_bundle


class ActionModule(ActionBase):
    """Arguments: ``bundle``, its directory on the controller; ``place``, where bundles lie on the host. Returns
    ``directory``, where this one's files are there; empty where nothing was brought there yet, in check mode.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask what is there, send what is not, and have it checked and put in its place."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        bundle = gridtie_bundle.read(self._task.args["bundle"])
        directory, parts = f"{self._task.args['place']}/{bundle.name}", bundle.parts()
        # Files are put there by whoever logs in, whose home "~" is not that of the user that the task becomes.
        incoming = self._remote_expand_user(f"~/.ansible/gridtie-bundle/{bundle.name}", sudoable=False)
        arguments = {"directory": directory, "incoming": incoming}
        if self._connection.transport == "local":
            arguments["nearby"] = str(bundle.directory)
        found = self._parts({"state": "there", "parts": parts, **arguments}, task_vars)
        if found.get("failed"):
            return {**result, **found}
        missing = [part for part in parts if part["path"] not in found["parts"]]
        done = not missing and found["complete"]
        if done or self._task.check_mode:
            return {**result, "changed": not done, "directory": directory if done else ""}
        here = [part for part in missing if part["path"] in found["arrived"]]
        sent = [part for part in missing if part not in here]
        for parcel in [*([here] if here else []), *parcels(sent)]:
            if parcel is not here:
                self._send(bundle, parcel, incoming)
            placed = self._parts({"state": "placed", "parts": parcel, **arguments}, task_vars)
            if placed.get("failed"):
                return {**result, **placed}
        return {**result, **self._parts({"state": "complete", **arguments}, task_vars), "directory": directory}

    def _parts(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            "gridtie.gridtie.gridtie_bundle_parts", module_args=arguments, task_vars=task_vars
        )
        # A list of every file: nobody wants it in the output.
        answer.pop("invocation", None)
        return answer

    def _send(self, bundle: gridtie_bundle.Bundle, parcel: list[dict[str, Any]], incoming: str) -> None:
        """Send the parts of one parcel: a large one singly, small ones as one file."""
        self._as_login(
            f"mkdir -p -m 700 {self._quoted(incoming)}", f"{incoming} could not be made for the bundle's files"
        )
        if parcel[0]["bytes"] >= SMALL:
            self._put(bundle.directory / parcel[0]["path"], f"{incoming}/{parcel[0]['sha256']}")
            return
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            with tarfile.open(file.name, "w:") as box:
                for part in parcel:
                    box.add(bundle.directory / part["path"], arcname=part["sha256"])
            self._put(Path(file.name), f"{incoming}/{BOX}")

    def _put(self, source: Path, target: str) -> None:
        """Under its name when it is whole: a later run takes what is there for arrived."""
        self._connection.put_file(str(source), f"{target}.part")
        self._as_login(
            f"mv -f {self._quoted(target + '.part')} {self._quoted(target)}",
            f"{source.name} of the bundle did not arrive",
        )

    def _as_login(self, command: str, failed: str) -> None:
        """Run a command as whoever logs in. Raises AnsibleActionFail, which says that it ``failed``."""
        done = self._low_level_execute_command(command, sudoable=False)
        if done["rc"]:
            raise AnsibleActionFail(f"{failed}: {done['stderr'].strip()}")

    def _quoted(self, word: str) -> str:
        quoted: str = self._connection._shell.quote(word)
        return quoted
