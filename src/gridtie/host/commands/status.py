"""`gridtie` alone, or `gridtie status`: the station on one screen."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional

from gridtie.host.ledger_file import ledger_file
from gridtie.host.local_time import zone_since
from gridtie.host.models.served_speed import tokens_per_second
from gridtie.host.paths import StationError, config_dir, find, home_of, read_station
from gridtie.host.printable import printable
from gridtie.host.router import Declined, Router, Unreachable, send
from gridtie.host.table import table
from gridtie.host.version import __version__

# How a station's own model is named in a target.
_OWN = "station/gridtie/"


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "status",
        help="the station on one screen: what runs, what answers which name, today's requests; also `gridtie` alone",
    )
    parser.add_argument("--json", action="store_true", help="{endpoint, ready, reasons, engine, models, today}")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """1 where the router cannot serve."""
    try:
        found = _look()
    except Unreachable as error:
        raise Unreachable(
            f"{error}; `sudo gridtie start` starts what was stopped, `sudo gridtie doctor` says more"
        ) from None
    sys.stdout.write((json.dumps(found, indent=2) if args.json else printable(text(found))) + "\n")
    return 0 if found["ready"] else 1


def text(found: Mapping[str, Any]) -> str:
    """The screen."""
    ready = "ready" if found["ready"] else "cannot serve"
    lines = [f"Gridtie {__version__}   {found['endpoint']}/v1   {ready}"]
    if found["engine"]:
        lines.append(f"Engine    {found['engine']}")
    lines += [f"Warning   {reason}" for reason in found["reasons"]]
    if found["models"]:
        head = ("MODEL", "ANSWERED BY", "CONTEXT", "TOKENS/S")
        rows = [(row["name"], row["served_by"], row["context"], row["speed"]) for row in map(_cells, found["models"])]
        lines += ["", table(head, rows, right=(2, 3))]
    lines += ["", f"Today     {_today(found['today'])}", "", *_next(found)]
    return "\n".join(lines)


def _look() -> Dict[str, Any]:
    """Raises `StationError`, `Unreachable`."""
    endpoint = find(os.environ, home_of(os.environ))
    router = Router(endpoint.url, endpoint.key)
    headers = {"Authorization": f"Bearer {endpoint.key}"}
    readiness = send("GET", f"{endpoint.url}/readyz", headers=headers).json() or {}
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    since = midnight.isoformat(timespec="seconds").replace("+", "%2B")
    usage = router.get(f"/gridtie/usage?since={since}&utc_offset={zone_since('24h', time.time())}")
    return {
        "endpoint": endpoint.url,
        "ready": readiness.get("status") == "ready",
        "reasons": [*readiness.get("reasons", ()), *_config_problems(router)],
        "engine": _engine(),
        "models": _models(router.get("/v1/models")["data"]),
        "today": usage["totals"],
    }


def _config_problems(router: Router) -> List[str]:
    """What is wrong with the files as they are, for those who may know."""
    try:
        told = router.get("/gridtie/config")
    except Declined:
        return []
    return [str(each) for each in (told.get("error"), *(told.get("warnings") or ())) if each]


def _engine() -> str:
    """Which engine it is, where this user may read that."""
    try:
        engine = read_station(config_dir(os.environ)).get("engine") or {}
    except StationError:
        return ""
    return " ".join(str(engine[name]) for name in ("kind", "version", "mode") if engine.get(name))


def _models(rows: List[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """The names that people ask for, with what answers them here and how fast that was in use."""
    speeds = tokens_per_second(ledger_file(os.environ))
    found = []
    for row in rows:
        told = row.get("gridtie") or {}
        if told.get("kind") != "alias":
            continue
        served = str(told.get("served_by") or "")
        speed: Optional[float] = speeds.get(served[len(_OWN) :]) if served.startswith(_OWN) else None
        found.append({"name": row["id"], "served_by": served, "context": told.get("context"), "tokens_per_s": speed})
    return found


def _cells(model: Mapping[str, Any]) -> Dict[str, str]:
    context, speed = model["context"], model["tokens_per_s"]
    return {
        "name": model["name"],
        "served_by": model["served_by"] or "as the rules say",
        "context": f"{context:,}" if context else "not known",
        "speed": f"{speed:.0f}" if speed else "not measured",
    }


def _today(totals: Mapping[str, Any]) -> str:
    if not totals.get("requests"):
        return "no requests yet"
    cost, avoided = totals.get("cost_usd") or 0.0, totals.get("saved_usd")
    told = f"; list price avoided ${avoided:.4f}, quality unknown" if avoided else ""
    where = f"{totals.get('local_requests', 0)} here, {totals.get('cloud_requests', 0)} at a cloud"
    tokens = f"{totals['input_tokens']:,} tokens in, {totals['output_tokens']:,} out"
    return f"{totals['requests']} requests, {where}; {tokens}; spent ${cost:.4f}{told}"


def _next(found: Mapping[str, Any]) -> List[str]:
    if not found["ready"]:
        return ["Next      sudo gridtie doctor     what is wrong, and what to do"]
    return [
        "Next      gridtie chat            ask it something",
        "          gridtie connect         connect an editor or an agent to it",
        "          gridtie requests        what was asked last, and where it went",
    ]
