"""`gridtie models accept`: let a model of this station show again what it can."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Mapping

from gridtie.host.acceptance.memory import TOLERANCE, TOLERANCE_ON_CARDS
from gridtie.host.acceptance.record import FILE, Acceptances, as_json
from gridtie.host.acceptance.run import LIMIT_S, accept, told
from gridtie.host.command import run_command
from gridtie.host.gpu import read_survey
from gridtie.host.models import standing
from gridtie.host.models.proof import at_host, from_host
from gridtie.host.models.served import write_served
from gridtie.host.models.station_docker import StationDocker
from gridtie.host.paths import StationError, config_dir, read_station, state_dir


def register(below: Any) -> None:
    """Add it to the parser of `gridtie models`."""
    parser = below.add_parser(
        "accept",
        help="let a model show what it can: schema, tools, context, memory",
        description="Asks the engine itself, past the router; doctor, choice and router go by what it found. "
        "Exit status: 1 a check failed, 2 usage or connection error. Needs sudo.",
    )
    parser.add_argument("name", metavar="NAME", help="as the station, the catalogue or the engine calls it")
    parser.add_argument("--seconds", type=_seconds, default=LIMIT_S, metavar="S", help="for all checks (default: 120)")
    parser.add_argument("--json", action="store_true", help="the record as it is kept")
    parser.set_defaults(run=_accept)


def _accept(args: argparse.Namespace) -> int:
    config = config_dir(os.environ)
    station = read_station(config)
    model, engine = _model(station, args.name), station["engine"]
    kind, version = str(engine["kind"]), str(engine.get("version", ""))
    directory = state_dir(os.environ) / "models"
    if not os.access(directory, os.W_OK):
        raise StationError(f"{directory} may not be written by this user; run it with sudo")
    found = accept(
        model,
        _url(station, str(model["url"])),
        kind,
        version,
        Acceptances(directory / FILE),
        limit_s=args.seconds,
        again=True,
        tolerance=TOLERANCE_ON_CARDS if _graphics(directory) else TOLERANCE,
        say=_progress,
    )
    served = read_station(config)["models"]
    write_served(config, [found.told_of(each) if found.is_of(each, kind, version) else each for each in served])
    if args.json:
        sys.stdout.write(as_json(found) + "\n")
    else:
        outcome = "accepted" if found.accepted else "not accepted"
        sys.stdout.write("\n".join([*told(found), f"{found.model}: {outcome} ({found.seconds:.0f} s)"]) + "\n")
    return 0 if found.accepted else 1


def _progress(line: str) -> None:
    sys.stderr.write(line + "\n")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (found := float(text)) < float("inf"):
            return found
    raise argparse.ArgumentTypeError(f"a number of seconds above 0 was expected, this is {text!r}")


def _graphics(models_dir: Path) -> bool:
    """Whether the engine computes on graphics: as the playbook found; of a station of before, as the machine looks."""
    with suppress(OSError, ValueError, KeyError):
        return bool(standing.load(models_dir)["graphics"])
    return sys.platform == "darwin" or bool(read_survey(Path("/"), platform.machine()).expected)


def _model(station: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for model in station["models"]:
        if name in (model["name"], model.get("catalogue")):
            return dict(model)
    here = ", ".join(str(model.get("catalogue") or model["name"]) for model in station["models"])
    raise StationError(f"this station has no model {name!r}; it has: {here}")


def _url(station: Mapping[str, Any], url: str) -> str:
    """The engine as this machine reaches it. A container publishes no port, and has an address of its own here."""
    engine = station["engine"]
    if engine.get("mode") == "native":
        return from_host(url)
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    ran = StationDocker(station, run_command).command("inspect", "--format", form, str(engine["container"]))
    if not ran.out.split():
        said = ran.err.strip()[:200] or "it has no address"
        raise StationError(f"the engine's container {engine['container']} cannot be reached from here: {said}")
    return at_host(url, ran.out.split()[0])
