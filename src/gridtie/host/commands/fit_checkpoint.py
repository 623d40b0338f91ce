"""`gridtie fit` for a checkpoint of safetensors: what vLLM would make of this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Optional, Sequence

from gridtie.host.fit.budget import budget_in_memory
from gridtie.host.fit.checkpoint import Checkpoint, CheckpointError
from gridtie.host.fit.memory import GIB
from gridtie.host.fit.placement import MAIN_MEMORY
from gridtie.host.fit.vllm import (
    SHARE,
    Card,
    Settings,
    Use,
    arguments,
    check_split,
    least_share,
    too_little_free,
    used,
)
from gridtie.host.gpu import CUDA, DISCRETE
from gridtie.host.machine.hardware import Hardware
from gridtie.host.models.checkpoint_files import in_directory, is_checkpoint, on_the_hub
from gridtie.host.models.download import Fetcher
from gridtie.host.models.hugging_face import is_hub_name, read_token
from gridtie.host.paths import StationError

# Types of the cache by the names of `--kv`: bytes of an element, None as many as the model computes with.
CACHES = {"f16": None, "fp8": 1}


@dataclass(frozen=True)
class Told:
    """One checkpoint on one machine: what was counted with, and why it does not fit; "" where it does."""

    model: Checkpoint
    cards: Sequence[Card]
    settings: Settings
    use: Use
    refusal: str


def add_arguments(parser: Any) -> None:
    """The options that are vLLM's alone."""
    parser.add_argument(
        "--tensor-parallel",
        type=_cards,
        metavar="N",
        help="vLLM: split the model over N cards (default: as few as it takes)",
    )
    parser.add_argument(
        "--gpu-memory-utilization",
        type=_share,
        metavar="SHARE",
        default=SHARE,
        help=f"vLLM: its share of each card (default {SHARE})",
    )


def is_for_vllm(name: str, engine: str) -> bool:
    """Whether a name is asked of vLLM: it is the engine, or nobody else takes a directory."""
    return engine == "vllm" or is_checkpoint(name)


def tell_checkpoint(name: str, args: argparse.Namespace, hardware: Hardware, fetcher: Fetcher) -> int:
    """Print what a checkpoint needs and what is left for its cache. 0: it fits. Raises StationError."""
    if args.kv not in CACHES:
        raise StationError(f"vLLM's cache is {' or '.join(CACHES)}, and not {args.kv} (--kv)")
    try:
        told = _told(_found(name, args.token_file, fetcher), args, hardware)
    except CheckpointError as error:
        raise StationError(str(error)) from None
    if args.json:
        sys.stdout.write(json.dumps(_document(told), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(told)) + "\n")
    return 1 if told.refusal else 0


def _found(name: str, token_file: Optional[Path], fetcher: Fetcher) -> Checkpoint:
    if is_checkpoint(name):
        return in_directory(Path(name))
    if not is_hub_name(name):
        raise StationError(
            f"{name:.120} is no checkpoint that vLLM takes; wanted: a directory with config.json and safetensors, or "
            "hf.co/OWNER/REPOSITORY"
        )
    return on_the_hub(name, fetcher, read_token(token_file), os.environ.get("HF_ENDPOINT", ""))


def _told(model: Checkpoint, args: argparse.Namespace, hardware: Hardware) -> Told:
    cards = [] if args.device == "memory" else _cards_of(hardware, args)
    if args.device == "graphics" and not cards:
        raise StationError("no NVIDIA card that vLLM would use; leave --device out")
    settings = Settings(
        context=args.context or 0,
        share=1.0 if cards and args.free is not None else args.gpu_memory_utilization,
        cache_bytes=CACHES[args.kv],
        on_processor=not cards,
    )
    if not cards:
        if args.tensor_parallel:
            raise StationError("--tensor-parallel is about graphics cards, and there is none that vLLM would use")
        cards = [_memory(hardware, args)]
    settings = replace(settings, cards=args.tensor_parallel or _fewest(model, cards, settings))
    if settings.cards > len(cards):
        raise StationError(f"--tensor-parallel is {settings.cards}, and there are {len(cards)} cards")
    chosen = sorted(cards, key=lambda card: -card.total)[: settings.cards]
    use = used(model, chosen, settings)
    return Told(model, chosen, settings, use, _refusal(model, chosen, settings, use))


def _cards_of(hardware: Hardware, args: argparse.Namespace) -> list[Card]:
    """NVIDIA's cards that can be computed on. What `--free` says can be used counts as the whole card."""
    found = [
        Card(card.title, card.memory, card.memory if args.total or card.free is None else card.free)
        for card in hardware.graphics
        if card.usable_by_engine and card.kind == DISCRETE and card.backend == CUDA and card.memory
    ]
    return found if args.free is None else [Card(card.name, args.free, args.free) for card in found]


def _memory(hardware: Hardware, args: argparse.Namespace) -> Card:
    budget = budget_in_memory(hardware)
    free = budget.available + (budget.in_use if args.total else 0)
    return Card(MAIN_MEMORY, budget.total, free if args.free is None else args.free)


def _fewest(model: Checkpoint, cards: Sequence[Card], settings: Settings) -> int:
    """The fewest cards that it fits on, as vLLM can split it; all that can be used where it fits on none."""
    possible = []
    for count in range(1, len(cards) + 1):
        tried = replace(settings, cards=count)
        try:
            check_split(model, count)
        except CheckpointError:
            continue
        possible.append(count)
        if used(model, sorted(cards, key=lambda card: -card.total)[:count], tried).fits:
            return count
    return possible[-1]


def _refusal(model: Checkpoint, cards: Sequence[Card], settings: Settings, use: Use) -> str:
    if use.fits:
        return too_little_free(cards, settings)
    text = (
        f"does not fit: {use.least / GIB:.1f} GiB at {use.context} tokens of context on each of {settings.cards}, "
        f"{use.share / GIB:.1f} GiB of {cards[0].name} can be used"
    )
    if use.largest:
        return f"{text}; the largest context that fits is {use.largest} (--context)"
    enough = None if settings.on_processor else least_share(model, cards, settings)
    return f"{text}; it would with --gpu-memory-utilization {enough:.2f}" if enough else f"{text}; no context fits"


def _lines(told: Told) -> list[str]:
    model, use, settings = told.model, told.use, told.settings
    where = "memory" if settings.on_processor else f"{told.cards[0].name}"
    over = f", split over {settings.cards} cards" if settings.cards > 1 else ""
    share = "" if settings.on_processor else f" (a share of {settings.share:g})"
    quantised = f", {model.quantisation}" if model.quantisation else ""
    return [
        f"{model.name}: {model.architecture}, {len(model.layers)} layers{quantised}",
        f"  needs        {use.least / GIB:.2f} GiB at {use.context} tokens of context (weights {_gib(use.weights)} + "
        f"cache {_gib(use.request)} + compute {_gib(use.compute)} + process {_gib(use.beside)}; the last two are "
        "estimates)",
        *(["  not counted  what looks at pictures while it works"] if model.sees else []),
        f"  lies         in {where}{over}",
        f"  takes        {use.share / GIB:.2f} GiB{share}{' of each card' if settings.cards > 1 else ''}",
        f"  cache        {use.cache / GIB:.2f} GiB are left for it: {use.tokens} tokens",
        f"  max context  {use.largest} here; trained for {model.context_length}",
        f"  parallel     {use.at_once:.1f} requests with {use.context} tokens each",
        f"  can          chat{', tools' if model.tools else ''}{', vision' if model.sees else ''}",
        f"  engine       vllm {' '.join(arguments(model, settings, use))}",
        f"  verdict      {told.refusal or 'usable'}",
    ]


def _document(told: Told) -> dict[str, Any]:
    """For programs: bytes of each card, and tokens."""
    use, model = told.use, told.model
    return {
        "name": model.name,
        "engine": "vllm",
        "architecture": model.architecture,
        "usable": not told.refusal,
        "context": use.context,
        "trained_context": model.context_length,
        "max_context": use.largest,
        "max_parallel": int(use.at_once),
        "cards": 0 if told.settings.on_processor else told.settings.cards,
        "need": {
            "weights": use.weights,
            "cache": use.request,
            "compute": use.compute,
            "process": use.beside,
            "total": use.least,
        },
        "estimated": ["compute", "process"],
        "share": {"fraction": told.settings.share, "bytes": use.share},
        "cache": {"bytes": use.cache, "tokens": use.tokens},
        "quantisation": model.quantisation or None,
        "tool_parser": model.tools or None,
        "reasoning_parser": model.reasoning or None,
        "vision": model.sees,
        "vllm_arguments": arguments(model, told.settings, use),
        "on": [asdict(card) for card in told.cards],
        "refusals": [told.refusal] if told.refusal else [],
    }


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"


def _cards(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"a number of cards from 1 to 64 was expected, this is {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1:
        raise argparse.ArgumentTypeError(f"a share above 0 and up to 1 was expected, this is {text!r}")
    return found
