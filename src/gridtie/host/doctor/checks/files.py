"""The station's configuration on disk."""

from __future__ import annotations

from pathlib import Path

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look

_PUBLIC = ("llm_routing.yaml", "models.yaml", "prices.json", "station.json")
_SECRET = ("keys.json", "station.key")
_DRAINING = (
    "the engine is being upgraded, and requests of other stations are refused until it is done (`draining` in "
    "station.json); if no upgrade is running, one was killed: run it again, or `make site`, which lets them in"
)


def station(look: Look) -> Finding:
    found = look.station
    engine = found["engine"]
    names = ", ".join(model["name"] for model in found["models"])
    if not found["models"]:
        return bad("no model", "at least the smoke-test model", "run `make site`")
    said = f"gridtie {found['version']}, {engine['kind']} {engine['version']} ({engine['mode']}), {names}"
    return good(said, warning=_DRAINING if found.get("draining") else "")


def present(look: Look) -> Finding:
    there = set(look.probe.names(look.config_dir))
    missing = [name for name in (*_PUBLIC, *_SECRET) if name not in there]
    if missing:
        return bad(f"missing in {look.config_dir}: {', '.join(missing)}", "all of them", "run `make site`")
    return good(f"{len(_PUBLIC) + len(_SECRET)} files in {look.config_dir}")


def secret(look: Look) -> Finding:
    owner = "whose station it is" if look.probe.mac else "root"
    wanted = f"owned by {owner}, nothing for other users, not writable by the group"
    directory = look.config_dir / "secrets"
    try:
        keys = [directory / name for name in look.probe.names(directory)]
    except FileNotFoundError:
        keys = []
    open_ones = [text for path in (*(look.config_dir / name for name in _SECRET), *keys) if (text := _open(look, path))]
    if open_ones:
        return bad("; ".join(open_ones), wanted, "chown root:gridtie and chmod 0640 them, or run `make site`")
    return good(f"{len(_SECRET) + len(keys)} files with keys are closed to other users", wanted)


def _open(look: Look, path: Path) -> str:
    """What is wrong with a secret file's owner and mode; "" if nothing is."""
    owned = look.probe.owned(path)
    if owned.uid != look.keeper:
        return f"{path} belongs to user {owned.uid}"
    return f"{path} has mode {owned.mode:04o}" if owned.mode & 0o027 else ""


CHECKS = (
    Check("config.station", "the playbook's record of this station", station),
    Check("config.files", "every configuration file is there", present),
    Check("config.secrets", "keys are readable to nobody else", secret, needs=("config.files",)),
)
