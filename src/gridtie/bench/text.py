"""Results for people in a terminal, and as one JSON document. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gridtie.bench.expect import Outcome
from gridtie.bench.plan import BESIDE
from gridtie.bench.results import Machine, Results
from gridtie.bench.stats import Estimate
from gridtie.bench.summary import Spread, Summary, router_share, summaries, unfinished
from gridtie.bench.verdict import Finding
from gridtie.host.table import table

SCHEMA = 1
COLUMNS = ("row", "n", "first token p50", "p95", "between tokens p50", "p95", "prompt/s", "answer/s", "together/s")
# Of the prompts' tokens; more came out of a cache than a profile that avoids it should find.
_FLATTERED = 0.1


def seconds(value: float) -> str:
    """A time as people read it."""
    if not value:
        return "0"
    if value < 0.001:
        return f"{value * 1e6:.0f} us"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def interval(estimate: Estimate, shown: Any) -> str:
    """A figure with its ends; an open one is said to be open."""
    low = shown(estimate.low) if estimate.low is not None else "?"
    high = shown(estimate.high) if estimate.high is not None else "or more"
    if estimate.low is None and estimate.high is None:
        return str(shown(estimate.value))
    return (
        f"{shown(estimate.value)} ({low} to {high})"
        if estimate.high is not None
        else f"{shown(estimate.value)} ({low} {high})"
    )


def report(results: Results, outcomes: Sequence[Outcome] = ()) -> str:
    """Everything that was measured, in plain text."""
    measured = summaries(results)
    parts = [head(results), rows(measured), *paragraphs(results, measured), findings(router_share(results), SHARE)]
    if outcomes:
        parts.append("\n".join(["Targets", *(f"  {told(outcome)}" for outcome in outcomes)]))
    if why := unfinished(results):
        parts.append(f"Not finished: {why}")
    return "\n\n".join(part for part in parts if part)


SHARE = "What the router adds (through it, against beside it)"


def head(results: Results) -> str:
    """What was measured, where and when."""
    run, facts = results.run, results.facts
    where = machine_words(run.machine)
    engine = " ".join(part for part in (facts.engine, facts.engine_version) if part)
    lines = [
        f"{run.target} ({run.locality})" + (f", {engine}" if engine else ""),
        f"digest   {facts.digest}" if facts.digest else "",
        f"machine  {where}" if where else "",
        f"began    {run.started}, gridtie {run.version}, {run.requests} requests a row in {run.rounds} rounds",
    ]
    return "\n".join(line for line in lines if line)


def machine_words(machine: Machine) -> str:
    """The machine in a line; "" where nothing is known of it."""
    parts = (
        machine.processor,
        f"{machine.cores} cores" if machine.cores else "",
        f"{machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else "",
        *machine.graphics,
    )
    return ", ".join(part for part in parts if part)


def rows(measured: Sequence[Summary]) -> str:
    """The table: percentiles with 95 % intervals."""
    if not measured:
        return "Nothing was measured."
    return table(COLUMNS, [cells(each) for each in measured], right=range(1, len(COLUMNS)))


def cells(each: Summary) -> list[str]:
    """One line of the table."""
    spreads = each.spreads

    def both(name: str, shown: Any) -> tuple[str, str]:
        found: Spread | None = spreads.get(name)
        return (interval(found.middle, shown), interval(found.tail, shown)) if found else ("-", "-")

    wrong = sum(each.errors.values())
    return [
        str(each.row),
        f"{each.answers}" + (f" (+{wrong} failed)" if wrong else ""),
        *both("first-token", seconds),
        *both("between-tokens", seconds),
        both("prompt-rate", rate)[0],
        both("answer-rate", rate)[0],
        interval(each.throughput, rate) if each.throughput else "-",
    ]


def paragraphs(results: Results, measured: Sequence[Summary]) -> Iterable[str]:
    """What stands beside the table, a heading and its lines each."""
    reasoned = [each for each in measured if "first-answer-token" in each.spreads]
    if reasoned:
        told = (f"  {each.row}: {interval(each.spreads['first-answer-token'].middle, seconds)}" for each in reasoned)
        yield "\n".join(["First token of the answer, after reasoning (p50)", *told])
    loaded = [answer.first_token for answer in results.cold]
    first = [warm for warm in results.warm_ups if warm.answer.engine is not None and warm.answer.engine.load_s > 1]
    if loaded:
        loads = [answer.engine.load_s for answer in results.cold if answer.engine is not None]
        by_engine = f"; loading by the engine's account {', '.join(map(seconds, loads))}" if loads else ""
        yield f"Cold, the model not in memory: first token after {', '.join(map(seconds, loaded))}{by_engine}"
    elif first and first[0].answer.engine is not None:
        yield f"The first request loaded the model: {seconds(first[0].answer.engine.load_s)}"
    if memory := _memory(measured):
        yield memory
    if energy := [each for each in measured if each.joules_per_token is not None]:
        told = (f"  {each.row}: {each.joules_per_token:.3g} J a token of answer" for each in energy)
        yield "\n".join(["Energy, of the whole machine by its counters", *told])
    if results.run.spend:
        yield f"Spent at clouds: ${results.spent:.4f} of ${results.run.spend:g}"
    notes = [f"  {name}: not measured, {why}" for name, why in results.left_out.items()]
    if results.run.why_not_beside:
        notes.append(f"  beside the router: not measured, {results.run.why_not_beside}")
    notes += _warnings(measured)
    if notes:
        yield "\n".join(["Notes", *notes])


def _memory(measured: Sequence[Summary]) -> str:
    resident = max((each.resident_bytes or 0 for each in measured), default=0)
    reported = max((each.reported_bytes or 0 for each in measured), default=0)
    vram = max((each.reported_vram_bytes or 0 for each in measured), default=0)
    told = [
        f"resident at most {_mib(resident)}" if resident else "",
        f"by the engine's account {_mib(reported)}, {_mib(vram)} of it on cards" if reported else "",
    ]
    return "Memory while it ran: " + "; ".join(part for part in told if part) if any(told) else ""


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _warnings(measured: Sequence[Summary]) -> list[str]:
    notes = []
    for each in measured:
        notes += [f"  {each.row}: {count} failed: {error}" for error, count in each.errors.items()]
        if each.cached > _FLATTERED and not each.row.phase:
            notes.append(f"  {each.row}: {each.cached:.0%} of the prompts came out of a cache, which flatters")
        if each.estimated:
            notes.append(f"  {each.row}: tokens are estimates, nobody counted them")
    return notes


def findings(found: Sequence[Finding], title: str) -> str:
    """What is to be said of pairs; "" where there are none."""
    if not found:
        return ""
    lines = [(each.row, each.measure, each.word, each.text) for each in found]
    return f"{title}\n{table(('row', 'measure', 'verdict', 'difference of medians, 95 % interval'), lines)}"


def told(outcome: Outcome) -> str:
    """One target's outcome."""
    expectation = outcome.expectation
    if outcome.value is None:
        return f"missed  {expectation.text}: nothing was measured ({outcome.row})"
    times = expectation.measure in ("errors",)
    shown = f"{outcome.value:.1%}" if times else _shown(expectation.measure, outcome.value)
    doubt = "" if outcome.sure else "; its interval reaches beyond the bound: more requests would tell"
    return f"{'held  ' if outcome.held else 'missed'}  {expectation.text}: {shown} ({outcome.row}){doubt}"


def _shown(measure: str, value: float) -> str:
    return f"{rate(value)} tokens/s" if measure in ("throughput", "prompt-rate", "answer-rate") else seconds(value)


def document(results: Results, outcomes: Sequence[Outcome] = ()) -> dict[str, Any]:
    """The same for programs. Times in seconds, sizes in bytes, money in US dollars."""
    return {
        "schema": SCHEMA,
        "run": msgspec.to_builtins(results.run),
        "facts": msgspec.to_builtins(results.facts),
        # null: it is whole.
        "unfinished": unfinished(results) or None,
        "spent_usd": results.spent,
        "rows": [_row_document(each) for each in summaries(results)],
        "cold": [msgspec.to_builtins(answer) for answer in results.cold],
        "left_out": results.left_out,
        "router_share": [finding_document(each) for each in router_share(results)],
        "targets": [outcome_document(each) for each in outcomes],
    }


def _row_document(each: Summary) -> dict[str, Any]:
    row = each.row
    return {
        "profile": row.profile,
        "phase": row.phase or None,
        "concurrency": row.concurrency,
        "beside": row.way == BESIDE,
        "answers": each.answers,
        "errors": dict(each.errors),
        "measures": {
            name: {"p50": msgspec.to_builtins(spread.middle), "tail": msgspec.to_builtins(spread.tail)}
            for name, spread in each.spreads.items()
        },
        "throughput": msgspec.to_builtins(each.throughput),
        "tokens_in": each.tokens_in,
        "tokens_out": each.tokens_out,
        "cached": each.cached,
        "estimated": each.estimated,
        "resident_bytes": each.resident_bytes,
        "reported_bytes": each.reported_bytes,
        "reported_vram_bytes": each.reported_vram_bytes,
        "joules_per_token": each.joules_per_token,
    }


def finding_document(each: Finding) -> dict[str, Any]:
    """One finding of a comparison."""
    return {
        "row": each.row,
        "measure": each.measure,
        "verdict": each.word,
        "text": each.text,
        "p": each.p,
        "difference": msgspec.to_builtins(each.difference),
    }


def outcome_document(each: Outcome) -> dict[str, Any]:
    """One target's outcome."""
    return {"target": each.expectation.text, "row": each.row, "held": each.held, "sure": each.sure, "value": each.value}
