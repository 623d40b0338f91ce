"""The checks of a run as JUnit XML, whatever the run comes to."""

from __future__ import annotations

import os
import shutil
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

from ..plugin_utils.gridtie_junit import Host, document

DOCUMENTATION = """
name: gridtie_junit
type: notification
short_description: The checks of `verify` as JUnit XML
description:
  - Writes the file that the environment variable GRIDTIE_JUNIT names; without it, nothing.
  - A suite for each host. The doctor's checks and the tests from outside are cases; so is a task that failed, and a
    host that could not be reached.
"""

# Where the tests of each host leave what pytest wrote, for the roles.
PARTS = "GRIDTIE_JUNIT_PARTS"


class CallbackModule(CallbackBase):
    """Listens, and writes at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "gridtie_junit"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = os.environ.get("GRIDTIE_JUNIT", "")
        self._hosts: dict[str, Host] = {}
        self._parts = ""

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """What an earlier run said is gone from here on, also if this one is killed."""
        if self._file:
            Path(self._file).unlink(missing_ok=True)
            self._parts = os.environ[PARTS] = tempfile.mkdtemp(prefix="gridtie-junit-")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._hear_checks(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._hear_checks(result)
        if self._file and not ignore_errors:
            self._add_failure(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._file:
            self._add_failure(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it, and remove the parts."""
        if not self._file:
            return
        for name in stats.processed:
            host = self._of(name)
            if not stats.failures.get(name) and not stats.dark.get(name):
                host.failures.clear()  # they were rescued
        target = Path(self._file)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            tree = ET.ElementTree(document(self._hosts, Path(self._parts)))
            ET.indent(tree)
            tree.write(target, encoding="utf-8", xml_declaration=True)
        except OSError as error:
            self._display.error(f"GRIDTIE_JUNIT: {target} cannot be written: {error.strerror}")
        finally:
            shutil.rmtree(self._parts, ignore_errors=True)

    def _of(self, host: Any) -> Host:
        return self._hosts.setdefault(str(host), Host())

    def _hear_checks(self, result: Any) -> None:
        """Take the doctor's report, where the result is one."""
        report = result.result.get("report") if self._file else None
        if isinstance(report, dict) and isinstance(report.get("checks"), list):
            self._of(result.host).checks = report["checks"]

    def _add_failure(self, result: Any) -> None:
        payload = result.result
        message = str(payload.get("msg") or payload.get("stderr") or "")
        if payload.get("_ansible_no_log"):
            message = "hidden: it may hold a secret"
        role = getattr(result.task, "_role", None)
        name = result.task.get_name().rpartition(" : ")[2].strip()
        self._of(result.host).failures.append((role.get_name(False) if role else "", name, message))
