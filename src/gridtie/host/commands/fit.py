"""`gridtie fit`: which models fit this machine, with how much context, how fast, and why not the others."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Mapping

from gridtie.host.catalogue import Catalogue, parse
from gridtie.host.fit.budget import budget_for, budget_in_memory
from gridtie.host.fit.choice import CONTEXTS, CannotChoose, Choice, Wishes, choose_best, judge
from gridtie.host.fit.explain import document, explanation, fits, header, overview
from gridtie.host.fit.memory import GIB, KV_BYTES, Settings
from gridtie.host.fit.placement import Budget
from gridtie.host.machine.detect import this_machine
from gridtie.host.machine.hardware import Hardware, ProfileError, from_document, in_docker
from gridtie.host.models.loaded import read_loaded, virtual_memory
from gridtie.host.paths import StationError, config_dir


def register(commands: Any) -> None:
    """Add the command to the host's parser."""
    parser = commands.add_parser(
        "fit",
        help="which models fit this machine, and why not the others",
        description="Memory need as llama.cpp's server reserves it, against what is free now. Speed is an estimate.",
    )
    parser.add_argument("--why", metavar="MODEL", help="everything about one model")
    parser.add_argument("--context", type=_positive, metavar="TOKENS", help="this context instead of 32K, else 8K")
    parser.add_argument("--parallel", type=_positive, default=1, metavar="N", help="requests at once (default 1)")
    parser.add_argument("--kv-type", choices=sorted(KV_BYTES), default="f16", help="type of the cache (default f16)")
    parser.add_argument("--no-flash-attention", action="store_true", help="count without flash attention")
    parser.add_argument("--engine", choices=("ollama", "embedded"), help="default: the station's, else ollama")
    parser.add_argument("--device", choices=("memory", "graphics"), help="default: graphics where the engine uses it")
    parser.add_argument("--free", type=float, metavar="GIB", help="pretend that this much can be used")
    parser.add_argument("--total", action="store_true", help="as if no other program held memory")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="another machine, recorded with --json")
    parser.add_argument("--catalogue", type=Path, metavar="FILE", help="models.json (default: the station's)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the verdicts. 0: something fits (with --why: that model does); 1: nothing does. Raises StationError."""
    directory = config_dir(os.environ)
    catalogue = _catalogue(args.catalogue or default_catalogue(directory, Path(sys.argv[0])))
    hardware = _recorded(args.profile) if args.profile else _this_machine(directory)
    budget = _budget(hardware, args)
    wishes = _wishes(args, _engine(directory))
    if args.why:
        return _why(args, catalogue, budget, wishes)
    choice = _choice(catalogue, budget, wishes)
    if args.json:
        _print_json({"hardware": hardware.as_document(), "room": asdict(budget), "models": _documents(choice)})
    else:
        sys.stdout.write(header(hardware, budget, wishes) + overview(choice.verdicts))
        sys.stdout.write("\n* chosen by `gridtie_models: auto`   ~ estimated   `gridtie fit --why MODEL` says more\n")
    return 0 if any(fits(verdict) for verdict in choice.verdicts) else 1


def default_catalogue(config: Path, program: Path) -> Path:
    """The station's own catalogue if it has one, else the one that was installed beside this program (bin/, etc/)."""
    own = config / "models.json"
    return own if own.is_file() else program.resolve().parent.parent / "etc" / "models.json"


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on was expected, this is {text!r}")
    return int(text)


def _catalogue(path: Path) -> Catalogue:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return parse(content.get("catalogue", content))
    except FileNotFoundError:
        raise StationError(f"{path} is not there; run `make site`, or name a catalogue with --catalogue") from None
    except PermissionError:
        raise StationError(
            f"{path} may not be read by this user; run it with sudo, or name one with --catalogue"
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise StationError(f"{path} cannot be used: {error}; run `make site` to write it anew") from None


def _engine(directory: Path) -> str:
    """The engine of the station, if one is set up and this user may read what it is."""
    try:
        kind: str = json.loads((directory / "station.json").read_text(encoding="utf-8"))["engine"]["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return "ollama"
    return kind


def _this_machine(directory: Path) -> Hardware:
    try:
        found = replace(this_machine(), loaded=read_loaded(directory))
    except OSError as error:
        raise StationError(f"this machine cannot be looked at: {error}; describe it with --profile") from None
    return in_docker(found, virtual_memory(directory))


def _recorded(path: Path) -> Hardware:
    try:
        return from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ProfileError, TypeError, ValueError) as error:
        raise StationError(
            f"the profile {path} cannot be used: {error}; record one with `gridtie fit --json > FILE` on that machine"
        ) from None


def _budget(hardware: Hardware, args: argparse.Namespace) -> Budget:
    budget = budget_in_memory(hardware) if args.device == "memory" else budget_for(hardware)
    if args.device == "graphics" and budget.name == "memory":
        reasons = "; ".join(f"{card.title}: {card.reason}" for card in hardware.graphics) or "none was found"
        raise StationError(f"no graphics card that the engine would use ({reasons}); leave --device out")
    if args.total:
        budget = _emptied(budget)
    return budget if args.free is None else replace(budget, available=int(args.free * GIB), cards=(), in_use=0)


def _emptied(budget: Budget) -> Budget:
    """The budget when no other program holds any of it."""
    share = budget.in_use / max(1, sum(card.total - card.available for card in budget.cards))
    cards = tuple(
        replace(card, available=card.available + int(share * (card.total - card.available))) for card in budget.cards
    )
    return replace(budget, available=budget.available + budget.in_use, cards=cards, in_use=0)


def _wishes(args: argparse.Namespace, engine: str) -> Wishes:
    flash_attention = not args.no_flash_attention
    if args.kv_type != "f16" and not flash_attention:
        raise StationError(f"a {args.kv_type} cache needs flash attention: leave out --no-flash-attention")
    settings = Settings(0, args.parallel, args.kv_type, flash_attention, args.engine or engine)
    contexts = (args.context,) if args.context else CONTEXTS
    return Wishes(settings=settings, contexts=contexts, together=settings.engine == "embedded")


def _choice(catalogue: Catalogue, budget: Budget, wishes: Wishes) -> Choice:
    try:
        return choose_best(catalogue, budget, wishes)
    except CannotChoose:
        return Choice(tuple(judge(model, budget, wishes) for model in catalogue.models.values()))


def _why(args: argparse.Namespace, catalogue: Catalogue, budget: Budget, wishes: Wishes) -> int:
    try:
        model = catalogue.find(args.why)
    except KeyError as error:
        raise StationError(str(error.args[0])) from None
    verdict = next(v for v in _choice(catalogue, budget, wishes).verdicts if v.model.name == model.name)
    if args.json:
        _print_json(document(verdict))
    else:
        sys.stdout.write(explanation(verdict, budget))
    return 0 if fits(verdict) else 1


def _documents(choice: Choice) -> list[dict[str, Any]]:
    return [document(verdict) for verdict in choice.verdicts]


def _print_json(content: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
