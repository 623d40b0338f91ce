"""The file of `gridtie report --what-if`: what is asked a month, and which machines and models might answer it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from gridtie.config import source
from gridtie.config.convert import convert
from gridtie.config.problems import ConfigError, KeyPath, Problem
from gridtie.config.schema import Electricity, Hardware, Struct

# Of assumed traffic; a ledger may have more.
_MOST_REQUESTS = 2_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


class Traffic(Struct, frozen=True):
    """What is asked, where no ledger says it: so many requests of the same size, evenly over the days."""

    requests_per_day: float
    # Of one request.
    input_tokens: int
    output_tokens: int
    # Of the input tokens, those that are read from a cache: 0 to 1.
    cached_share: float = 0.0
    days: int = 30


class Candidate(Struct, frozen=True):
    """A machine with a model, and the cloud for what it does not answer."""

    name: str
    # How much of the requests is answered here, 0 to 1; private ones always are.
    local_share: float = 1.0
    # Of a ledger's traffic: these environments alone; None: all.
    environments: list[str] | None = None
    model: str = "local-model"
    # Of one request alone on the machine.
    prompt_tokens_per_second: float = 1000.0
    tokens_per_second: float = 40.0
    # None: what `costs` of the routing file says, or its default.
    electricity: Electricity | None = None
    # None: nothing has to be bought.
    hardware: Hardware | None = None
    # `provider/model` in the price snapshot for the rest; None: the baseline.
    cloud: str | None = None


class Assumptions(Struct, frozen=True):
    """The whole file. Without `traffic` it is the ledger's, of the period that is asked for."""

    candidates: list[Candidate]
    traffic: Traffic | None = None


def parse(raw: bytes, file: str) -> Assumptions:
    """Raises `ConfigError` with all that is wrong; `file` is only for messages."""
    found = source.parse(raw, file)
    assumed, problems = convert(found.data, Assumptions)
    if assumed is not None:
        problems = list(_check(assumed))
    if problems or assumed is None:
        raise ConfigError([found.locate(problem) for problem in problems])
    return assumed


def _check(assumed: Assumptions) -> Iterator[Problem]:
    if not assumed.candidates:
        yield Problem(path=("candidates",), what="the list is empty", fix="name at least one")
    names = [candidate.name for candidate in assumed.candidates]
    for at, candidate in enumerate(assumed.candidates):
        path: KeyPath = ("candidates", at)
        if candidate.name in names[:at]:
            yield Problem(path=(*path, "name"), what=f'"{candidate.name}" is there twice', fix="choose another name")
        if not _NAME.fullmatch(candidate.model):
            yield Problem(path=(*path, "model"), what="it is no name of a model", fix="such as qwen2.5-coder:7b")
        yield from within(candidate.local_share, 0, 1, (*path, "local_share"), "a share, 0 to 1")
        for key in ("prompt_tokens_per_second", "tokens_per_second"):
            yield from within(getattr(candidate, key), 0.01, 1e7, (*path, key), "tokens a second")
        for struct, section in ((candidate.electricity, "electricity"), (candidate.hardware, "hardware")):
            for key, value in msgspec.structs.asdict(struct).items() if struct else ():
                least = 0.01 if key == "years" else 0
                yield from within(value, least, 1e9, (*path, section, key), "0 or more, as in `costs`")
    if assumed.traffic is not None:
        traffic = assumed.traffic
        count = traffic.requests_per_day * traffic.days
        yield from within(traffic.days, 1, 3660, ("traffic", "days"), "days, 1 to 3660")
        yield from within(count, 1, _MOST_REQUESTS, ("traffic", "requests_per_day"), "1 to 2,000,000 in all the days")
        yield from within(traffic.cached_share, 0, 1, ("traffic", "cached_share"), "a share, 0 to 1")
        for key in ("input_tokens", "output_tokens"):
            yield from within(getattr(traffic, key), 0, 10_000_000, ("traffic", key), "tokens of one request")


def within(value: float, least: float, most: float, path: KeyPath, wanted: str) -> Iterator[Problem]:
    """A problem where a number is out of its range, or is none."""
    if not least <= value <= most:
        yield Problem(path=path, what=f"found {value:g}, wanted {wanted}")
