"""Asks every cell of the table at one router process, and says where something else came of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterable
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec

from faults.table import DIALECTS, Cell
from faults.upstream import HEALTHY, HEALTHY_WORDS, OWN_WORDS, Upstream, slug
from faults.wire import INPUT, OUTPUT
from gridtie.config.schema import Timeouts
from gridtie.ledger.entry import Entry
from standins.process import Process, process
from standins.router import KEY, Answered, request
from standins.surfaces import CHATS, DONE, Surface, units
from standins.surfaces import asked as request_body

OWN = "".join(OWN_WORDS)

# Seconds. Long enough for a machine that does other things, short enough for a table. The last, `total`, is beyond the
# ten seconds that a head may take from its first byte on.
FIRST_TOKEN, BETWEEN, TOTAL = 4.0, 4.0, 14.0
# How much later than `total` a client may hear of it on a busy machine.
SLACK = 5.0

# Between the starts of those that wait for a clock: else all of them would ask the next target at the same instant.
APART = 0.03

# Requests at once that keep a processor at work; those that wait for a clock are not counted.
AT_ONCE = 12
_TIMED_OUT = "504 upstream_timeout"
_WAITS = ("slow", "stall", "endless", "role only", "half a head", "head only", "pings", "199 alone", "silence")
# They fill what the router may hold: one after another.
_LARGE = "larger than 16 MB"


class Verdict(NamedTuple):
    """What came of a cell."""

    cell: Cell
    # One of the table's words, or what was found instead of them.
    found: str
    # Everything that is wrong; empty where the cell is right.
    wrong: list[str]
    seconds: float


class Asked(NamedTuple):
    answered: Answered
    text: str
    # `error` of the body or of the last event.
    error: dict[str, Any] | None
    # Complaints about the form.
    malformed: list[str]


def routing_file(cells: Iterable[Cell], port: int) -> str:
    """One alias for each cell: a failing cloud, and behind it, if so, a healthy local model. JSON is YAML."""
    timeouts = {"connect": 5.0, "first_token": FIRST_TOKEN, "first_token_cold": FIRST_TOKEN}
    timeouts |= {"between_tokens": BETWEEN, "total": TOTAL}
    if "whole" in Timeouts.__struct_fields__:
        timeouts["whole"] = FIRST_TOKEN
    here = f"http://127.0.0.1:{port}"
    price = {"input": 1.0, "output": 2.0}
    models = {
        alias(cell): {
            "local": _healthy(cell) if cell.backed else None,
            "cloud": {"provider": f"failing-{cell.dialect}", "model": alias(cell)},
            "retries": {"count": 1, "backoff": 0.1, "max_backoff": 2} if "retried" in cell.fault else {},
        }
        for cell in cells
    }
    providers: dict[str, Any] = {
        f"failing-{dialect}": {
            "type": dialect,
            "base_url": here + ("/v1" if dialect == "openai" else ""),
            "prices": {alias(cell): price for cell in cells if cell.dialect == dialect},
        }
        for dialect in DIALECTS
    }
    providers["healthy"] = {"type": "openai", "base_url": f"{here}/v1", "locality": "local"}
    rules = [{"name": "all", "use": ["cloud", "local"]}]
    defaults = {"alias": next(iter(models))}
    return json.dumps(
        {
            "version": 1, "providers": providers, "models": models, "rules": rules, "timeouts": timeouts,
            "defaults": defaults,
        }
    )  # fmt: skip


def alias(cell: Cell) -> str:
    """A cell's name, which the stand-in reads the fault from."""
    how = "streamed" if cell.streamed else "whole"
    return f"{slug(cell.fault)}--{cell.dialect}-{how}-{'backed' if cell.backed else 'alone'}"


def _healthy(cell: Cell) -> str:
    """The target behind it, of its own: where one is late on a busy machine, the router leaves it alone for a while."""
    return f"healthy/{HEALTHY}--{alias(cell)}"


async def play(cells: list[Cell], client: str = "openai chat") -> tuple[list[Verdict], list[str]]:
    """Every cell's verdict through one surface, and what is wrong with the router afterwards."""
    surface = CHATS[client]
    # In the order of their length: what waits for a clock runs beside everything else.
    gate, large = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)
    with tempfile.TemporaryDirectory(prefix="gridtie-faults-") as directory:
        async with Upstream() as upstream:
            file = routing_file(cells, upstream.port)
            async with process(Path(directory), file, GRIDTIE_ACCESS_LOG="off") as router:
                turns = itertools.count()
                work = [
                    _after(next(turns) * APART, _judge(router, cell, surface))
                    if _waits(cell)
                    else _gated(router, cell, surface, large if cell.fault == _LARGE else gate)
                    for cell in cells
                ]
                verdicts = list(await asyncio.gather(*work))
                after = await _afterwards(router)
    return verdicts, after


def _waits(cell: Cell) -> bool:
    return any(word in cell.fault for word in _WAITS)


async def _after(seconds: float, verdict: Coroutine[object, object, Verdict]) -> Verdict:
    await asyncio.sleep(seconds)
    return await verdict


async def _gated(router: Process, cell: Cell, surface: Surface, gate: asyncio.Semaphore) -> Verdict:
    async with gate:
        return await _judge(router, cell, surface)


async def _judge(router: Process, cell: Cell, surface: Surface) -> Verdict:
    started = monotonic()
    try:
        async with asyncio.timeout(TOTAL + SLACK):
            asked = await _ask(router, cell, surface)
    except TimeoutError:
        seconds = monotonic() - started
        return Verdict(cell, "hangs", [f"no whole answer within {TOTAL + SLACK:g} s"], seconds)
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        return Verdict(cell, "broken", [f"no well-formed answer: {error!r}"], monotonic() - started)
    seconds = monotonic() - started
    found = _outcome(asked, cell)
    row = await _row(router, asked)
    wrong = [*asked.malformed, *_mismatch(cell, found, asked)]
    wrong += ["no row in the ledger"] if row is None else _row_mismatch(cell, found, asked, row)
    return Verdict(cell, found, wrong, seconds)


async def _ask(router: Process, cell: Cell, surface: Surface) -> Asked:
    wire = await router.connect()
    try:
        body = request_body(surface, "hi", model=alias(cell), streamed=cell.streamed)
        await wire.send(request(body, path=surface.path, port=router.port))
        answered = await wire.answered()
    finally:
        wire.close()
    malformed = [] if answered.whole else ["the message is cut"]
    kind = answered.headers.get("content-type", "").partition(";")[0]
    if kind in ("text/event-stream", "application/x-ndjson"):
        return _read_stream(answered, surface, malformed)
    if kind != "application/json":
        malformed.append(f"content-type {kind!r}")
    body = json.loads(answered.body)
    if answered.status != 200:
        return Asked(answered, "", _error(body), malformed + _error_complaints(body, surface))
    text = surface.whole(body) if body.get("content") != [] else ""
    if cell.streamed:
        malformed.append("a whole answer to a streamed request")
    return Asked(answered, text, None, malformed)


def _read_stream(answered: Answered, surface: Surface, malformed: list[str]) -> Asked:
    """The text and the end of a stream."""
    text, error, ended = "", None, False
    for data in units(answered.headers["content-type"], answered.body):
        if ended or error is not None:
            malformed.append("something follows the end of the stream")
        ended = ended or surface.ended(data)
        if data == DONE:
            continue
        unit = json.loads(data)
        if unit.get("error"):
            error, ended = _error(unit), False
            malformed += _error_complaints(unit, surface)
        else:
            text += surface.piece(unit) or ""
    if not ended and error is None:
        malformed.append("the stream has neither an end mark nor an error")
    return Asked(answered, text, error, malformed)


def _error(body: dict[str, Any]) -> dict[str, Any]:
    """An error's fields; of one that is a text alone its message."""
    error = body.get("error")
    return error if isinstance(error, dict) else {"message": str(error)}


def _error_complaints(body: dict[str, Any], surface: Surface) -> list[str]:
    try:
        if surface.error(body):
            return []
    except (AssertionError, KeyError, TypeError):
        pass
    return [f"an error in another form: {json.dumps(body)[:200]}"]


def _outcome(asked: Asked, cell: Cell) -> str:
    """In the words of the table, or what there is instead."""
    status = asked.answered.status
    if status != 200:
        assert asked.error is not None
        # Ollama's clients are told no code: then the status stands for it.
        right = (_TIMED_OUT if wanted == "504" else wanted for wanted in cell.wanted)
        same = [wanted for wanted in right if wanted.split(" ")[0] == str(status)]
        return f"{status} {asked.error.get('code') or (same[0].partition(' ')[2] if same else '')}".strip()
    if asked.error is not None:
        return "event" if asked.text else "event without content"
    if asked.text == HEALTHY_WORDS:
        return "next"
    return "own" if asked.text == OWN else f"text {asked.text[:60]!r}"


def _mismatch(cell: Cell, found: str, asked: Asked) -> list[str]:
    """What a client sees that it should not."""
    wrong = []
    if not any(_fits(wanted, found, cell.fault) for wanted in cell.wanted):
        told = f": {asked.error.get('message', '')[:160]}" if asked.error else ""
        wrong.append(f"{found}, wanted {' or '.join(cell.wanted)}{told}")
    if found == "event" and not cell.fault.startswith("endless") and not OWN.startswith(asked.text):
        wrong.append(f"passed on was {asked.text[:60]!r}")
    if cell.fault == "endless" and asked.text.replace("and on ", ""):
        wrong.append("content of another target")
    retry = asked.answered.headers.get("retry-after")
    if asked.answered.status in (429, 503) and retry is None:
        wrong.append(f"{asked.answered.status} without Retry-After")
    if "HTML" in cell.fault and not cell.backed and asked.error and "html" not in str(asked.error["message"]).lower():
        wrong.append(f"does not say that HTML came: {asked.error['message'][:120]}")
    if found.startswith("4") and asked.error and "sk-faul" in str(asked.error["message"]):
        wrong.append("shows a part of the key")
    return wrong


def _fits(wanted: str, found: str, fault: str) -> bool:
    if wanted == "own~":
        return found == "own"
    if wanted == "504":
        return found == _TIMED_OUT
    if wanted == "4xx":
        status = found.split(" ")[0]
        given = next((word for word in fault.split() if word.isdigit()), "400")
        return status in ("400", given)
    return wanted == found


async def _row(router: Process, asked: Asked) -> Entry | None:
    id = asked.answered.headers.get("x-gridtie-request-id", "")
    found = await router.get(f"/gridtie/requests/{id}", KEY)
    return msgspec.json.decode(found.content, type=Entry) if found.status_code == 200 else None


def _row_mismatch(cell: Cell, found: str, asked: Asked, row: Entry) -> list[str]:
    """Where the ledger says something else than what happened."""
    failing = f"failing-{cell.dialect}/{alias(cell)}"
    if not row.tries:
        return ["row: no try"]
    # Not one of the table's: upstream had closed a connection that was kept, and was asked again over a new one.
    tries = [tried for tried in row.tries if tried.outcome != "stale"]
    first, last = tries[0], tries[-1]
    facts: list[tuple[str, Any, tuple[Any, ...]]] = [
        ("status", row.status, (asked.answered.status,)),
        ("complete", row.complete, (found in ("next", "own"),)),
        ("stream", row.stream, (cell.streamed,)),
        ("tries[0].target", first.target, (failing,)),
        ("tries[0].outcome", first.outcome, cell.noted),
    ]
    if found == "next":
        facts += [
            ("target", row.target, (_healthy(cell),)),
            ("tries[-1].target", last.target, (_healthy(cell),)),
            ("tries[-1].outcome", last.outcome, ("ok",)),
            ("tokens", (row.input_tokens, row.output_tokens, row.estimated), ((INPUT, OUTPUT, False),)),
        ]
    if found == "own":
        facts.append(("target", row.target, (failing,)))
        if "own~" in cell.wanted:
            facts.append(("estimated", row.estimated, (True,)))
            facts.append(("something counted", bool(row.input_tokens and row.output_tokens), (True,)))
        else:
            counted = (row.input_tokens, row.output_tokens, row.estimated)
            facts.append(("tokens", counted, ((INPUT, OUTPUT, False),)))
    if found == "event":
        facts += [("target", row.target, (failing,)), ("output_tokens > 0", row.output_tokens > 0, (True,))]
    if asked.error is not None:
        facts.append(("error said", bool(row.error), (True,)))
    if found not in ("own", "event"):
        # What nobody was served is not billed, and saves nothing.
        facts.append(("cost_usd", row.cost_usd or 0, (0,)))
        if found != "next":
            facts.append(("baseline_usd", row.baseline_usd or 0, (0,)))
    return [f"row: {name} {told!r}, wanted {' or '.join(map(repr, right))}" for name, told, right in facts
            if told not in right]  # fmt: skip


async def _afterwards(router: Process) -> list[str]:
    """What is left once every client has its answer."""
    wrong = []
    deadline = monotonic() + 5
    while True:
        text = (await router.get("/metrics")).text
        taken = [
            line
            for line in text.splitlines()
            if line.startswith(("gridtie_in_flight{", "gridtie_waiting{")) and not line.endswith(" 0.0")
        ]
        if not taken or monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    wrong += [f"a slot is still taken: {line}" for line in taken]
    if (await router.get("/readyz")).status_code != 200:
        wrong.append("/readyz is not 200")
    wrong += [f"logged {count} times: {line}" for line, count in Counter(_exceptions(router.log)).most_common()]
    return wrong


def _exceptions(log: str) -> list[str]:
    """Of each exception that the router logged: what and where."""
    found = []
    for line in log.splitlines():
        said = json.loads(line) if line.startswith("{") else {"exception": line}
        if trace := said.get("exception"):
            places = [each.strip() for each in trace.splitlines() if each.lstrip().startswith("File ")]
            found.append(f"{trace.splitlines()[-1][:200]} ({places[-1] if places else said.get('message', '')[:200]})")
    return found
