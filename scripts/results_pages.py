#!/usr/bin/env python3
"""Write the figures of docs/benchmarks.md, costs.md, replicas.md, quality.md and limitations.md from files of results.

With `--check` only say whether they are up to date. The files are those of benchmarks/results and docs/results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from closeout import load
from models_page import fill, settle, table
from results import ROOT, Record, read

from gridtie.agents.tasks import TASKS

MEASURED = ROOT / "benchmarks" / "results"
_NOT = "Not recorded here: `make record NAMES={name}`, on a station, fills it in."


def routers() -> str:
    """The router beside nginx and other routers: a table for each file."""
    return "\n\n".join(_routers(path.name, _file(path.name)) for path in sorted(MEASURED.glob("router_vs_*.json")))


def _routers(name: str, found: dict[str, Any]) -> str:
    measured = {mode: found["results"].get(mode, {}) for mode in ("whole", "stream", "half")}
    whole, stream, half = measured.values()
    failed = found.get("failed", {})
    rows = []
    for each in {**whole, **stream}:
        request, chunk, paced = (figures.get(each) for figures in measured.values())
        version = found["versions"].get(each, "")
        row = [
            f"{each} {version}".strip(),
            f"{request['cpu_us']:,.1f} µs" if request else "",
            _times_nginx(found, "whole", each) if request else "",
            f"{chunk['cpu_us']:,.1f} µs" if chunk else "none" if each in failed.get("stream", {}) else "",
            _times_nginx(found, "stream", each) if chunk else "",
            f"{max(each['resident_mb'] for each in (request, chunk) if each):.0f} MB",
        ]
        if half:
            row.append(_added(found, each) if paced else "")
        rows.append(row)
    head = [found["date"], "a request", "x nginx", "a streamed chunk", "x nginx", "resident"]
    if half:
        head.append("p99 later at half load")
    apart = f", chunks {1000 * found['spacing']:.0f} ms apart" if "spacing" in found else ""
    about = (
        f"Python {found['versions']['python']}{apart}, load of the machine before it: {found['load_average'][0]:.1f}"
    )
    if half:
        about += f"; median of {len(found['rounds']['whole']['nginx'])} rounds, with the least and the most"
    told = [f"No figures of streams of {who}: `{why}`." for who, why in failed.get("stream", {}).items()]
    if half:
        told.append(f"Targets: {'; '.join(_verdicts(found))}.")
    return " ".join([f"{table(head, rows, set(range(1, len(head))))}\n\n`benchmarks/results/{name}`; {about}.", *told])


def _verdicts(found: dict[str, Any]) -> Iterator[str]:
    """What was wanted of the router, and whether this run shows it."""
    against, half = found["against_nginx"], found["results"]["half"]
    request, chunk = against["whole"]["router"], against["stream"]["router"]
    yield _verdict("a request at most 3.5 times nginx", request["median"] <= 3.5, f"{request['median']:.2f}")
    yield _below_all(
        "a request", {name: each["median"] for name, each in against["whole"].items()}, "{:.2f} times nginx"
    )
    yield _verdict("a chunk at most 1.4 times nginx", chunk["median"] <= 1.4, f"{chunk['median']:.2f}")
    below = [name for name in _peers(against["stream"]) if against["stream"][name]["upper"] < chunk["lower"]]
    yield _verdict("no peer's chunk below it beyond the quartiles", not below, ", ".join(below) or "none is")
    translated = {name: each["median"] for name, each in against["stream"].items() if name.startswith("router: ")}
    if translated:
        worst = max(translated, key=lambda name: translated[name])
        yield _verdict("translated at most 1.6", translated[worst] <= 1.6, f"{translated[worst]:.2f}, {worst[8:]}")
    yield _below_all("p99 at half load", {name: each["added_p99_ms"] for name, each in half.items()}, "{:.2f} ms later")
    resident = max(
        each["resident_mb"] for name, each in found["results"]["stream"].items() if name.startswith("router")
    )
    yield _verdict("at most 60 MB with 150 streams", resident <= 60, f"{resident:.0f} MB")


def _verdict(wanted: str, met: bool, what: str) -> str:
    return f"{wanted}: {'met' if met else '**missed**'} ({what})"


def _below_all(what: str, figures: dict[str, float], unit: str) -> str:
    """Whether the router is below every peer."""
    peers = _peers(figures)
    if not peers:
        return f"{what} below every peer: none was measured"
    best = min(peers, key=lambda name: figures[name])
    met = figures["router"] < figures[best]
    return _verdict(f"{what} below every peer", met, f"{unit.format(figures['router'])}, {best} {figures[best]:.2f}")


def _peers(figures: dict[str, Any]) -> list[str]:
    """Those that are neither the floor nor the router, asked for what all of them do."""
    return [name for name in figures if not name.startswith(("nginx", "router")) and ": " not in name]


def _times_nginx(found: dict[str, Any], mode: str, name: str) -> str:
    """How many times nginx's, by round where that was written down."""
    if (spread := found.get("against_nginx", {}).get(mode, {}).get(name)) is None:
        figures = found["results"][mode]
        return f"{figures[name]['cpu_us'] / figures['nginx']['cpu_us']:.2f}"
    if name == "nginx":
        return "1.00"
    return f"{spread['median']:.2f} ({spread['least']:.2f} to {spread['most']:.2f})"


def _added(found: dict[str, Any], name: str) -> str:
    """How much later than upstream itself, and at how many requests a second."""
    rounds = [each["added_p99_ms"] for each in found["rounds"]["half"][name]]
    figures = found["results"]["half"][name]
    spread = f"({min(rounds):.2f} to {max(rounds):.2f})"
    return f"{figures['added_p99_ms']:.2f} ms {spread} at {figures['rate']:,.0f}/s"


def soak() -> str:
    """Memory over an hour."""
    return "\n\n".join(_soak(path.name, _file(path.name)) for path in sorted(MEASURED.glob("soak-*.json")))


def _soak(name: str, found: dict[str, Any]) -> str:
    did, resident = found["load"], [sample["resident_mb"] for sample in found["samples"]]
    said = (
        f"{found['date']}: {found['streams']} streams, {did['requests']:,} requests and {did['chunks']:,} chunks "
        f"in {did['seconds'] / 60:.0f} minutes, {did['errors']} errors. Resident {resident[0]:g} MB at first "
        f"and {resident[-1]:g} MB at last, {max(resident):g} MB at most; the slope after the first ten minutes is "
        f"{found['slope_mb_per_hour']:.1f} MB an hour (`benchmarks/results/{name}`)."
    )
    if viewers := found.get("viewers"):
        said += (
            f" {viewers['viewers']} people had the dashboard open: {viewers['events']:,} events and "
            f"{viewers['answers']:,} answers about the past, the slowest after {viewers['slowest']:.2f} s."
        )
    if scraped := found.get("prometheus"):
        said += (
            f" A Prometheus scraped every {scraped['interval']}, {scraped['scrapes']:,.0f} times, of which "
            f"{scraped['failed']:.0f} failed."
        )
    if kept := found.get("ledger"):
        said += f" The ledger has each of these answers, and {kept['left']:,} streams that the end cut off."
    return said


def pool() -> str:
    """How long requests wait in a pool, beside a scheduler that knows everything."""
    path = newest("pool")
    return _pool(path.name, _file(path.name)) if path is not None else "Not measured here: see benchmarks/README.md."


def _pool(name: str, found: dict[str, Any]) -> str:
    rows = []
    for run in found["runs"]:
        ratio = "none waits there" if run["ratio_p99"] is None else f"{run['ratio_p99']:.2f}"
        ours, theirs = run["waiting"], run["omniscient"]
        each = [f"{ours[part]:.2f} s / {theirs[part]:.2f} s" for part in ("mean", "p90", "p99", "longest")]
        rows.append([f"{run['load']:.0%}", f"{run['requests']:,}", *each, ratio])
    head = ["load", "requests", "mean wait: pool / scheduler", "p90", "p99", "longest", "p99, times"]
    course, machines = found["course"], found["machines"]
    lost = sum(run["lost"] for run in (*found["runs"], course))
    herd = any(run["most_at_once"][m["name"]] > m["slots"] for run in (*found["runs"], course) for m in machines)
    missed = [run for run in found["runs"] if run["ratio_p99"] is not None and run["ratio_p99"] > 1.5]
    stations = ", ".join(f"{m['name']} {m['slots']} at {m['speed']:g}" for m in machines)
    told = [
        f"{lost} requests lost; {'a station had more' if herd else 'no station had more'} requests than slots; p99 at "
        f"most 1.5 times the scheduler's: {'**missed** at ' if missed else 'met'}"
        f"{', '.join(format(run['load'], '.0%') for run in missed)}.",
        f"A mean request is {found['service']:g} s of work; stations by slots and speed: {stations}. "
        f"`benchmarks/results/{name}`, {found['seconds']:g} s of each load, {found['date']}, Python "
        f"{found['versions']['python']}.",
        "![Waiting by load, beside the scheduler](pictures/pool-waiting.svg)",
        f"While stations come and go, at {course['load']:.0%} of what all of them can do: "
        f"{'; '.join(_change(each) for each in course['changes'])}. Of {course['requests']} requests {course['lost']} "
        f"were lost; the 99th percentile of waiting is {course['waiting']['p99']:.1f} s, the longest "
        f"{course['waiting']['longest']:.1f} s. Once it had been seen, the slow station was given "
        f"{course['begun_after_by_the_slow']} of {course['begun_after']} requests.",
        "![Requests at each station while some come and go](pictures/pool-course.svg)",
    ]
    return "\n\n".join([table(head, rows, set(range(1, len(head)))), *told])


def _change(each: dict[str, Any]) -> str:
    return f"at {each['at']:.0f} s *{each['machine']}* {each['what']}"


def newest(kind: str) -> Path | None:
    """The latest file of results of a kind, by its date."""
    return max(MEASURED.glob(f"{kind}-*.json"), default=None)


def target() -> str:
    """What `gridtie bench` measured."""
    return _of("bench-probe", _target)


def _target(record: Record) -> str:
    rows = []
    for row in record.result["rows"]:
        measures = row["measures"]
        name = ", ".join(filter(None, (row["profile"], row["phase"], f"{row['concurrency']} at once")))
        rows.append(
            [
                name + (", beside the router" if row["beside"] else ""),
                str(row["answers"]) + (f" (+{sum(row['errors'].values())} failed)" if row["errors"] else ""),
                _interval(measures.get("first-token"), "p50", "s"),
                _interval(measures.get("first-token"), "tail", "s"),
                _interval(measures.get("answer-rate"), "p50", ""),
                f"{row['throughput']['value']:.3g}" if row["throughput"] else "-",
            ]
        )
    head = ["row", "answers", "first token p50 (95 % interval)", "p95", "tokens/s of an answer", "tokens/s together"]
    return table(head, rows, {1, 2, 3, 4, 5})


def _interval(spread: dict[str, Any] | None, which: str, unit: str) -> str:
    if not spread:
        return "-"
    found = spread[which]
    low, high = (f"{found[end]:.3g}" if found[end] is not None else "?" for end in ("low", "high"))
    return f"{found['value']:.3g} {unit}".strip() + f" ({low} to {high})"


def solved() -> str:
    """What `gridtie quality` found."""
    return _of("quality-probe", _solved)


def _solved(record: Record) -> str:
    rows = [
        [
            line["group"],
            f"{rate['passed']} of {rate['total']}",
            f"{rate['low']:.0%} to {rate['high']:.0%}",
            f"{line['seconds']['value']:.3g} s" if line["seconds"] else "-",
            _usd(line),
        ]
        for line in record.result["categories"]
        for rate in (line["rate"],)
    ]
    told = table(["category", "solved", "95 % interval", "time a solved task", "cost of one"], rows, {1, 2, 3, 4})
    left = len(record.result["left_out"])
    counted = f"\n\nCost: {record.result['counted']}."
    return told + counted + (f" Not tried, since the target could not be given them: {left} tasks." if left else "")


def _usd(line: dict[str, Any]) -> str:
    """What a solved task cost; it may be unknown, and there may be none."""
    if line["usd"]:
        return f"${line['usd']['value']:.2g}"
    return "unknown" if line["rate"]["passed"] else "-"


def demo() -> str:
    """How often a model solves the demo's tasks, by how hard they are."""
    lines = [
        json.loads(line) for line in (MEASURED / "demo_rates.jsonl").read_text(encoding="utf-8").splitlines() if line
    ]
    rows = []
    tried = dict.fromkeys(line["model"] for line in lines)
    for model in tried:
        for level in dict.fromkeys(task.level for task in TASKS.values()):
            names = {name for name, task in TASKS.items() if task.level == level}
            runs = [line for line in lines if line["model"] == model and line["task"] in names]
            passed = sum(line["passed"] for line in runs)
            named = ", ".join(f"`{name}`" for name in TASKS if name in names)
            rows.append([f"{level}, {model}" if len(tried) > 1 else level, named, f"{passed} of {len(runs)}"])
    models = ", ".join(sorted({f"{line['model']} on {line['engine']}" for line in lines}))
    return (
        f"{table(['level', 'tasks', 'seeds solved'], rows, {2})}\n\n{models} (`benchmarks/results/demo_rates.jsonl`)."
    )


def solved_task() -> str:
    """What one solved task of the demo cost, on each side of a comparison."""
    record = read("demo-compare")
    if record is None:
        return _NOT.format(name="demo-compare")
    found = record.result
    rows = [
        [
            f"`{side['target']}`" + (" (a stand-in)" if side["standin"] else ""),
            each["group"],
            f"{each['rate']['passed']} of {each['rate']['total']}",
            _usd(each),
            f"{each['seconds']['value']:.3g} s" if each["seconds"] else "-",
        ]
        for side in found["sides"]
        for each in side["agents"]
    ]
    told = table(["on", "agent", "solved", "cost of one solved task", "its time"], rows, {2, 3, 4})
    about = f"Tasks {', '.join(found['tasks'])}, {found['seeds']} seeds each; {found['counted']}."
    return f"{told}\n\n{about} {_made(record)}"


def first_answer() -> str:
    """How long it takes from a clone to an answer in an editor's client."""
    records = [read(f"first-answer{kind}") for kind in ("", "-release")]
    found = [record for record in records if record is not None]
    if not found:
        return "Not recorded here: `make record NAMES=first-answer` fills it in."
    steps = dict.fromkeys(step for record in found for step in record.result["seconds"])
    head = ["", *("a release's sources" if record.result["release"] else "package sources" for record in found)]
    rows = [
        [f"`{step}`" if " " in step else step, *(f"{record.result['seconds'][step]:.1f} s" for record in found)]
        for step in steps
    ]
    rows.append(["together", *(f"{record.result['together'] / 60:.1f} min" for record in found)])
    rows.append(["load of the machine before it", *(f"{record.result['load_before']:.1f}" for record in found)])
    told = table(head, rows, set(range(1, len(head))))
    return "\n\n".join([told, *(_made(record) for record in found)])


def clients() -> str:
    """What came of asking through every client that can be had."""
    record = read("clients")
    if record is None:
        return "Not recorded here: `make test PART=clients` fills it in."
    rows = [
        [
            row["client"],
            row["version"],
            f"`{row['asks']}`",
            row["how"],
            "works" if not row["failed"] else f"**{len(row['failed'])} failed**: {', '.join(row['failed'])}",
            str(row["tried"]),
            {True: "answered", False: "**failed**", None: "not asked"}[row.get("station")],
        ]
        for row in record.result["rows"]
    ]
    told = table(["client", "version", "asks", "answers come", "", "tests", "at a station"], rows, {5})
    made = f"`{record.command}`, {record.where}, gridtie {record.gridtie} ({record.commit})."
    return f"{told}\n\nNot run, since no program of theirs is at hand: {', '.join(record.result['not_run'])}.\n\n{made}"


def chaos() -> str:
    """What came of faults under load, with several routers and with one."""
    record = read("chaos")
    if record is None:
        return "Not recorded here: `make record NAMES=chaos` fills it in."
    rows = [
        [
            each["fault"],
            str(each["routers"]),
            f"{each['sent']:,}",
            f"{each['answered']:,}",
            str(each["retried"]),
            str(each["broken_off"]),
            ", ".join(f"{count} ({why})" for why, count in each["failed"].items()) or "0",
            str(each["lost"]),
            f"${each['overdrawn_usd']:.2f} of ${each['budget_usd']:.0f}, {each['billed_usd']:.2f} billed",
            f"{each['slowest_s']:.1f} s",
        ]
        for each in record.result["rows"]
    ]
    head = [
        "fault", "routers", "sent", "answered", "by the SDK's retry", "streams that broke off", "without an answer",
        "lost", "overdrawn", "slowest answer",
    ]  # fmt: skip
    return f"{table(head, rows, {1, 2, 3, 4, 5, 7, 9})}\n\n{_made(record)}"


def unshown() -> str:
    """What could not be tried on the machines at hand."""
    rows = [
        [line["line"], each["why"].strip(), f"`{each['command']}`"]
        for line in load()["lines"]
        for each in line.get("open") or ()
    ]
    return table(["", "why", "what would show it"], rows, set())


def _of(name: str, shown: Callable[[Record], str]) -> str:
    record = read(name)
    if record is None:
        return _NOT.format(name=name)
    facts, run = record.result["facts"], record.result["run"]
    engine = " ".join(part for part in (facts.get("engine"), facts.get("engine_version")) if part)
    about = ", ".join(part for part in (f"`{run['target']}`", engine, facts.get("digest", "")[:19]) if part)
    return f"{shown(record)}\n\n{about}; {_made(record)}"


def _made(record: Record) -> str:
    made = f"`{record.command}`, {record.where}, gridtie {record.gridtie} ({record.commit})."
    if not (record.exit_status or record.result.get("unfinished")):
        return made
    why = f": {record.result['unfinished']}" if record.result.get("unfinished") else ""
    return f"{made} **It did not come to its end**, with exit status {record.exit_status}{why}."


def _file(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MEASURED / name).read_text(encoding="utf-8"))
    return found


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "clients.md": {"clients": clients},
    "benchmarks.md": {"target": target, "first-answer": first_answer, "routers": routers, "soak": soak, "pool": pool},
    "costs.md": {"solved-task": solved_task},
    "replicas.md": {"chaos": chaos},
    "quality.md": {"solved": solved},
    "limitations.md": {"demo": demo, "unshown": unshown},
}


def page(name: str, text: str) -> str:
    """A page with everything between its marks written anew. Raises ValueError where a mark is missing."""
    for mark, make in PAGES[name].items():
        text = fill(text, name, mark, make())
    return text


def main() -> int:
    """Write the pages, or say which is not up to date."""
    paths = [ROOT / "docs" / name for name in PAGES]
    return max([settle(path, page(path.name, path.read_text(encoding="utf-8"))) for path in paths])


if __name__ == "__main__":
    sys.exit(main())
