"""A native engine: the service of systemd that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look

# Property of the unit -> what it must say. What would take away a graphics card is not among them.
_HARD = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
}
# "tmpfs" where directories of the station lie below a home: those are bound in.
_HOMES_HIDDEN = ("yes", "tmpfs")
_UNLIMITED = ("", "infinity", "18446744073709551615")


def running(look: Look) -> Finding:
    if not look.native:
        return good("the engine runs in a container")
    unit, state = look.engine["unit"], look.service
    wanted = "active, and started with the machine"
    if state.get("ActiveState") != "active":
        found = f"{unit} is {state.get('ActiveState', 'not there')} ({state.get('Result', 'no result')})"
        return bad(found, wanted, f"see `{look.log}`; `make site` starts it")
    if state.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "alias"):
        fix = "run `make site`" if look.probe.mac else f"sudo systemctl enable {unit}"
        return bad(f"{unit} is {state.get('UnitFileState')}", wanted, fix)
    return good(f"{unit} is active ({state.get('UnitFileState')})", wanted)


def program(look: Look) -> Finding:
    """The unit starts what `current` leads to; that must be the release that was installed last."""
    if (left := _left_alone(look)) is not None:
        return left
    wanted = str(look.engine["tree"])
    found = look.probe.resolved(Path(wanted).parent / "current")
    if str(found) != wanted or f"{Path(wanted).parent}/current/" not in look.service.get("ExecStart", ""):
        return bad(f"{found}; started as {look.service.get('ExecStart', '')[:120]}", wanted, "run `make site`")
    start = found / str(look.engine.get("program") or "bin/ollama")
    owned = look.probe.owned(start)
    if owned.uid != look.keeper or owned.mode & 0o022:
        owner = "the person" if look.probe.mac else "root"
        return bad(f"others than {owner} may change {start}", f"{owner}'s, and read-only", "run `make site`")
    return good(str(found), wanted)


def hardened(look: Look) -> Finding:
    if (left := _left_alone(look)) is not None:
        return left
    if look.probe.mac:
        return good("launchd confines no agent: it runs as the person whose station this is")
    soft = [f"{name}={look.service.get(name)}" for name, value in _HARD.items() if look.service.get(name) != value]
    soft += [f"ProtectHome={home}"] if (home := look.service.get("ProtectHome")) not in _HOMES_HIDDEN else []
    soft += ["runs as root"] if look.service.get("User") in ("", "root", "0", None) else []
    soft += ["runs as the router's user"] if look.service.get("UID") == look.user_of("router") else []
    soft += ["no memory limit"] if look.service.get("MemoryMax", "") in _UNLIMITED else []
    wanted = "an own user, no capabilities, a system that it cannot write, a memory limit"
    if soft:
        return bad("; ".join(soft), wanted, look.unit_fix)
    return good(f"{look.engine['unit']} is hardened as declared", wanted)


def _left_alone(look: Look) -> Optional[Finding]:
    """What is said where there is no service of ours."""
    if not look.native:
        return good("the engine runs in a container")
    if look.engine.get("adopted"):
        return good(f"{look.engine['unit']} was here before and stays as it is")
    return None


CHECKS = (
    Check("service.running", "the engine's service runs", running, needs=("config.station",)),
    Check("service.program", "it runs the release that was installed", program, needs=("service.running",)),
    Check("service.hardened", "it is hardened as declared", hardened, needs=("service.running", "containers.exist")),
)
