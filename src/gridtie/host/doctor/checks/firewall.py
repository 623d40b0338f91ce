"""Who reaches the station from other machines: the rules are those that the inventory declares, now and at boot."""

from __future__ import annotations

from typing import Any, Mapping

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.firewall import firewall

# Where distributions have it; it is not on the PATH of everybody.
_NFT = "/usr/sbin/nft"
_FIX = "run `make site`; `journalctl -u {unit}` says what became of it; a program that empties all tables unloads it"


def in_force(look: Look) -> Finding:
    declared: Mapping[str, Any] = look.station["expected"].get("firewall") or {}
    if not declared:
        return good("no rules of its own (gridtie_firewall): whoever the network lets reaches what listens")
    unit, table = str(declared["unit"]), str(declared["table"])
    wanted = f"port {', '.join(map(str, declared['ports']))} from {', '.join(declared['ranges'])} alone"
    fix = _FIX.format(unit=unit)
    ran = look.probe.run([_NFT, "--stateless", "list", "table", "inet", table])
    if "Operation not permitted" in ran.err:
        return bad("this user may not see the rules", wanted, "run it with sudo")
    if ran.status != 0:
        return bad(f"the table inet {table} is not loaded: {' '.join(ran.err.split())[:200]}", wanted, fix)
    if amiss := firewall(table, declared["ports"], declared["ranges"]).amiss(ran.out):
        return bad(f"the table inet {table}: {'; '.join(amiss)}", wanted, fix)
    shown = look.probe.run(["systemctl", "show", "--property=ActiveState,UnitFileState", unit])
    state = dict(line.split("=", 1) for line in shown.out.splitlines() if "=" in line)
    if state.get("ActiveState") != "active" or state.get("UnitFileState") != "enabled":
        told = f"{state.get('ActiveState', 'not there')}, {state.get('UnitFileState') or 'not there'} at boot"
        return bad(f"the rules are loaded, and {unit} is {told}", wanted, fix)
    return good(wanted)


CHECKS = (
    Check("network.firewall", "other machines reach it from where it was declared", in_force, ("config.station",)),
)
