"""One table of what `gridtie bench` measured on all hosts of a play, on the controller."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.gridtie_asked import why_absent
from ..plugin_utils.gridtie_collection import package


class ActionModule(ActionBase):
    """Arguments: ``asked`` (the hosts) and ``target`` (a directory)."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the table and its files; fails where nothing at all was measured."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, known = self._task.args, (task_vars or {}).get("hostvars", {})
        fleet, new_file = package("gridtie.bench.fleet"), package("gridtie.host.new_file")
        found = fleet.table_of([told(known, host, fleet) for host in given["asked"]], time.time())
        target = Path(given["target"]).expanduser().absolute()
        name = f"bench-{found['made'].replace(':', '').replace('+0000', 'Z')}"
        try:
            target.mkdir(parents=True, exist_ok=True)
            new_file.put(target / f"{name}.html", fleet.page(found))
            new_file.put(target / f"{name}.json", json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            raise AnsibleActionFail(f"{target} cannot be written: {error.strerror}; see gridtie_report_dir") from None
        measured = [row for row in found["rows"] if not row["problem"]]
        off = sorted({row["host"] for row in measured if row["off"]})
        return {
            **result,
            "changed": True,
            "failed": not measured,
            **({} if measured else {"msg": "nothing was measured on any host; the table says why"}),
            "stage_note": f"{len(measured)} measured" + (f"; off the prediction: {', '.join(off)}" if off else ""),
            "summary": f"{fleet.text(found)}\nIn {target}/{name}.html and .json",
            "rows": found["rows"],
        }


def told(known: Any, host: str, fleet: Any) -> Any:
    """What a host's tasks left among its variables, as the table takes it."""
    facts = known.get(host, {})
    measured = (facts.get("_fleet_measured") or {}).get("results")
    if facts.get("_fleet_told") or measured is None:
        return fleet.Host(host, why=why_absent(known, host))
    if not facts.get("gridtie_station"):
        return fleet.Host(host, why="no station is there (station.json is not there): run site.yml against it")
    results = (facts.get("_fleet_results") or {}).get("results") or [{}] * len(measured)
    runs = [
        fleet.Ran(
            str(each["model"]),
            json.loads(base64.b64decode(taken["content"])) if taken.get("content") else {},
            ((each.get("stderr_lines") or [""])[-1] or str(each.get("msg", ""))).removeprefix("gridtie: "),
        )
        for each, taken in zip(measured, results, strict=True)
    ]
    return fleet.Host(
        host,
        models=list(facts["gridtie_station"]["models"]),
        runs=runs,
        predicted=_json(facts.get("_fleet_fit")),
        examined=_json(facts.get("_fleet_doctor")),
    )


def _json(ran: Any) -> dict[str, Any]:
    """What a command printed; nothing where it printed no JSON."""
    try:
        found = json.loads((ran or {}).get("stdout") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
