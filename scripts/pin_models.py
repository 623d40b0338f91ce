#!/usr/bin/env python3
"""Pin models: ask their sources for digests and write them into config/models.lock.yaml.

    make pins MODELS="qwen2.5-coder:7b llama3.2:3b"     these; without MODELS the whole catalogue
    make pins ARGS="--registry https://mirror.example"  from a mirror
    make pins ARGS="--from /var/lib/gridtie/models/pins.json"   what a station recorded at first use

Exit status: 0 done, 1 something could not be asked (the rest is written), 2 asked wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from gridtie.catalogue import load, load_lock
from gridtie.catalogue.pin import adopt, update, write
from gridtie.host.catalogue import CatalogueError, parse_lock
from gridtie.host.models.download import Fetcher
from gridtie.host.models.sources import Means

CONFIG = Path(__file__).resolve().parents[1] / "config"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the digests of models into config/models.lock.yaml.")
    parser.add_argument("names", nargs="*", metavar="MODEL", help="names of the catalogue (default: all)")
    parser.add_argument("--registry", default="https://registry.ollama.ai", help="default: %(default)s")
    parser.add_argument("--from", dest="station", type=Path, metavar="FILE", help="take over a station's pins.json")
    parser.add_argument("--lock", type=Path, default=CONFIG / "models.lock.yaml", help=argparse.SUPPRESS)
    args = parser.parse_args()
    pins, problems = load_lock(args.lock), []
    try:
        if args.station:
            pins = adopt(pins, parse_lock(json.loads(args.station.read_text(encoding="utf-8"))))
        else:
            with tempfile.TemporaryDirectory() as scratch:
                fetcher = Fetcher(os.environ.get("SSL_CERT_FILE", ""))
                means = Means(Path(scratch), args.registry, fetcher, progress=_say)
                pins, problems = update(load(CONFIG / "models.yaml"), pins, args.names, means, _say)
    except KeyError as error:
        parser.error(str(error.args[0]))
    except (OSError, ValueError, CatalogueError) as error:
        parser.error(f"{args.station or args.lock}: {error}")
    _say(f"{args.lock.name}: {'written' if write(args.lock, pins) else 'nothing changed'}")
    for problem in problems:
        _say(problem)
    return 1 if problems else 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
