"""What requests come to: for each row its percentiles with intervals, and what the router adds. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from gridtie.bench import stats
from gridtie.bench.asking import Answer
from gridtie.bench.plan import BESIDE, ROUTER, blocks
from gridtie.bench.results import Done, Request, Results
from gridtie.bench.stats import Estimate
from gridtie.bench.verdict import Finding, Pair, compare

Take = Callable[[Answer], float | None]


def _first_answer(answer: Answer) -> float | None:
    """Only where something was reasoned before it: else it is the first token."""
    later = answer.first_answer is not None and answer.first_answer > answer.first_token
    return answer.first_answer if later else None


def _prompt_rate(answer: Answer) -> float | None:
    """Tokens a second, by the engine's account, else as seen from here: waiting and the way are in it then."""
    told = answer.engine
    if told is not None and told.prompt_s > 0 and told.prompt_tokens:
        return told.prompt_tokens / told.prompt_s
    read = answer.tokens_in - answer.cached
    return read / answer.first_token if read > 0 and answer.first_token > 0 else None


def _answer_rate(answer: Answer) -> float | None:
    told = answer.engine
    if told is not None and told.answer_s > 0 and told.answer_tokens:
        return told.answer_tokens / told.answer_s
    return 1 / answer.between_tokens if answer.between_tokens else None


@dataclass(frozen=True)
class Measure:
    """Something that every request has a value of. `worse`: which way it hurts, and so which tail is looked at."""

    name: str
    unit: str
    take: Take
    worse: str = "more"

    @property
    def tail(self) -> float:
        return 0.95 if self.worse == "more" else 0.05


MEASURES = (
    Measure("first-token", "s", lambda answer: answer.first_token),
    Measure("first-answer-token", "s", _first_answer),
    Measure("between-tokens", "s", lambda answer: answer.between_tokens),
    Measure("longest-pause", "s", lambda answer: answer.longest_gap if answer.pieces > 1 else None),
    Measure("end-to-end", "s", lambda answer: answer.end),
    Measure("prompt-rate", "tokens/s", _prompt_rate, "less"),
    Measure("answer-rate", "tokens/s", _answer_rate, "less"),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
# What two runs, or two ways, are compared by: the rest follows from these.
COMPARED = ("first-token", "between-tokens", "end-to-end")


@dataclass(frozen=True, order=True)
class Row:
    """What its requests have in common."""

    profile: str
    phase: str
    concurrency: int
    way: str

    def __str__(self) -> str:
        words = (self.profile, self.phase, f"{self.concurrency} at once", "" if self.way == ROUTER else "beside")
        return ", ".join(word for word in words if word)


@dataclass(frozen=True)
class Spread:
    """The middle of a measure and its bad tail: the 95th percentile of times, the 5th of rates."""

    middle: Estimate
    tail: Estimate


@dataclass(frozen=True)
class Summary:
    """One row."""

    row: Row
    answers: int
    errors: Mapping[str, int]
    spreads: Mapping[str, Spread]
    # Tokens a second of all requests at once together.
    throughput: Estimate | None
    tokens_in: float
    tokens_out: float
    # Of the prompts' tokens, those that came out of a cache.
    cached: float
    # Whether any count of tokens is an estimate of the router's.
    estimated: bool
    resident_bytes: int | None
    reported_bytes: int | None
    reported_vram_bytes: int | None
    # Joules for a token of answer, of whatever counters there are.
    joules_per_token: float | None

    @property
    def error_share(self) -> float:
        wrong = sum(self.errors.values())
        return wrong / (wrong + self.answers)


def rows(results: Results) -> dict[Row, list[Request]]:
    """All requests by their row, in the order in which they were sent."""
    found: dict[Row, list[Request]] = {}
    for request in results.requests:
        row = Row(request.profile, request.phase, request.concurrency, request.way)
        found.setdefault(row, []).append(request)
    return found


def unfinished(results: Results) -> str:
    """Why a run is not whole; "" where it is."""
    if results.stopped:
        return results.stopped
    run = results.run
    profiles = [each for each in run.profiles if each.name not in results.left_out]
    planned = len(blocks(profiles, run.concurrency, run.ways, run.requests, run.rounds))
    return "" if len(results.done) >= planned else f"{len(results.done)} of {planned} blocks are measured"


def summaries(results: Results) -> list[Summary]:
    """Every row that was measured, in the order of the plan."""
    return [_summary(row, requests, results.done) for row, requests in rows(results).items()]


def values(requests: Iterable[Request], measure: Measure) -> list[float]:
    """The measure of all answers that have it, in the order in which they were sent."""
    taken = (measure.take(request.answer) for request in requests if request.answer is not None)
    return [value for value in taken if value is not None]


def router_share(results: Results) -> list[Finding]:
    """What the router adds: each row through it, held against the same row beside it."""
    measured = rows(results)
    pairs = []
    for row, requests in measured.items():
        beside = measured.get(Row(row.profile, row.phase, row.concurrency, BESIDE))
        if row.way == ROUTER and beside is not None:
            pairs += [
                Pair(str(row), name, values(beside, BY_NAME[name]), values(requests, BY_NAME[name]))
                for name in COMPARED
            ]
    return compare(pairs)


def compared(before: Results, after: Results) -> list[Finding]:
    """What is to be said of two runs, over the rows that both have."""
    one, other = rows(before), rows(after)
    return compare(
        [
            Pair(str(row), name, values(one[row], BY_NAME[name]), values(other[row], BY_NAME[name]))
            for row in one
            if row in other
            for name in COMPARED
        ]
    )


def _summary(row: Row, requests: Sequence[Request], done: Mapping[int, Done]) -> Summary:
    answers = [request.answer for request in requests if request.answer is not None]
    whole = [done[number] for number in dict.fromkeys(request.block for request in requests) if number in done]
    throughput = _throughput(row.concurrency, answers)
    watts = _watts(whole)
    return Summary(
        row=row,
        answers=len(answers),
        errors=Counter(request.error for request in requests if request.error),
        spreads=_spreads(requests),
        throughput=throughput,
        tokens_in=median([each.tokens_in for each in answers] or [0]),
        tokens_out=median([each.tokens_out for each in answers] or [0]),
        cached=fmean([each.cached / each.tokens_in if each.tokens_in else 0.0 for each in answers] or [0.0]),
        estimated=any(each.estimated for each in answers),
        resident_bytes=_most(block.resident_bytes for block in whole),
        reported_bytes=_most(block.reported_bytes for block in whole),
        reported_vram_bytes=_most(block.reported_vram_bytes for block in whole),
        joules_per_token=watts / throughput.value if watts and throughput and throughput.value else None,
    )


def _spreads(requests: Sequence[Request]) -> dict[str, Spread]:
    found = {measure: values(requests, measure) for measure in MEASURES}
    return {
        measure.name: Spread(stats.percentile(each, 0.5), stats.percentile(each, measure.tail))
        for measure, each in found.items()
        if each
    }


def _throughput(concurrency: int, answers: Sequence[Answer]) -> Estimate | None:
    """So many are always under way, and each gives its tokens in its time (Little's law)."""
    if not answers:
        return None

    def together(drawn: Sequence[Answer]) -> float:
        return concurrency * sum(each.tokens_out for each in drawn) / sum(each.end for each in drawn)

    if len(answers) < stats.LEAST:
        return Estimate(together(answers), None, None, len(answers))
    return stats.bootstrap(answers, together, seed=1, resamples=500)


def _watts(blocks: Sequence[Done]) -> float | None:
    """Mean power over the row's blocks, of whatever was counted; None where nothing was."""
    counted = [
        ((block.processor_joules or 0.0) + (block.graphics_joules or 0.0), block.ended - block.began)
        for block in blocks
        if block.processor_joules is not None or block.graphics_joules is not None
    ]
    seconds = sum(each for _, each in counted)
    return sum(joules for joules, _ in counted) / seconds if seconds > 0 else None


def _most(numbers: Iterable[int | None]) -> int | None:
    return max((number for number in numbers if number is not None), default=None)
