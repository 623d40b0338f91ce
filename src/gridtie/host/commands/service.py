"""`gridtie stop`, `start` and `logs`: the station's engine and router as one thing."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from argparse import Namespace
from typing import Any, List, Sequence

from gridtie.host.command import Ran, run_command
from gridtie.host.doctor.look import Look, NotThere
from gridtie.host.machine import launchd
from gridtie.host.paths import StationError
from gridtie.host.router import Unreachable, send
from gridtie.host.turn_over import turn_over

from .doctor import this_machine

# Longer than the router gives answers that are under way (GRIDTIE_DRAIN_SECONDS): what is left then is killed.
_GRACE_S = 30
_STOP_S = 90.0
# Until the engine has answered the router.
_READY_S = 120.0


def register(commands: Any) -> None:
    """Add the three commands to the parser's sub-commands."""
    stop = commands.add_parser(
        "stop",
        help="stop engine and router, so that the memory is free until `gridtie start`",
        description="Answers that are under way get 25 seconds. Needs sudo, but on a Mac. A boot starts an "
        "engine that is a service again; containers stay stopped.",
    )
    stop.set_defaults(run=run_stop)
    start = commands.add_parser("start", help="start engine and router again, and wait until they serve")
    start.set_defaults(run=run_start)
    logs = commands.add_parser("logs", help="the router's log, or the engine's")
    logs.add_argument("part", nargs="?", choices=("router", "engine"), default="router", help="default: router")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("--last", type=int, default=100, metavar="LINES", help="default: 100")
    logs.set_defaults(run=run_logs)


class StationRouter:
    """The router's container alone."""

    def __init__(self) -> None:
        """Raises `StationError`."""
        self._look = _station()
        self._name = self._look.containers["router"]

    def running(self) -> bool:
        """Raises `StationError`."""
        ran = self._look.docker("inspect", "--type", "container", "--format", "{{.State.Running}}", self._name)
        if _is_gone(ran):
            return False
        _done(ran)
        return ran.out.strip() == "true"

    def stop(self) -> None:
        """Answers that are under way are finished. Raises `StationError`."""
        ran = self._look.docker("stop", "--time", str(_GRACE_S), self._name, timeout=_STOP_S)
        if not _is_gone(ran):
            _done(ran)

    def start(self) -> None:
        """And wait until it serves. Raises `StationError`."""
        _done(self._look.docker("start", self._name, timeout=_STOP_S))
        reasons = _wait(self._look.endpoint)
        if reasons:
            raise StationError(f"the router runs, and does not serve yet: {reasons}; `sudo gridtie doctor` says more")


def run_stop(_: Namespace) -> int:
    """The router first, so that nobody asks an engine that is gone."""
    look = _station()
    # Whoever removed it still wants the engine's memory.
    StationRouter().stop()
    if _ours(look):
        _done(_engine(look, "stop"))
        sys.stdout.write("Engine and router are stopped; `sudo gridtie start` starts them again.\n")
    else:
        sys.stdout.write("The router is stopped. The engine was here before the station and stays as it is.\n")
    return 0


def run_start(_: Namespace) -> int:
    """1 where they run and do not serve in time."""
    look = _station()
    if look.probe.mac:
        turn_over(look.state_dir / "engine.log")
    if _ours(look):
        _done(_engine(look, "start"))
    _done(look.docker("start", look.containers["router"], timeout=_STOP_S))
    reasons = _wait(look.endpoint)
    if reasons:
        sys.stderr.write(f"gridtie: they run, and do not serve yet: {reasons}; `sudo gridtie doctor` says more\n")
        return 1
    sys.stdout.write(f"{look.endpoint} is ready.\n")
    return 0


def run_logs(args: Namespace) -> int:
    """The program that has the log writes it itself."""
    look = _station()
    command = _log_of(look, args.part, args.last, follow=args.follow)
    try:
        status = subprocess.run(command, check=False).returncode
    except FileNotFoundError:
        raise StationError(f"there is no {command[0]} here") from None
    if status and os.geteuid() != 0:
        sys.stderr.write("gridtie: the log is root's to read, unless this user may ask Docker: sudo gridtie logs\n")
    return 2 if status else 0


def _station() -> Look:
    """Raises `StationError` where there is none, or not one that this user may read."""
    look = this_machine(False)
    try:
        look.containers  # noqa: B018 (what is not there is told here)
    except NotThere as error:
        raise StationError(f"{error}; {error.fix}") from None
    except KeyError as error:
        raise StationError(f"station.json of {look.config_dir} has no {error}; run `make site`") from None
    return look


def _unit(look: Look) -> str:
    """Raises `StationError` where the engine is nobody's service, such as one that was here before."""
    unit = str(look.engine.get("unit") or "")
    if not unit:
        raise StationError("the engine is no service of this machine: whoever started it has its log, and can end it")
    return unit


def _log_of(look: Look, part: str, last: int, *, follow: bool) -> List[str]:
    going_on = ["--follow"] if follow else []
    if part == "engine" and look.native:
        if look.probe.mac:
            return ["tail", "-n", str(last), *(["-f"] if follow else []), f"{look.state_dir}/engine.log"]
        unit = _unit(look)
        return ["journalctl", "--no-pager", "--unit", unit, "--lines", str(last), *going_on]
    return look.docker_argv("logs", "--tail", str(last), *going_on, look.containers[part])


def _ours(look: Look) -> bool:
    """Whether the engine belongs to the station; an Ollama that was here before serves others as well."""
    return look.engine.get("source") != "adopted"


def _engine(look: Look, verb: str) -> Ran:
    if not look.native:
        return look.docker(verb, look.containers["engine"], timeout=_STOP_S)
    unit = _unit(look)
    if look.probe.mac:
        # It is an agent of the person's, also where sudo was used.
        user = int(os.environ.get("SUDO_UID") or os.getuid())
        domain = f"gui/{user}"
        plist = f"{pwd.getpwuid(user).pw_dir}/{launchd.AGENTS}/{unit}.plist"
        words = ["bootout", f"{domain}/{unit}"] if verb == "stop" else ["bootstrap", domain, plist]
        return run_command(["launchctl", *words], timeout=_STOP_S)
    return run_command(["systemctl", verb, unit], timeout=_STOP_S)


def _is_gone(ran: Ran) -> bool:
    return "no such container" in ran.err.lower()


def _done(ran: Ran) -> None:
    """Raises `StationError` with what the program said."""
    if ran.status != 0:
        said = ran.err.strip().splitlines()[-1:] or [f"exit status {ran.status}"]
        raise StationError(f"{said[0][:300]}; run it with sudo, and see `sudo gridtie doctor`")


def _wait(endpoint: str) -> str:
    """Why it does not serve at the end of the time; "" as soon as it does."""
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            told = send("GET", f"{endpoint}/readyz", timeout=5.0).json() or {}
            reasons: Sequence[str] = [] if told.get("status") == "ready" else told.get("reasons") or ["no reason told"]
        except Unreachable as error:
            reasons = [str(error)]
        if not reasons or time.monotonic() > deadline:
            return "; ".join(reasons)
        time.sleep(0.5)
