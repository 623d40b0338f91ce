"""The files of a month: written anew until it is closed, and not once after that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gridtie.host.new_file import put
from gridtie.report.fleet_told import page, text
from gridtie.report.question import QuestionError
from gridtie.report.spreadsheet import spreadsheet
from gridtie.report.words import money

_KINDS = ("txt", "csv", "html", "json")


class Kept(NamedTuple):
    """What became of a month: its bill as the files have it, whether they were written, and what is to be told."""

    bill: Mapping[str, Any]
    written: bool
    notices: list[str]


def keep(bill: dict[str, Any], directory: Path, *, close: bool = False, reopen: bool = False) -> Kept:
    """Write a month's files, unless it is closed: then say what the ledgers have otherwise by now.

    A month is closed by the first bill after its end (`over`) that no host is missing in; `close` does so with hosts
    missing. `reopen` puts the closed files aside under the time at which they were closed. Raises `QuestionError`.
    """
    before = _before(directory / f"{bill['month']}.json")
    if before and before.get("closed") and not reopen:
        return Kept(before, False, list(_late(before, bill)))
    bill["closed"] = bill["made"] if bill["over"] and bill["hosts"] and (close or not bill["missing"]) else None
    told = {
        "txt": text(bill),
        "csv": spreadsheet(bill),
        "html": page(bill),
        # The last one: what it says of the month is so for all of them.
        "json": json.dumps(bill, indent=2, ensure_ascii=False) + "\n",
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if before and before.get("closed"):
            _put_aside(directory, str(bill["month"]), str(before["closed"]))
        for kind in _KINDS:
            put(directory / f"{bill['month']}.{kind}", told[kind])
    except OSError as error:
        raise QuestionError(
            f"{error.filename or directory} cannot be written: {error.strerror}; see gridtie_report_dir"
        ) from None
    return Kept(bill, True, [])


def _before(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise QuestionError(
            f"{path} cannot be read: {error}; move it away, or name another gridtie_report_dir"
        ) from None
    if not isinstance(found, dict) or found.get("schema") != 1:
        raise QuestionError(f"{path} is no bill of this gridtie (schema 1 wanted); move it away")
    return found


def _late(closed: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What the ledgers say of a closed month that its file does not."""
    yield f"{closed['month']} was closed at {closed['closed']}: its files are as they were"
    before, after = ({row["group"]: row for row in each["by"]["host"]} for each in (closed, now))
    missing = {each["host"] for each in now["missing"]}
    for host in sorted({*before, *after} - missing):
        had, has = (
            (side[host]["requests"], side[host]["cloud_usd"]) if host in side else (0, 0.0) for side in (before, after)
        )
        if had != has:
            yield (
                f"{host} has {has[0]:,} requests of {closed['month']} now ({money(has[1])} on clouds), and the closed "
                f"files {had[0]:,} ({money(had[1])}): late or removed rows are in no bill, unless "
                "-e gridtie_report_reopen=true makes the month anew and keeps the files as they are beside it"
            )


def _put_aside(directory: Path, month: str, closed: str) -> None:
    stamp = closed.replace(":", "").replace("+0000", "Z")
    for kind in _KINDS:
        file = directory / f"{month}.{kind}"
        if file.exists():
            file.rename(directory / f"{month}.closed-{stamp}.{kind}")
