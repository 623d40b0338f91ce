"""`gridtie fit`: which models fit this machine, with how much context, how fast, and why not the others."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Mapping, Optional

from .catalogue import Catalogue, parse
from .choice import CONTEXTS, CannotChoose, Choice, Room, Verdict, Wishes, choose_best, judge
from .fit import GIB, KV_BYTES, Settings
from .hardware import Hardware, ask_nvidia_smi, read_hardware, room_in_memory, room_on_graphics
from .place import PlaceError, config_dir
from .table import table


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
    parser.add_argument("--device", choices=("memory", "graphics"), default="memory", help="where models live")
    parser.add_argument("--free", type=float, metavar="GIB", help="pretend that this much can be used")
    parser.add_argument("--catalogue", type=Path, metavar="FILE", help="models.json (default: the station's)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the verdicts. 0: something fits (with --why: that model does); 1: nothing does. Raises PlaceError."""
    directory = config_dir(os.environ)
    catalogue = _catalogue(args.catalogue or default_catalogue(directory, Path(sys.argv[0])))
    hardware = read_hardware(cpus=_usable_cpus(), driver_report=ask_nvidia_smi)
    room = _room(hardware, args)
    wishes = _wishes(args, _engine(directory))
    if args.why:
        return _why(args, catalogue, room, wishes)
    choice = _choice(catalogue, room, wishes)
    if args.json:
        _print_json({"hardware": hardware.as_document(), "room": asdict(room), "models": _documents(choice)})
    else:
        sys.stdout.write(_header(hardware, room, wishes) + overview(choice.verdicts))
        sys.stdout.write("\n* chosen by `gridtie_models: auto`   ~ estimated   `gridtie fit --why MODEL` says more\n")
    return 0 if any(_fits(verdict, room) for verdict in choice.verdicts) else 1


def overview(verdicts: tuple[Verdict, ...]) -> str:
    """The verdicts as aligned text, one model a line; `--why` has the whole reason."""
    head = ("MODEL", "CONTEXT", "NEEDS", "LARGEST", "~TOK/S", "SCORE", "VERDICT")
    return table(head, [_row(verdict) for verdict in verdicts], right=range(1, 6)) + "\n"


def document(verdict: Verdict) -> dict[str, Any]:
    """One verdict for programs: bytes, tokens, tokens a second, percent."""
    need = verdict.need
    return {
        "name": verdict.model.name,
        "chosen": verdict.chosen,
        "usable": not verdict.refusals,
        "context": verdict.context,
        "largest_context": verdict.largest_context,
        "need": {"weights": need.weights, "kv": need.kv, "compute": need.compute, "total": need.total}
        if need
        else None,
        "bytes": verdict.model.file.bytes,
        "bytes_are": verdict.model.file.size,
        "estimated_tokens_per_second": None if verdict.speed is None else round(verdict.speed, 1),
        "score": verdict.score,
        "score_estimated": verdict.score_estimated,
        "license": verdict.model.license.id,
        "why": verdict.why or "; ".join(verdict.refusals),
        "refusals": list(verdict.refusals),
    }


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
        raise PlaceError(f"{path} is not there; run `make site`, or name a catalogue with --catalogue") from None
    except PermissionError:
        raise PlaceError(
            f"{path} may not be read by this user; run it with sudo, or name one with --catalogue"
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise PlaceError(f"{path} cannot be used: {error}; run `make site` to write it anew") from None


def _engine(directory: Path) -> str:
    """The engine of the station, if one is set up and this user may read what it is."""
    try:
        kind: str = json.loads((directory / "station.json").read_text(encoding="utf-8"))["engine"]["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return "ollama"
    return kind


def _usable_cpus() -> Optional[int]:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _room(hardware: Hardware, args: argparse.Namespace) -> Room:
    room = room_in_memory(hardware)
    if args.device == "graphics":
        rooms = [found for found in map(room_on_graphics, hardware.graphics) if found]
        if not rooms:
            raise PlaceError("no graphics card whose memory is known was found; leave --device out to use main memory")
        room = max(rooms, key=lambda found: found.available)
    return room if args.free is None else replace(room, available=int(args.free * GIB))


def _wishes(args: argparse.Namespace, engine: str) -> Wishes:
    flash_attention = not args.no_flash_attention
    if args.kv_type != "f16" and not flash_attention:
        raise PlaceError(f"a {args.kv_type} cache needs flash attention: leave out --no-flash-attention")
    settings = Settings(0, args.parallel, args.kv_type, flash_attention, args.engine or engine)
    contexts = (args.context,) if args.context else CONTEXTS
    return Wishes(settings=settings, contexts=contexts, together=settings.engine == "embedded")


def _choice(catalogue: Catalogue, room: Room, wishes: Wishes) -> Choice:
    try:
        return choose_best(catalogue, room, wishes)
    except CannotChoose:
        return Choice(tuple(judge(model, room, wishes) for model in catalogue.models.values()))


def _why(args: argparse.Namespace, catalogue: Catalogue, room: Room, wishes: Wishes) -> int:
    try:
        model = catalogue.find(args.why)
    except KeyError as error:
        raise PlaceError(str(error.args[0])) from None
    verdict = next(v for v in _choice(catalogue, room, wishes).verdicts if v.model.name == model.name)
    if args.json:
        _print_json(document(verdict))
    else:
        sys.stdout.write(explanation(verdict, room))
    return 0 if _fits(verdict, room) else 1


def explanation(verdict: Verdict, room: Room) -> str:
    """Everything about one model, for people."""
    model, need = verdict.model, verdict.need
    lines = [f"{model.name}: {model.title}, {model.maker}", f"  licence      {model.license.id}"]
    if need:
        parts = f"weights {need.weights / GIB:.2f} + cache {need.kv / GIB:.2f} + compute {need.compute / GIB:.2f}"
        lines += [
            f"  needs        {need.total / GIB:.2f} GiB at {verdict.context} tokens of context ({parts})",
            f"  file         {model.file.bytes / 1e9:.2f} GB, {model.file.quantisation} ({model.file.size})",
            f"  can be used  {room.available / GIB:.2f} GiB of {room.name}",
            f"  context      at most {verdict.largest_context} here; trained for {model.shape.context_length}",
        ]
    if verdict.speed is not None:
        lines.append(f"  speed        about {verdict.speed:.1f} tokens/s ({room.bandwidth_source})")
    lines += [f"  score        {s.value:g} on {s.benchmark} ({s.source})" for s in model.scores]
    lines += [f"  note         {model.note}"] if model.note else []
    reasons = list(verdict.refusals) or [verdict.why or "usable"]
    lines += [f"  verdict      {reasons[0]}", *(f"               {reason}" for reason in reasons[1:])]
    return "\n".join(lines) + "\n"


def _fits(verdict: Verdict, room: Room) -> bool:
    return verdict.need is not None and verdict.need.total <= room.available


def _header(hardware: Hardware, room: Room, wishes: Wishes) -> str:
    gpus = ", ".join(f"{card.vendor} {card.device} at {card.address}" for card in hardware.graphics) or "none"
    speed = f", reads about {room.bandwidth / 1e9:.0f} GB/s ({room.bandwidth_source})" if room.bandwidth else ""
    limit = f" (limited by {hardware.memory.limited_by})" if hardware.memory.limited_by else ""
    attention = "on" if wishes.settings.flash_attention else "off"
    return (
        f"processor  {hardware.processor.model}, {hardware.processor.count} usable\n"
        f"memory     {hardware.memory.total / GIB:.1f} GiB{limit}, {room.available / GIB:.1f} GiB of {room.name} for "
        f"models{speed}\n"
        f"graphics   {gpus}\n"
        f"counted    for {wishes.settings.engine}, {wishes.settings.parallel} at once, "
        f"{wishes.settings.kv_type} cache, flash attention {attention}\n\n"
    )


def _row(verdict: Verdict) -> tuple[str, ...]:
    score = "-" if verdict.score is None else f"{verdict.score:.1f}{'~' if verdict.score_estimated else ''}"
    return (
        ("* " if verdict.chosen else "  ") + verdict.model.name,
        str(verdict.context or "-"),
        f"{verdict.need.total / GIB:.1f} GiB" if verdict.need else "-",
        str(verdict.largest_context or "-"),
        "-" if verdict.speed is None else f"{verdict.speed:.0f}",
        score,
        verdict.why or "; ".join(refusal.split(":")[0] for refusal in verdict.refusals) or "usable",
    )


def _documents(choice: Choice) -> list[dict[str, Any]]:
    return [document(verdict) for verdict in choice.verdicts]


def _print_json(content: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
