"""Work out an image's steps from the collection, and bring its files to the machine only where it has to be built."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils import gridtie_image_plan as plan
from ..plugin_utils.gridtie_agreed import Agreed
from ..plugin_utils.gridtie_collection import ROOT, artefacts_in
from ..plugin_utils.gridtie_image_tree import read_tree

_NAMES = ("engine-embedded", "engine-ollama", "engine-vllm", "engine-vllm_router", "router", "service")

# Where packages come from. With sudo these would be lost on the way to the module.
_PACKAGE_SETTINGS = ("GOSUMDB", "PIP_CONFIG_FILE", "PIP_RETRIES", "PIP_TIMEOUT", "PIP_TRUSTED_HOST")
# Those that may hold credentials.
_PACKAGE_ADDRESSES = ("GOPROXY", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL")


def revision(root: Path) -> str:
    """The checkout's commit, with `-dirty` where files differ from it; empty in an installed collection."""
    if not (root / ".git").exists():
        return ""
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


class ActionModule(ActionBase):
    """Arguments: ``name``, ``machine`` (preflight's facts), ``release`` (upstream's image instead of ours), ``prefix``,
    ``base``, ``mirror_url``, ``artefacts_file`` (what is pinned; empty for the project's own), ``traces`` (of the
    router's: whether it is to send such), ``builder`` (the host that makes it for this one, which then only says
    whether it is ``missing``), ``lock_file``, ``pins`` and
    ``former_pins``, and those of the module that the action does not work out itself.
    """

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the module whether the image is there; if not, transfer the files and have it made."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        builder = arguments.pop("builder", "")
        agreed = Agreed(arguments, task_vars)
        steps = self._steps(arguments, agreed)
        # What a registry serves, every host pulls by its digest.
        elsewhere = builder not in ("", (task_vars or {}).get("inventory_hostname")) and steps[-1]["kind"] == "build"
        arguments["package_settings"] = self._environment_of_caller(_PACKAGE_SETTINGS)
        arguments["package_addresses"] = self._environment_of_caller(_PACKAGE_ADDRESSES)
        files = {step["name"]: step.pop("files") for step in steps if "files" in step}
        arguments.update(steps=steps, learn=agreed.learn, learned=agreed.digest("images", "digest"))
        result.update(self._call(arguments, task_vars))
        if result.get("needed") and elsewhere:
            result.update(missing=steps[-1]["reference"], changed=self._task.check_mode)
            return result
        if not result.get("needed") or self._task.check_mode or result.get("failed"):
            return result
        try:
            arguments["contexts"] = self._transfer({name: plan.archive(each) for name, each in files.items()})
            # What the first call foretold has not happened yet.
            result.update({"changed": False, **self._made(arguments, agreed, task_vars)})
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _made(self, arguments: dict[str, Any], agreed: Agreed, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Have it made. What was pulled for the first time is used once its digest is in the lock."""
        recorded: list[str] = []
        answer = self._call(arguments, task_vars)
        while answer.get("learned"):
            recorded += agreed.record(answer["learned"])
            arguments["learned"] = agreed.digest("images", "digest")
            answer = self._call(arguments, task_vars)
        return {**answer, "recorded": recorded, "changed": bool(recorded) or answer.get("changed", False)}

    def _call(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            "gridtie.gridtie.gridtie_image", module_args=arguments, task_vars=task_vars
        )
        # The steps hold whole scripts: nobody wants them in the output.
        answer.pop("invocation", None)
        return answer

    def _steps(self, arguments: dict[str, Any], agreed: Agreed) -> list[dict[str, Any]]:
        """The image's steps; takes the arguments that only they need out of ``arguments``."""
        name = arguments.pop("name", None)
        if name not in _NAMES:
            raise AnsibleActionFail(f"gridtie_image: name is {name!r}; it is one of {', '.join(_NAMES)}")
        machine = arguments.pop("machine")
        release, mirror = arguments.pop("release", False), arguments.pop("mirror_url", "")
        variant = arguments.pop("variant", "")
        settings = {
            "prefix": arguments.pop("prefix", "gridtie"),
            "base": arguments.pop("base", "packages"),
            "traces": boolean(arguments.pop("traces", False)),
        }
        artefacts = artefacts_in(arguments.pop("artefacts_file", ""))
        if release:
            return [self._release(artefacts, mirror, variant, name)]
        facts = {"system": machine["system"]["id"], "architecture": machine["architecture"]}
        pinned = agreed.learn or plan.base_image(artefacts, facts["system"])["reference"] in agreed.digests("images")
        settings["base"] = plan.base_source(settings["base"], artefacts, facts["system"], pinned)
        try:
            steps = plan.steps(read_tree(ROOT), artefacts, name, facts, settings)
        except plan.Unbuildable as unbuildable:
            raise AnsibleActionFail(str(unbuildable)) from None
        if "labels" in steps[-1] and (commit := revision(ROOT)):
            # Not in the tag: another commit with the same files makes the same image.
            steps[-1]["labels"]["org.opencontainers.image.revision"] = commit
        return steps

    @staticmethod
    def _release(artefacts: dict[str, Any], mirror: str, variant: str, name: str) -> dict[str, Any]:
        try:
            return plan.release_step(artefacts, mirror, variant, name)
        except plan.Unbuildable as unbuildable:
            raise AnsibleActionFail(str(unbuildable)) from None

    def _environment_of_caller(self, names: tuple[str, ...]) -> dict[str, str]:
        """The caller's package sources, where the caller's machine is the one that is provisioned."""
        if self._connection.transport != "local":
            return {}
        return {name: os.environ[name] for name in names if os.environ.get(name)}

    def _transfer(self, contexts: dict[str, bytes]) -> dict[str, str]:
        """Put each archive on the machine; step name to path there."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        paths = {}
        for name, content in contexts.items():
            target = self._connection._shell.join_path(self._connection._shell.tmpdir, f"{name}.tar.gz")
            with tempfile.NamedTemporaryFile() as local:
                local.write(content)
                local.flush()
                self._transfer_file(local.name, target)
            paths[name] = target
        return paths
