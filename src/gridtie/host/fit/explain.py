"""The words of `gridtie fit`: a table, one model in full, and documents for programs. Pure."""

from __future__ import annotations

from typing import Any, Collection, Optional, Sequence

from ..catalogue import Model, Score
from ..gpu import Graphics
from ..machine.hardware import Hardware
from ..table import table
from .choice import Choice
from .judge import Verdict, Wishes, laid, lies_as_wanted
from .memory import GIB, MOST_PARALLEL, Need
from .placement import Budget
from .score import CODING, TITLES, evidence

# Beyond this a token's fixed costs govern (launching kernels, sampling), which the estimate does not count.
FAST = 200

_CODING = frozenset(scale.name for scale in CODING)


def advice(choice: Choice, wishes: Wishes) -> str:
    """What is recommended for each purpose, and what it takes."""
    rows = []
    for purpose in wishes.purposes:
        best = choice.picks.get(purpose)
        if best is None:
            # The numbers of the machine are above; `--for` and `--why` have the whole sentence.
            rows.append((purpose, "none", "", "", "", choice.missing.get(purpose, "").split(",")[0]))
            continue
        rows.append((purpose, best.model.name, *_taken(best), "; ".join([_scored(best), *best.warnings[:1]])))
        if quick := choice.faster.get(purpose):
            rows.append(("", f"or {quick.model.name}", *_taken(quick), f"{_scored(quick)}; much faster, instead of it"))
    if not rows:
        return ""
    lines = table(("RECOMMENDED", "", "", "", "", ""), rows, right=range(2, 5)).splitlines()
    return "\n".join([lines[0], *lines[2:], *_sharing(wishes)]) + "\n\n"


def _taken(verdict: Verdict) -> tuple[str, str, str]:
    need = f"{verdict.need.total / GIB:.1f} GiB" if verdict.need else "-"
    return f"{verdict.context} tokens", need, f"{_tokens(verdict)} tok/s"


def _scored(verdict: Verdict) -> str:
    return _score(verdict) if verdict.standing is None else f"score {_score(verdict)}"


def _sharing(wishes: Wishes) -> list[str]:
    if len(wishes.purposes) < 2:
        return []
    how = "all of them have to fit together" if wishes.together else "Ollama swaps what takes turns, in seconds"
    return [
        f"Each line stands for itself, completion and embeddings beside the model for {wishes.purposes[0]}.",
        f"`gridtie_models_purposes` takes several at once; {how}.",
    ]


def overview(verdicts: Sequence[Verdict], installed: Collection[str] = ()) -> str:
    """The verdicts as aligned text, one model a line, the usable ones first and the best of those; `--why` has the
    whole reason."""
    head = (
        *("MODEL", "INSTALLED", "RECOMMENDED", "CONTEXT", "NEEDS"),
        *("MAX CONTEXT", "PARALLEL", "TOK/S", "RANK", "SCORE", "VERDICT"),
    )
    ordered = sorted(verdicts, key=lambda verdict: (bool(verdict.refusals), _place(verdict)))
    return table(head, [_row(verdict, installed) for verdict in ordered], right=range(3, 10)) + "\n"


def _place(verdict: Verdict) -> float:
    return verdict.standing.place if verdict.standing and verdict.standing.benchmark in _CODING else float("inf")


def document(verdict: Verdict, budget: Budget) -> dict[str, Any]:
    """One verdict for programs: bytes, tokens, tokens a second, percent. `gpu_layers` is what llama.cpp calls so: the
    layers that lie on graphics, 0 where models live in main memory. With the names of 1.0.0 beside today's.
    """
    need = verdict.need
    layers = verdict.placement.layers if verdict.placement else None
    return {
        "name": verdict.model.name,
        "chosen": verdict.chosen,
        "usable": not verdict.refusals,
        "context": verdict.context,
        "max_context": verdict.max_context,
        "max_parallel": verdict.max_parallel,
        "gpu_layers": layers if layers is None or budget.on_graphics else 0,
        "layers": verdict.placement.of_layers if verdict.placement else None,
        "cards": verdict.placement.cards if verdict.placement else None,
        "on_card": (verdict.placement.on_card or None) if verdict.placement else None,
        "in_memory": (verdict.placement.in_memory or None) if verdict.placement else None,
        "need": _parts(need) if need else None,
        "bytes": verdict.model.file.bytes,
        "bytes_are": verdict.model.file.size,
        "estimated_tokens_per_second": None if verdict.speed_measured else _figure(verdict),
        "measured_tokens_per_second": _figure(verdict) if verdict.speed_measured else None,
        "score": verdict.score,
        "score_estimated": verdict.score_estimated,
        "rank": _standing(verdict),
        "scores": [
            {"benchmark": s.benchmark, "value": s.value, "source": s.source, "date": s.date}
            for s in verdict.model.scores
        ],
        "recommended": list(verdict.purposes),
        "warnings": list(verdict.warnings),
        "license": verdict.model.license.id,
        "why": verdict.why or "; ".join(verdict.refusals),
        "refusals": list(verdict.refusals),
        "largest_context": verdict.max_context,
        "largest_parallel": verdict.max_parallel,
        "layers_in_room": layers,
    }


def _parts(need: Need) -> dict[str, int]:
    """In bytes; a projector only where there is one."""
    return {
        **({"projector": need.projector} if need.projector else {}),
        "weights": need.weights,
        "cache": need.kv,
        "state": need.state,
        "compute": need.compute,
        "total": need.total,
    }


def _kinds(need: Need) -> str:
    """What is kept between tokens, by the kind of layer that keeps it."""
    return ", ".join(f"{size / GIB:.2f} GiB in layers of {kind}" for kind, size in need.kinds) or "nothing"


def explanation(verdict: Verdict, budget: Budget, engine: Sequence[str] = ()) -> str:
    """Everything about one model, for people; `engine` are lines of what the engine itself says of it."""
    model, need = verdict.model, verdict.need
    lines = [f"{model.name}: {model.title}, {model.maker}", f"  licence      {model.license.id}"]
    if need:
        state = f" + state {need.state / GIB:.2f}" if need.state else ""
        projector = f" + projector {need.projector / GIB:.2f}, not measured" if need.projector else ""
        parts = (
            f"weights {need.weights / GIB:.2f} + cache {need.kv / GIB:.2f}{state} + compute {need.compute / GIB:.2f}"
            f"{projector}"
        )
        lines += [
            f"  needs        {need.total / GIB:.2f} GiB at {verdict.context} tokens of context ({parts})",
            f"  keeps        {_kinds(need)}",
            f"  file         {model.file.bytes / 1e9:.2f} GB, {model.file.quantisation} ({model.file.size})",
            f"  available    {budget.available / GIB:.2f} GiB of {budget.name}{_held(budget)}",
            f"  max context  {verdict.max_context} here; trained for {model.shape.context_length}",
            f"  parallel     {_parallel(verdict)}",
            f"  lies         {_lies(verdict, budget)}",
        ]
    if verdict.speed is not None:
        lines.append(f"  speed        {_speed(verdict, budget)}")
    lines += [f"  engine       {line}" for line in engine]
    lines += [f"  can          {_can(model)}", f"  rank         {_rank_in_words(verdict)}"]
    lines += [f"  score        {s.value:g} on {TITLES[s.benchmark]} ({_when(s)})" for s in model.scores]
    lines += [f"  flag         {flag.purpose}: {flag.reason} ({flag.source})" for flag in model.flags]
    lines += [f"  note         {model.note}"] if model.note else []
    reasons = list(verdict.refusals) or [verdict.why or "usable"]
    lines += [f"  verdict      {reasons[0]}", *(f"               {reason}" for reason in reasons[1:])]
    return "\n".join(lines) + "\n"


def _can(model: Model) -> str:
    if "chat" in model.capabilities or "embeddings" in model.capabilities:
        return ", ".join(model.capabilities)
    return ", ".join(["continue a text alone: its file has no chat template", *model.capabilities])


def fits(verdict: Verdict, wishes: Wishes) -> bool:
    """Whether the model runs wholly where the engine keeps its models, or as somebody wants it laid."""
    return verdict.placement is not None and lies_as_wanted(verdict.placement, wishes)


def header(hardware: Hardware, budget: Budget, wishes: Wishes) -> str:
    """The machine and what was counted with, above the table."""
    speed = f", reads about {budget.bandwidth / 1e9:.0f} GB/s ({budget.bandwidth_source})" if budget.bandwidth else ""
    limit = f" (limited by {hardware.memory.limited_by})" if hardware.memory.limited_by else ""
    attention = "on" if wishes.settings.flash_attention else "off"
    loaded = [f"{model.name} ({model.size / GIB:.1f} GiB)" for model in hardware.loaded]
    rows = [
        ("processor", [f"{hardware.processor.model}, {hardware.processor.count} usable"]),
        ("memory", [f"{hardware.memory.total / GIB:.1f} GiB{limit}, {hardware.memory.available / GIB:.1f} available"]),
        ("graphics", _graphics(hardware)),
        ("budget", [f"{budget.available / GIB:.1f} GiB of {budget.name} for models{_held(budget)}{speed}"]),
        *([("loaded", [", ".join(loaded) + "; unloaded when another model is asked for"])] if loaded else []),
        (
            "counted",
            [
                f"for {wishes.settings.engine}, {wishes.settings.parallel} in parallel, "
                f"{wishes.settings.kv_type} cache, flash attention {attention}"
            ],
        ),
    ]
    lines = [f"{name if index == 0 else '':<10} {text}" for name, texts in rows for index, text in enumerate(texts)]
    return "\n".join(lines) + "\n\n"


def _graphics(hardware: Hardware) -> list[str]:
    """One line for each of the machine's cards. Apple's chips have none: their graphics are a part of the chip."""
    if hardware.metal_limit:
        most = f"{hardware.metal_limit / GIB:.1f} GiB of the memory above at most"
        return [f"part of {hardware.processor.model} (Metal), {most}: used"]
    return [f"{_card(card)}: {card.reason or 'used'}" for card in hardware.graphics] or ["none"]


def _card(card: Graphics) -> str:
    size = f", {card.memory / GIB:.1f} GiB" if card.memory else ""
    return f"{card.title}{size}"


def _held(budget: Budget) -> str:
    parts = [f"{budget.in_use / GIB:.1f} held by others"] if budget.in_use >= GIB // 10 else []
    parts += (
        [f"{budget.reclaimable / GIB:.1f} by the engine's idle models, counted as free"] if budget.reclaimable else []
    )
    return f" ({', '.join(parts)})" if parts else ""


def _parallel(verdict: Verdict) -> str:
    if not verdict.max_parallel:
        return "not even one request"
    most = f"{MOST_PARALLEL} or more" if verdict.max_parallel == MOST_PARALLEL else str(verdict.max_parallel)
    return f"at most {most} requests with {verdict.context} tokens each"


def _lies(verdict: Verdict, budget: Budget) -> str:
    placement = verdict.placement
    if placement is None or not placement.possible:
        return "nowhere on this machine"
    if not placement.whole:
        experts = f" (of {placement.without_experts} without the experts)" if placement.without_experts else ""
        card = f" with {placement.on_card / GIB:.2f} GiB" if placement.on_card else ""
        memory = f" with {placement.in_memory / GIB:.2f} GiB" if placement.in_memory else ""
        where = f"{placement.layers} of {placement.of_layers} layers on {budget.name}{experts}{card}"
        return f"{where}, the rest in main memory{memory} (as llama.cpp lays it, not measured)"
    over = f", split over {placement.cards} cards" if placement.cards > 1 else ""
    return f"wholly in {budget.name}{over}"


def _figure(verdict: Verdict) -> Optional[float]:
    if verdict.speed is None:
        return None
    return round(verdict.speed if verdict.speed_measured else min(verdict.speed, FAST), 1)


def _speed(verdict: Verdict, budget: Budget) -> str:
    if verdict.speed_measured:
        return f"{verdict.speed:.1f} tokens/s, measured (the ledger's times of streamed answers)"
    return f"{_pace(verdict.speed or 0.0)}, an estimate ({_sources(verdict, budget)})"


def _pace(speed: float) -> str:
    return f"about {speed:.1f} tokens/s" if speed < FAST else f"more than {FAST} tokens/s"


def _sources(verdict: Verdict, budget: Budget) -> str:
    partly = verdict.placement is not None and not verdict.placement.whole
    return f"{budget.bandwidth_source}{'; partly in main memory' if partly else ''}"


def _row(verdict: Verdict, installed: Collection[str]) -> tuple[str, ...]:
    return (
        verdict.model.name,
        "yes" if verdict.model.name in installed else "",
        ", ".join(verdict.purposes),
        str(verdict.context or "-"),
        f"{verdict.need.total / GIB:.1f} GiB" if verdict.need else "not predicted",
        str(verdict.max_context or "-"),
        str(verdict.max_parallel or "-"),
        _tokens(verdict),
        _rank(verdict),
        _score(verdict),
        verdict.why or "; ".join(_short(verdict, refusal) for refusal in verdict.refusals) or "usable",
    )


def _tokens(verdict: Verdict) -> str:
    if verdict.speed is None:
        return "-"
    if verdict.speed_measured:
        return f"{verdict.speed:.0f}"
    return f"~{verdict.speed:.0f}" if verdict.speed < FAST else f"{FAST}+"


def _rank(verdict: Verdict) -> str:
    """Among models of code: embeddings have an order of their own."""
    found = verdict.standing
    if found is None or found.benchmark not in _CODING:
        return "-"
    return f"{found.place}{'~' * found.unsure}"


def _score(verdict: Verdict) -> str:
    if verdict.standing is None:
        return "not scored"
    if verdict.standing.benchmark not in _CODING:
        return f"{verdict.standing.score:.1f} on {TITLES[verdict.standing.benchmark]}"
    if verdict.standing.below:
        return "below the scale"
    return f"{verdict.standing.score:.1f}{'~' * verdict.standing.linked}"


def _standing(verdict: Verdict) -> Optional[dict[str, Any]]:
    found = verdict.standing
    if found is None:
        return None
    return {
        "place": found.place,
        "best": found.best,
        "worst": found.worst,
        "unsure": found.unsure,
        "benchmark": found.benchmark,
        "below_the_scale": found.below,
    }


def _rank_in_words(verdict: Verdict) -> str:
    found = verdict.standing
    if found is None:
        return "none: no comparable score is published"
    spread = f", by the figures anything from {found.best} to {found.worst}" if found.best != found.worst else ""
    return f"{found.place} in the catalogue{spread}; score {_score(verdict)}, {evidence(found)}"


def _when(score: Score) -> str:
    return f"{score.source}, {score.date}" if score.date else score.source


def _short(verdict: Verdict, refusal: str) -> str:
    """The reason without its numbers; `--why` has them."""
    placement = verdict.placement
    if refusal.startswith(("not for", "trained for")):
        return refusal
    if refusal.startswith("does not fit") and placement and placement.possible:
        return f"does not fit ({laid(placement)})"
    return refusal.split(":")[0]
