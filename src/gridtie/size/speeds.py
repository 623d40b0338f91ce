"""How fast a machine answers: as assumed, as `gridtie bench` measured it, or as a ledger has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gridtie.bench.plan import ROUTER
from gridtie.bench.results import read
from gridtie.bench.summary import Summary, summaries
from gridtie.config.names import RELAY
from gridtie.report.ledger_file import opened
from gridtie.report.sql import quoted
from gridtie.size.basis import Basis
from gridtie.size.errors import SizeError
from gridtie.size.plan import Machine, Speed


@dataclass(frozen=True)
class Speeds:
    """Speeds by how many are answered at once, and what they rest on."""

    speeds: tuple[Speed, ...]
    basis: Basis


def assumed(machine: Machine) -> Speeds:
    """As the file says. Raises `SizeError` where it says nothing."""
    if not machine.speeds:
        raise SizeError(
            f"nothing is known of the speed of {machine.name}: name `speeds`, or a file by "
            f"--bench '{machine.name}=FILE'"
        )
    return _of(machine, tuple(machine.speeds), "assumed", "`speeds` of the file")


def benchmarked(machine: Machine, path: Path, input_tokens: float) -> Speeds:
    """As a file of `gridtie bench` has it, of the profile whose prompts are nearest in length.

    As seen by a client: an engine's own queue is part of the time to the first token, so that an engine that answers
    one after the other is not taken for one that answers several at once. Raises `SizeError`, `BenchError`.
    """
    results = read(path)
    rows = [each for each in summaries(results) if each.row.way == ROUTER and _usable(each)]
    if not rows:
        raise SizeError(
            f"{path} has no row through the router with prompts and answers that were timed; run `gridtie bench`"
        )
    nearest = min(rows, key=lambda each: abs(each.tokens_in - input_tokens)).row.profile
    chosen: dict[int, Speed] = {}
    for each in rows:
        if each.row.profile == nearest and each.row.phase in ("", "first"):
            chosen[each.row.concurrency] = _speed(each)
    if not chosen:
        raise SizeError(f"{path}: profile {nearest} was measured with a filled cache alone; run another profile")
    source = f"{path.name}, profile {nearest}, medians, {results.run.started}"
    return _of(machine, tuple(chosen[count] for count in sorted(chosen)), "measured", source)


def of_ledger(machine: Machine, path: Path, since: float, until: float) -> Speeds | None:
    """As a ledger has it of `measured_as`; None where it has nothing. Raises `UnreadableError`.

    What else ran on the machine meanwhile is in it, so it is taken for the speed of one request alone.
    """
    timed = "first_token IS NOT NULL AND first_token > waited AND duration > first_token"
    with opened(path) as connection:
        found = connection.execute(
            f"""SELECT count(*) AS answers, sum(input_tokens - cached_tokens) / sum(first_token - waited) AS prompt,
              sum(output_tokens) / sum(duration - first_token) AS answer FROM metered
              WHERE time >= {since!r} AND time < {until!r} AND environment <> {quoted(RELAY)} AND purpose = ''
              AND answered AND model = {quoted(machine.measured_as)} AND {timed}"""  # noqa: S608 - quoted
        ).fetchone()
    if not found["answers"] or not found["prompt"] or not found["answer"]:
        return None
    source = f"{found['answers']:,} answers of {machine.measured_as} in {path.name}, taken for one at a time"
    return _of(
        machine,
        (Speed(prompt_tokens_per_second=found["prompt"], tokens_per_second=found["answer"]),),
        "measured",
        source,
    )


def _usable(each: Summary) -> bool:
    spreads = each.spreads
    timed = all(name in spreads and spreads[name].middle.value > 0 for name in ("first-token", "between-tokens"))
    return timed and each.tokens_in * (1 - each.cached) > 0


def _speed(each: Summary) -> Speed:
    return Speed(
        at_once=each.row.concurrency,
        prompt_tokens_per_second=each.tokens_in * (1 - each.cached) / each.spreads["first-token"].middle.value,
        tokens_per_second=1 / each.spreads["between-tokens"].middle.value,
    )


def _of(machine: Machine, speeds: tuple[Speed, ...], status: str, source: str) -> Speeds:
    told = "; ".join(
        f"{each.prompt_tokens_per_second:,.0f} in, {each.tokens_per_second:,.1f} out at {each.at_once} at once"
        for each in speeds
    )
    measured = status == "measured"
    return Speeds(speeds, Basis(f"tokens/s of {machine.name}", told, "measured" if measured else "assumed", source))
