"""Backups that are made by themselves, where the inventory wants that."""

from __future__ import annotations

from typing import Mapping

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look


def timer(look: Look) -> Finding:
    """A backup that failed is a warning: no run of the playbook makes room on a disk."""
    directory = str(look.station.get("backup_directory") or "")
    if not directory:
        return good("no backup is made by itself (gridtie_backup_directory)")
    name = f"{look.station['project']}-backup"
    state = _shown(look, f"{name}.timer").get("ActiveState", "not there")
    wanted = "a timer that is active, and a backup that went well"
    if state != "active":
        return bad(f"{name}.timer is {state}", wanted, f"run `{look.site_command}`")
    result = _shown(look, f"{name}.service").get("Result", "success")
    if result != "success":
        warning = f"the last backup failed ({result}): `journalctl -u {name}` says why"
        return good(f"{name}.timer is active", wanted, warning)
    return good(f"{name}.timer is active, into {directory}", wanted)


def _shown(look: Look, unit: str) -> Mapping[str, str]:
    ran = look.probe.run(["systemctl", "show", "--property=ActiveState,Result", unit])
    return dict(line.split("=", 1) for line in ran.out.splitlines() if "=" in line)


CHECKS = (Check("backup.timer", "backups are made as declared", timer, needs=("config.station",)),)
