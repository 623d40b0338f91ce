"""Bring an image from the host that made it to the controller, in parts that can be checked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Arguments: ``reference``, ``docker``, and ``cache``, a directory on the controller. Returns ``packed``."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Pack there, fetch what is not here yet, and clean up there. What goes wrong is a result: it can be borne."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            return {**result, **self._pack(task_vars)}
        except AnsibleConnectionFailure:
            raise
        except (AnsibleError, OSError) as error:
            return {**result, "failed": True, "changed": False, "msg": str(error)}

    def _pack(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        given = self._task.args
        reference = given["reference"]
        cache = Path(given["cache"]).expanduser() / reference.replace("/", "_").replace(":", "_")
        index = cache / "index.json"
        if index.is_file() and self._is_whole(cache, json.loads(index.read_text(encoding="utf-8"))["parts"]):
            return {"changed": False, "packed": True}
        there = f"/var/cache/gridtie/parts/{cache.name}"
        packed = self._execute_module(
            "gridtie.gridtie.gridtie_image_parts",
            module_args={"state": "packed", "directory": there, "reference": reference, "docker": given["docker"]},
            task_vars=task_vars,
        )
        if packed.get("failed"):
            return dict(packed)
        cache.mkdir(parents=True, exist_ok=True)
        for part in packed["parts"]:
            if not self._is_whole(cache, [part]):
                self._connection.fetch_file(f"{there}/{part['name']}", str(cache / part["name"]))
            if not self._is_whole(cache, [part]):
                raise AnsibleActionFail(f"{part['name']} of {reference} did not arrive whole; run this again")
        # Last: without it the next run fetches what is missing.
        index.write_text(json.dumps({"parts": packed["parts"], "layers": packed["layers"]}), encoding="utf-8")
        self._execute_module(
            "gridtie.gridtie.gridtie_image_parts",
            module_args={"state": "gone", "directory": there},
            task_vars=task_vars,
        )
        # Nothing has changed on the host: what was packed there is gone again.
        return {"changed": False, "packed": True}

    @staticmethod
    def _is_whole(cache: Path, parts: list[dict[str, str]]) -> bool:
        """Whether these parts are here as they were packed."""
        for part in parts:
            path = cache / part["name"]
            if not path.is_file():
                return False
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != part["sha256"]:
                    return False
        return True
