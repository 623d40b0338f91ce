"""Hold a release to the checksums of the inventory's lock, and write into it those that were learned."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.gridtie_agreed import Agreed


class ActionModule(ActionBase):
    """Arguments: the module's, ``lock_file``, ``pins`` and ``former_pins``."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the release made; it lies beside the one that runs, and nothing is switched to it yet."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        agreed = Agreed(arguments, task_vars)
        arguments.update(learned=agreed.digest("archives", "sha256"), learn=agreed.learn)
        result.update(
            self._execute_module("gridtie.gridtie.gridtie_release", module_args=arguments, task_vars=task_vars)
        )
        result["recorded"] = agreed.record(result["learned"]) if result.get("learned") else []
        return result
