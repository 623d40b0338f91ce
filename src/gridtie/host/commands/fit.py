"""`gridtie fit`: which models fit this machine, with how much context, how fast, and why not the others."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Mapping

from gridtie.host.acceptance.record import FILE as ACCEPTED
from gridtie.host.acceptance.record import Acceptances
from gridtie.host.catalogue import Catalogue
from gridtie.host.catalogue_file import read_catalogue
from gridtie.host.commands import fit_checkpoint
from gridtie.host.commands.fit_one import Asked, fetcher_of, tell_one, verdict_on
from gridtie.host.commands.former_options import add_former_options
from gridtie.host.fit.budget import budget_for, budget_in_memory
from gridtie.host.fit.builds import build_of
from gridtie.host.fit.choice import CannotChoose, Choice, recommend
from gridtie.host.fit.explain import advice, document, fits, header, overview
from gridtie.host.fit.judge import Wishes, judge
from gridtie.host.fit.memory import GIB, KV_BYTES, Settings
from gridtie.host.fit.placement import Budget
from gridtie.host.fit.purposes import CHOOSABLE, PURPOSES, USUAL
from gridtie.host.gpu.devices import DeviceError, of_station
from gridtie.host.ledger_file import ledger_file
from gridtie.host.machine.detect import this_machine
from gridtie.host.machine.hardware import Hardware, ProfileError, from_document, in_docker
from gridtie.host.machine.record import SpeedRecord, beside
from gridtie.host.models.loaded import read_loaded, virtual_memory
from gridtie.host.models.served_speed import tokens_per_second
from gridtie.host.paths import StationError, config_dir, state_dir


def register(commands: Any) -> None:
    """Add the command to the host's parser."""
    parser = commands.add_parser(
        "fit",
        help="which models fit this machine, and why not the others",
        description="Memory need as llama.cpp's server reserves it, against what is free now. Speed is an estimate.",
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="one model in full: a name of the catalogue or the Ollama library, a path, a URL, hf.co/OWNER/REPO:QUANT; "
        "a directory with safetensors, or with --engine vllm hf.co/OWNER/REPO",
    )
    parser.add_argument("--why", metavar="MODEL", help="the same as MODEL")
    parser.add_argument(
        "--context", type=_positive, metavar="TOKENS", help="how long prompt and answer may be (default: 32K, else 8K)"
    )
    parser.add_argument(
        "--parallel",
        type=_positive,
        metavar="N",
        help="requests answered at the same time (default: the station's, or 1)",
    )
    parser.add_argument(
        "--for", dest="purpose", choices=CHOOSABLE, help="for this purpose alone (default: all of them)"
    )
    parser.add_argument(
        "--kv",
        choices=sorted({*KV_BYTES, *fit_checkpoint.CACHES}),
        default="f16",
        help="type of the cache (default f16)",
    )
    parser.add_argument("--flash-attention", choices=("on", "off"), default="on", help="default: on")
    parser.add_argument(
        "--ubatch",
        type=_positive,
        metavar="TOKENS",
        help="tokens of a prompt that are computed in one step (default: the engine's)",
    )
    parser.add_argument("--build", type=_positive, metavar="N", help="build of llama.cpp (default: the engine's)")
    parser.add_argument("--gpu-layers", type=_count, metavar="N", help="lay N layers on the card (default: what fits)")
    parser.add_argument("--engine", choices=("ollama", "embedded", "vllm"), help="default: the station's, else ollama")
    fit_checkpoint.add_arguments(parser)
    parser.add_argument("--device", choices=("memory", "graphics"), help="default: graphics where the engine uses it")
    parser.add_argument("--free", type=_gibibytes, metavar="GIB", help="pretend that this much can be used")
    parser.add_argument("--total", action="store_true", help="as if no other program held memory")
    parser.add_argument("--machine", type=Path, metavar="FILE", help="another machine, recorded with --json")
    parser.add_argument(
        "--catalogue", type=Path, metavar="FILE", help="models.json or models.yaml (default: the station's)"
    )
    parser.add_argument(
        "--registry", metavar="URL", help="the Ollama library (default: the station's mirror, or upstream)"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a token for gated models of Hugging Face")
    parser.add_argument("--measure", action="store_true", help="measure the memory's speed anew, and keep it (root)")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_former_options(parser, _FORMER, since="1.1.0")
    parser.set_defaults(run=run)


# Names of version 1.0.0 that others have taken the place of: what it is called now, and what is meant by it.
_FORMER = {
    "--kv-type": ("--kv", None),
    "--profile": ("--machine", None),
    "--no-flash-attention": ("--flash-attention", "off"),
}


def run(args: argparse.Namespace) -> int:
    """Print the verdicts. 0: something fits (with --why: that model does); 1: nothing does. Raises StationError."""
    directory = config_dir(os.environ)
    path = args.catalogue or default_catalogue(directory, Path(sys.argv[0]))
    if args.model and args.why:
        raise StationError(f"two models were named, {args.model} and {args.why}: name one")
    wanted = args.model or args.why
    hardware = _recorded(args.machine) if args.machine else _this_machine(directory, path, args.measure)
    station = {} if args.machine else _station(directory)
    engine = args.engine or str(station.get("engine", {}).get("kind", ""))
    if wanted and fit_checkpoint.is_for_vllm(wanted, engine):
        return fit_checkpoint.tell_checkpoint(wanted, args, hardware, fetcher_of(station))
    if engine == "vllm":
        raise StationError(
            "the models of the catalogue are GGUF files, which vLLM does not take; name a checkpoint: a directory with "
            "safetensors, or hf.co/OWNER/REPOSITORY"
        )
    catalogue = read_catalogue(path)
    budget = _budget(hardware, args)
    wishes = _wishes(args, budget, _station(directory).get("engine", {}), _parallel(station))
    if not args.machine:
        wishes = replace(wishes, kept=_installed(station), measured=tokens_per_second(ledger_file(os.environ)))
        # What a model showed to the engine that the station has.
        shown = Acceptances(state_dir(os.environ) / "models" / ACCEPTED)
        wishes = replace(wishes, unfit=shown.unfit(wishes.settings.engine, wishes.engine_version))
    if wanted:
        asked = Asked(wanted, args.purpose, args.json, args.registry, args.token_file, own=not args.machine)
        known = wanted in catalogue.models
        verdict = verdict_on(wanted, _choice(catalogue, budget, wishes)) if known else None
        return tell_one(asked, verdict, catalogue, budget, wishes, _station(directory))
    choice = _choice(catalogue, budget, wishes)
    installed = _installed(station)
    if args.json:
        models = [
            {**document(verdict, budget), "installed": verdict.model.name in installed} for verdict in choice.verdicts
        ]
        available = asdict(budget)
        content = {"hardware": hardware.as_document(), "available_memory": available, "models": models}
        # `room` is the name of 1.0.0.
        content.update(missing=dict(choice.missing), room=available)
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
    else:
        sys.stdout.write(header(hardware, budget, wishes) + advice(choice, wishes))
        sys.stdout.write(overview(choice.verdicts, installed) + _legend(wishes) + _offer(choice, installed))
    return 0 if any(fits(verdict, wishes) for verdict in choice.verdicts) else 1


def default_catalogue(config: Path, program: Path) -> Path:
    """The station's own catalogue if it has one that this user may read, else the one that was installed beside this
    program (bin/, etc/), or that of the checkout which it is run from.
    """
    installed = program.resolve().parent.parent / "etc" / "models.json"
    checkout = Path(__file__).resolve().parents[4] / "config" / "models.yaml"
    return next((path for path in (config / "models.json", installed, checkout) if os.access(path, os.R_OK)), installed)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on was expected, this is {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"a whole number from 0 on was expected, this is {text!r}")
    return int(text)


def _gibibytes(text: str) -> int:
    """In bytes."""
    with suppress(ValueError, OverflowError):
        if (found := int(float(text) * GIB)) >= 0:
            return found
    raise argparse.ArgumentTypeError(f"a number of GiB from 0 on was expected, this is {text!r}")


def _station(directory: Path) -> dict[str, Any]:
    """What the station is, if one is set up and this user may read it."""
    try:
        station = json.loads((directory / "station.json").read_text(encoding="utf-8"))
        return station if isinstance(station["engine"]["kind"], str) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _installed(station: Mapping[str, Any]) -> frozenset[str]:
    """The models of the station, as the catalogue calls them."""
    models = station.get("models", [])
    return frozenset(str(model["catalogue"]) for model in models if isinstance(model, dict) and "catalogue" in model)


def _legend(wishes: Wishes) -> str:
    return (
        f"\nThe table is for {wishes.purposes[0]}. RANK: place in the catalogue; ~: the figures allow several others. "
        "SCORE: percent of aider's edit benchmark; ~: read from another benchmark. ~TOK/S is an estimate. "
        "`gridtie fit --why MODEL` says more.\n"
    )


def _offer(choice: Choice, installed: frozenset[str]) -> str:
    """What an existing station could have: it keeps what it has until somebody wants otherwise."""
    best = next((verdict.model.name for verdict in choice.chosen if USUAL[0] in verdict.purposes), None)
    if not installed or best is None or best in installed:
        return ""
    return (
        f"What this station has stays. Today `gridtie_models: auto` would take {best}: "
        '`make site ARGS="-e gridtie_models_choose_again=true"` does.\n'
    )


def _this_machine(directory: Path, catalogue: Path, measure_again: bool) -> Hardware:
    record = SpeedRecord(beside(catalogue), write=measure_again)
    try:
        found = this_machine(record, measure_again, of_station(_station(directory)))
        found = replace(found, loaded=read_loaded(directory))
    except DeviceError as error:
        raise StationError(f"{error}; {error.fix}") from None
    except OSError as error:
        raise StationError(f"this machine cannot be looked at: {error}; describe it with --machine") from None
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
    if args.device == "graphics" and not budget.on_graphics:
        reasons = "; ".join(f"{card.title}: {card.reason}" for card in hardware.graphics) or "none was found"
        raise StationError(f"no graphics card that the engine would use ({reasons}); leave --device out")
    if args.total:
        budget = _emptied(budget)
    if args.free is None:
        return budget
    return replace(budget, available=args.free, cards=(), in_use=0, reclaimable=0)


def _emptied(budget: Budget) -> Budget:
    """The budget when no other program holds any of it."""
    share = budget.in_use / max(1, sum(card.total - card.available for card in budget.cards))
    cards = tuple(
        replace(card, available=card.available + int(share * (card.total - card.available))) for card in budget.cards
    )
    return replace(budget, available=budget.available + budget.in_use, cards=cards, in_use=0)


def _parallel(station: Mapping[str, Any]) -> int:
    """Requests at once that the station's models answer, each with the whole context."""
    found = [model.get("parallel") for model in station.get("models", []) if isinstance(model, dict)]
    return max((count for count in found if isinstance(count, int) and count > 0), default=1)


def _wishes(args: argparse.Namespace, budget: Budget, engine: Mapping[str, Any], parallel: int) -> Wishes:
    flash_attention = args.flash_attention == "on"
    if args.kv != "f16" and not flash_attention:
        raise StationError(f"a {args.kv} cache needs flash attention: leave out --flash-attention off")
    if args.gpu_layers is not None and not budget.cards:
        raise StationError(
            f"--gpu-layers is about graphics cards with memory of their own, and models live in {budget.name} here; "
            "another machine is named by --machine"
        )
    kind = args.engine or engine.get("kind", "ollama")
    known = engine if engine.get("kind") == kind else {}
    stock = kind == "embedded" or known.get("source") == "packages"
    build = args.build or build_of(kind, str(known.get("version", "")), stock)
    return Wishes(
        settings=Settings(0, args.parallel or parallel, args.kv, flash_attention, kind, build, args.ubatch),
        contexts=(args.context,) if args.context else None,
        together=kind == "embedded",
        purposes=(args.purpose,) if args.purpose else CHOOSABLE,
        engine_version=str(known.get("version", "")),
        stock=stock,
        gpu_layers=args.gpu_layers,
    )


def _choice(catalogue: Catalogue, budget: Budget, wishes: Wishes) -> Choice:
    try:
        return recommend(catalogue, budget, wishes)
    except CannotChoose:
        purpose = PURPOSES[wishes.purposes[0]]
        return Choice(tuple(judge(model, budget, wishes, purpose) for model in catalogue.models.values()))
