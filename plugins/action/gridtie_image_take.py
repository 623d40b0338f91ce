"""Bring an image from the controller to a host and load it there; what has arrived before is not sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Arguments: ``reference``, ``docker``, and ``cache``, a directory on the controller. Returns ``taken``."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send the parts that are not there yet, and load them. What goes wrong is a result, since it can be borne."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            return {**result, **self._take(task_vars)}
        except AnsibleConnectionFailure:
            raise
        except (AnsibleError, OSError) as error:
            return {**result, "failed": True, "changed": False, "msg": str(error)}

    def _take(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        given = self._task.args
        reference = given["reference"]
        cache = Path(given["cache"]).expanduser() / reference.replace("/", "_").replace(":", "_")
        try:
            packed = json.loads((cache / "index.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise AnsibleActionFail(
                f"{reference} was not handed over by the host that makes it (no {cache}/index.json)"
            ) from error
        there = self._place(f"~/.ansible/gridtie-parts/{cache.name}")
        arguments: dict[str, Any] = {"directory": there, "parts": packed["parts"]}
        if self._connection.transport == "local":
            arguments["nearby"] = str(cache)
        whole = self._execute_module(
            "gridtie.gridtie.gridtie_image_parts", module_args={"state": "there", **arguments}, task_vars=task_vars
        )
        if whole.get("failed"):
            return dict(whole)
        for part in packed["parts"]:
            if part not in whole["parts"]:
                self._connection.put_file(str(cache / part["name"]), f"{there}/{part['name']}")
        loaded = self._execute_module(
            "gridtie.gridtie.gridtie_image_parts",
            module_args={
                "state": "loaded",
                "reference": reference,
                "docker": given["docker"],
                "layers": packed["layers"],
                **arguments,
            },
            task_vars=task_vars,
        )
        loaded.pop("invocation", None)
        return {**loaded, "taken": not loaded.get("failed")}

    def _place(self, directory: str) -> str:
        """Make a directory where whoever logs in may write, and the next run finds it; its whole path.

        Files are put there without the rights of the user that the task becomes, whose home "~" would be otherwise.
        """
        path: str = self._remote_expand_user(directory, sudoable=False)
        made = self._low_level_execute_command(f"mkdir -p -m 700 {self._connection._shell.quote(path)}", sudoable=False)
        if made["rc"]:
            raise AnsibleActionFail(f"{path} could not be made for the parts of an image: {made['stderr'].strip()}")
        return path
