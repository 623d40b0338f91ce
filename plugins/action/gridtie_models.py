"""Hands the model catalogue and its lock to the module: YAML is read on the controller, which has a YAML library.

The caller's package sources go along, which sudo would lose on the way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.gridtie_agreed import Agreed
from ..plugin_utils.gridtie_collection import package

# Addresses may hold a password. Nothing else is hidden with them: what is hidden is taken out of all that the module
# returns, and a time-out of 180 would be taken out of every digest that has these digits.
_PIP_ADDRESSES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
_PIP_SETTINGS = (
    *("PIP_CONFIG_FILE", "PIP_TRUSTED_HOST"),
    *("PIP_CERT", "PIP_RETRIES", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"),
)


class ActionModule(ActionBase):
    """Replaces `catalogue_file`, `lock_file` and `inventory_lock` by their checked content."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read both files, then run the module of the same name on the host."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        files = [Path(arguments.pop(name)) for name in ("catalogue_file", "lock_file")]
        catalogue = package("gridtie.catalogue")
        try:
            arguments.update(catalogue.load_documents(*files))
        except catalogue.CatalogueFileError as error:
            raise AnsibleActionFail(str(error)) from error
        if self._connection.transport == "local":
            arguments["pip"] = pip_settings(os.environ, Path.home())
            arguments["pip_addresses"] = pip_addresses(os.environ)
        if "inventory_lock" not in arguments:  # What is taken away needs no pin.
            return {
                **result,
                **self._execute_module("gridtie.gridtie.gridtie_models", module_args=arguments, task_vars=task_vars),
            }
        agreed = Agreed(arguments, task_vars, lock="inventory_lock")
        arguments["learn"] = agreed.learn
        recorded: list[str] = []
        while True:
            arguments["learned"] = agreed.digests("models")
            answer = self._execute_module("gridtie.gridtie.gridtie_models", module_args=arguments, task_vars=task_vars)
            recorded += agreed.record(answer["learned"]) if answer.get("learned") else []
            if answer.get("failed") or answer.get("agreed", True):
                break
        if recorded and "remarks" in answer:
            answer["remarks"] = [f"accepted from now on, by all hosts: {', '.join(recorded)}", *answer["remarks"]]
        return {**result, **answer}


def pip_settings(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """What tells pip where packages are; the caller's own configuration file counts for root as well."""
    settings = {name: environ[name] for name in _PIP_SETTINGS if environ.get(name)}
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    if "PIP_CONFIG_FILE" not in settings and own.is_file():
        settings["PIP_CONFIG_FILE"] = str(own)
    return settings


def pip_addresses(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of package sources."""
    return {name: environ[name] for name in _PIP_ADDRESSES if environ.get(name)}
