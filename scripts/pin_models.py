#!/usr/bin/env python3
"""Pin models: ask their sources for digests and write them into config/models.lock.yaml, or into an inventory's lock.

    make pins MODELS="qwen2.5-coder:7b llama3.2:3b"     these; without MODELS the whole catalogue
    make pins ARGS="--registry https://mirror.example"  from a mirror
    make pins ARGS="--into inventories/team/gridtie.lock.yaml"  for the hosts of one inventory
    make pins ARGS="--from FILE"   what a station recorded: its former pins.json, or the lock of an inventory

Exit status: 0 done, 1 something could not be asked (the rest is written), 2 asked wrongly.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from gridtie import lock
from gridtie.catalogue import Pin, load, load_lock
from gridtie.catalogue.pin import adopt, documents, update, write
from gridtie.host.catalogue import CatalogueError, parse_lock
from gridtie.host.models.download import Fetcher
from gridtie.host.models.sources import Means

CONFIG = Path(__file__).resolve().parents[1] / "config"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the digests of models into config/models.lock.yaml.")
    parser.add_argument("names", nargs="*", metavar="MODEL", help="names of the catalogue (default: all)")
    parser.add_argument("--registry", default="https://registry.ollama.ai", help="default: %(default)s")
    parser.add_argument("--from", dest="recorded", type=Path, metavar="FILE", help="take over a pins.json, or a lock")
    parser.add_argument("--into", type=Path, metavar="LOCK", help="write into the lock of an inventory instead")
    parser.add_argument("--lock", type=Path, default=CONFIG / "models.lock.yaml", help=argparse.SUPPRESS)
    args = parser.parse_args()
    project, problems = load_lock(args.lock), []
    try:
        before = _of_lock(args.into) if args.into else project
        if args.recorded:
            pins = adopt(before, _recorded(args.recorded))
        else:
            with tempfile.TemporaryDirectory() as scratch:
                fetcher = Fetcher(os.environ.get("SSL_CERT_FILE", ""))
                means = Means(Path(scratch), args.registry, fetcher, progress=_say)
                pins, problems = update(load(CONFIG / "models.yaml"), before, args.names, means, _say)
        written = _write_into(args.into, before, pins, project) if args.into else write(args.lock, pins)
    except KeyError as error:
        parser.error(str(error.args[0]))
    except (OSError, ValueError, CatalogueError, lock.LockError) as error:
        parser.error(str(error))
    _say(f"{(args.into or args.lock).name}: {'written' if written else 'nothing changed'}")
    for problem in problems:
        _say(problem)
    return 1 if problems else 0


def _of_lock(path: Path) -> dict[str, Pin]:
    return parse_lock({"schema": 1, "models": lock.read(path).digests("models")})


def _recorded(path: Path) -> dict[str, Pin]:
    """The models of a lock, or of a station's pins.json, which says less in the same way."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return _of_lock(path) if isinstance(document, dict) and "images" in document else parse_lock(document)


def _write_into(path: Path, before: Mapping[str, Pin], pins: Mapping[str, Pin], project: Mapping[str, Pin]) -> bool:
    """Write what is new. What the project pins itself counts before any lock, and stays out of it."""
    new = {name: pin for name, pin in pins.items() if pin != before.get(name) and name not in project}
    return lock.pin(path.absolute(), {"models": documents(new)})


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
