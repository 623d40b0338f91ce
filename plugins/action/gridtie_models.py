"""Hands the model catalogue and its lock to the module: YAML is read on the controller, which has a YAML library."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

_ROOT = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):
    """Replaces `catalogue_file` and `lock_file` by their checked content."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read both files, then run the module of the same name on the host."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = [Path(arguments.pop(name)) for name in ("catalogue_file", "lock_file")]
        if str(_ROOT / "src") not in sys.path:
            sys.path.append(str(_ROOT / "src"))
        from gridtie.catalogue import CatalogueFileError, load_documents

        try:
            arguments.update(load_documents(*files))
        except CatalogueFileError as error:
            raise AnsibleActionFail(str(error)) from error
        result.update(self._execute_module("gridtie_models", module_args=arguments, task_vars=task_vars))
        return result
