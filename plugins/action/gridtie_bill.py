"""One bill for all hosts of a play, on the controller: which month, then what the hosts handed over, added up."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.gridtie_asked import why_absent
from ..plugin_utils.gridtie_collection import package


class ActionModule(ActionBase):
    """Arguments: ``state`` and ``month``. ``begun`` returns ``month``, ``utc_offset`` and a ``directory`` for what
    hosts hand over; ``made`` takes these, ``asked`` (the hosts), ``target`` (a directory), ``close`` and ``reopen``.
    """

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Begin, or make the bill and its files; fails where a private request reached a cloud."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        question, zones, local_time = map(
            package, ("gridtie.report.question", "gridtie.ledger.zone", "gridtie.host.local_time")
        )
        now = time.time()
        month = str(given["month"] or time.strftime("%Y-%m", time.localtime(now)))
        offset = local_time.zone_since(f"{month}-01", now) or "0"
        try:
            began, ends = question.month(month, zones.Zone.read(offset))
        except question.QuestionError as error:
            raise AnsibleActionFail(f"gridtie_report_month: {error}") from None
        if began >= now:
            raise AnsibleActionFail(f"gridtie_report_month: {month} has not begun")
        if given["state"] == "begun":
            directory = tempfile.mkdtemp(prefix="gridtie-report-")
            return {**result, "changed": False, "month": month, "utc_offset": offset, "directory": directory}
        try:
            return {**result, **self._made(month, ends, now, task_vars or {})}
        except question.QuestionError as error:
            raise AnsibleActionFail(str(error)) from None

    def _made(self, month: str, ends: float, now: float, task_vars: dict[str, Any]) -> dict[str, Any]:
        fleet, files, told = (package(f"gridtie.report.{name}") for name in ("fleet", "fleet_files", "fleet_told"))
        given = self._task.args
        handed_over = Path(given["directory"])
        target = Path(given["target"]).expanduser().absolute()
        try:
            documents, absent = [], []
            for host in given["asked"]:
                file = handed_over / f"{host}.json"
                if file.is_file():
                    documents.append((host, file))
                else:
                    absent.append(fleet.Missing(host, why_absent(task_vars.get("hostvars", {}), host)))
            # One bill is for all of them: what closes a month must not depend on how the run was narrowed.
            others = [host for host in task_vars.get("groups", {}).get("all", ()) if host not in given["asked"]]
            absent += [fleet.Missing(host, "it was not asked, since --limit left it out") for host in others]
            raws = ((host, file.read_bytes()) for host, file in documents)
            found = fleet.bill(raws, absent, month, ends, now)
        finally:
            shutil.rmtree(handed_over, ignore_errors=True)
        kept = files.keep(found, target, close=bool(given["close"]), reopen=bool(given["reopen"]))
        alarm = kept.bill["words"]["alarm"]
        missing = [each["host"] for each in found["missing"]]
        return {
            "changed": kept.written,
            "failed": bool(alarm),
            **({"msg": alarm} if alarm else {}),
            "notices": kept.notices,
            "stage_note": f"{month}: {len(found['hosts'])} of {len(found['hosts']) + len(missing)} hosts"
            + (f", without {', '.join(missing)}" if missing else ""),
            "summary": f"{told.text(kept.bill)}\nIn {target}/{month}.html, .csv, .json and .txt",
            "missing": found["missing"],
        }
