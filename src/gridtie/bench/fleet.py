"""What several hosts measured, as one table: who serves which model how fast, what is off the prediction. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridtie.bench.text import rate, seconds
from gridtie.host.table import table
from gridtie.page import html

SCHEMA = 1
# A prediction of speed is made of the memory's bandwidth alone: half and double of it are what it promises.
WITHIN = 2.0
_MEMORY = "memory.fit"
_HEAD = (
    *("host", "model", "engine", "first token p50", "p95", "answer/s alone", "predicted", "together/s", "parallel"),
    *("memory", "off the prediction"),
)
_MIB = 1 << 20


@dataclass(frozen=True)
class Ran:
    """One model's benchmark: `gridtie bench --json`, empty where it could not be measured, and the last words."""

    model: str
    document: Mapping[str, Any]
    said: str = ""


@dataclass(frozen=True)
class Host:
    """What one host told: its station's models, benchmarks, `gridtie fit --json`, `gridtie doctor --json`."""

    name: str
    models: Sequence[Mapping[str, Any]] = ()
    runs: Sequence[Ran] = ()
    predicted: Mapping[str, Any] = field(default_factory=dict)
    examined: Mapping[str, Any] = field(default_factory=dict)
    # Why there is nothing of it.
    why: str = ""


def table_of(hosts: Sequence[Host], now: float) -> dict[str, Any]:
    """The table as data: a row for each model of each host, and one for each host that told nothing."""
    return {
        "schema": SCHEMA,
        "made": datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds"),
        "rows": [row for host in hosts for row in _rows(host)],
    }


def text(found: Mapping[str, Any]) -> str:
    """For a terminal."""
    cells = [_cells(row) for row in found["rows"]]
    return f"{table(_HEAD, cells, right=range(3, 9))}\n\n" + "\n".join(f"- {line}" for line in _reading(found)) + "\n"


def page(found: Mapping[str, Any]) -> str:
    """One HTML file that stands alone."""
    return html.document(
        "LLM stations: speed and memory",
        html.element("h1", "LLM stations: speed and memory"),
        html.element("p", f"Made {found['made']}.", class_="soft"),
        html.table(_HEAD, [_cells(row) for row in found["rows"]], left=3),
        html.section("How to read it", html.listed(_reading(found))),
        html.section(
            "What was not measured, and what is off",
            html.listed(
                f"{row['host']} {row['model']}: {row['problem'] or '; '.join(row['off'])}" for row in _odd(found)
            ),
        )
        if any(_odd(found))
        else "",
    )


def _odd(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (row for row in found["rows"] if row["problem"] or row["off"])


def _reading(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Through each host's router, of its own engine. `alone` is one request at a time, by the middle of the "
        "answers' tokens a second; `together` is all that are answered at once."
    )
    yield (
        f"Speed is off where the whole 95 % interval lies below 1/{WITHIN:g} or above {WITHIN:g} times what `gridtie "
        "fit` estimates from the memory's bandwidth; memory is what the doctor's check says, with its bounds."
    )
    for row in _odd(found):
        yield f"{row['host']} {row['model']}: {row['problem'] or '; '.join(row['off'])}".replace("  ", " ")


def _rows(host: Host) -> Iterator[dict[str, Any]]:
    if host.why:
        yield _row(host.name, "", problem=host.why)
        return
    if not host.runs:
        yield _row(host.name, "", problem="it has no model of its own that answers: embeddings alone, or none")
    for ran in host.runs:
        if not ran.document.get("rows"):
            yield _row(host.name, ran.model, problem=ran.said or "it gave no result")
            continue
        yield _measured(host, ran)


def _row(host: str, model: str, **more: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(
        (
            "engine",
            "digest",
            "machine",
            "began",
            "profile",
            "alone",
            "together",
            "predicted_tokens_per_second",
            "memory",
        )
    )
    return {"host": host, "model": model, **nothing, "off": [], "problem": "", **more}


def _measured(host: Host, ran: Ran) -> dict[str, Any]:
    run, facts = ran.document["run"], ran.document["facts"]
    profile = run["profiles"][0]["name"]
    lines = [
        row for row in ran.document["rows"] if row["profile"] == profile and not row["beside"] and not row["phase"]
    ]
    alone = next((row for row in lines if row["concurrency"] == 1 and row["answers"]), None)
    most = max((row for row in lines if row["throughput"]), key=lambda row: row["concurrency"], default=None)
    predicted = _predicted(host, ran.model)
    memory = _memory(host)
    speed = alone["measures"].get("answer-rate", {}).get("p50") if alone else None
    off = [*_slow(speed, predicted), *_wrong(memory), *_errors(lines)]
    if ran.document.get("unfinished"):
        off.append(f"not finished: {ran.document['unfinished']}")
    return _row(
        host.name,
        ran.model,
        engine=" ".join(part for part in (facts.get("engine"), facts.get("engine_version")) if part),
        digest=facts.get("digest", ""),
        machine=run.get("machine", {}),
        began=run["started"],
        profile=profile,
        alone={"first_token": alone["measures"].get("first-token"), "answer_rate": speed} if alone else None,
        together={"tokens_per_second": most["throughput"], "concurrency": most["concurrency"]} if most else None,
        predicted_tokens_per_second=predicted,
        memory={**memory, "resident_bytes": max((row["resident_bytes"] or 0 for row in lines), default=0) or None},
        off=off,
    )


def _predicted(host: Host, model: str) -> float | None:
    """Tokens a second of one request by `gridtie fit`, which names models as the catalogue does."""
    named = {str(each["name"]): str(each.get("catalogue", "")) for each in host.models}.get(model, "")
    for each in host.predicted.get("models", ()):
        if each["name"] == named and each.get("estimated_tokens_per_second"):
            return float(each["estimated_tokens_per_second"])
    return None


def _memory(host: Host) -> dict[str, Any]:
    predicted = [each.get("predicted_bytes") for each in host.models]
    check: Mapping[str, Any] = next((each for each in host.examined.get("checks", ()) if each["id"] == _MEMORY), {})
    return {
        "predicted_bytes": None if None in predicted else sum(predicted),
        "ok": check.get("ok"),
        "found": check.get("found", ""),
        "wanted": check.get("wanted", ""),
    }


def _slow(speed: Mapping[str, Any] | None, predicted: float | None) -> Iterator[str]:
    if not speed or not predicted:
        return
    low, high = (speed[end] if speed[end] is not None else speed["value"] for end in ("low", "high"))
    if high * WITHIN < predicted or low > predicted * WITHIN:
        yield f"{rate(speed['value'])} tokens/s, {rate(predicted)} were predicted"


def _wrong(memory: Mapping[str, Any]) -> Iterator[str]:
    if memory["ok"] is False and memory["found"]:
        yield f"memory: {memory['found']}; wanted: {memory['wanted']}"


def _errors(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in lines:
        for error, count in row["errors"].items():
            yield f"{count} failed at {row['concurrency']} at once: {error}"


def _cells(row: Mapping[str, Any]) -> list[str]:
    if row["problem"]:
        return [row["host"], row["model"], *["-"] * 8, row["problem"][:80]]
    alone, together, memory = row["alone"] or {}, row["together"], row["memory"]
    first, speed = alone.get("first_token"), alone.get("answer_rate")
    resident, predicted = (memory[name] for name in ("resident_bytes", "predicted_bytes"))
    return [
        row["host"],
        row["model"],
        row["engine"],
        seconds(first["p50"]["value"]) if first else "-",
        seconds(first["tail"]["value"]) if first else "-",
        rate(speed["value"]) if speed else "-",
        rate(row["predicted_tokens_per_second"]) if row["predicted_tokens_per_second"] else "-",
        rate(together["tokens_per_second"]["value"]) if together else "-",
        str(together["concurrency"]) if together else "-",
        f"{_mib(resident)} of {_mib(predicted)} predicted",
        "yes"
        if row["off"]
        else "no"
        if row["predicted_tokens_per_second"] and memory["ok"] is not None
        else "not known",
    ]


def _mib(size: int | None) -> str:
    return f"{size // _MIB:,} MiB" if size else "unknown"
