"""What a host hands over for the bill of a fleet: each request of a period with its money, to be added up.

A request is some thirty numbers and the group that it belongs to, packed: about 65 bytes. No agent, tag, error or asked
name is among them. Electricity is the host's own figure, by its watts and its price; when it was used is beside it,
since others may have asked the same machine.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gridtie.config.names import RELAY
from gridtie.host.version import __version__
from gridtie.report.figures import described
from gridtie.report.ledger_file import opened, read
from gridtie.report.question import Question, QuestionError
from gridtie.report.sql import SUMMED, priced, quoted, rows_of, statements

SCHEMA = 1
# More of one host in one month are not taken: 65 MB on the way, where nobody reckons with more.
MOST_ROWS = 1_000_000
# What requests of one group have in common.
GROUP = ("day", "environment", "key", "project", "model")
# Summed in place of the seconds that it is computed from: each host has watts of its own.
ELECTRICITY = "electricity_pico"
FIGURES = tuple(ELECTRICITY if name == "powered_us" else name for name in SUMMED)
# When a machine of ours began with it, in milliseconds of the period, and how many it took; 0 where none did.
WHEN = ("started_ms", "powered_ms")
# Characters of base64 that are unpacked at a time; a multiple of 4.
_PIECE = 1 << 20
# Figures of the host's own report that are of the machine, or that say how sure the rest is.
_BESIDE = ("bottom_line", "named", "own", "unfinished", "private_at_a_cloud")


class Handed(msgspec.Struct, frozen=True):
    """A host's document."""

    schema: int
    version: str
    question: dict[str, Any]
    bottom_line: dict[str, Any]
    named: list[dict[str, Any]]
    own: list[dict[str, Any]]
    unfinished: dict[str, Any]
    private_at_a_cloud: list[dict[str, Any]]
    # What this host answered for others, by their keys: counted where it was asked.
    relayed: list[dict[str, Any]]
    # Where its local providers compute (shared_machines.py).
    machines: dict[str, str]
    groups: list[tuple[str, ...]]
    count: int
    packed: str

    @property
    def rows(self) -> Iterator[list[Any]]:
        """[number of the group, id, figures..., when...] of each request. Raises `ValueError` where it is not whole."""
        unpacker, rest = zlib.decompressobj(), b""
        for at in range(0, len(self.packed), _PIECE):
            try:
                *lines, rest = (rest + unpacker.decompress(base64.b64decode(self.packed[at : at + _PIECE]))).split(
                    b"\n"
                )
            except zlib.error as error:
                raise ValueError(f"its rows cannot be unpacked: {error}") from None
            yield from map(json.loads, lines)
        if not unpacker.eof or rest:
            raise ValueError("its rows end in the middle")


class OtherSchemaError(ValueError):
    """It is no document of a host, or one of another version; the message says which."""


def handed(raw: bytes) -> Handed:
    """A host's document. Raises `OtherSchemaError`."""
    try:
        found = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise OtherSchemaError("what it gave is no report") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema, version = (found.get(name) if isinstance(found, dict) else None for name in ("schema", "version"))
        raise OtherSchemaError(
            f"schema {schema!r} of gridtie {version} found, {SCHEMA} wanted: run site.yml with the gridtie of this "
            "controller on it, or the report with a gridtie as new as that host's"
        )
    try:
        return msgspec.convert(found, Handed)
    except msgspec.ValidationError as error:
        raise OtherSchemaError(f"what it gave is no report: {error}") from None


def document(question: Question, ledger: Path, machines: Mapping[str, str] | None = None, most: int = MOST_ROWS) -> str:
    """The document, as JSON; a period without a request is one with none. `machines` says which local providers compute
    elsewhere (shared_machines.py). Raises `UnreadableError`, `QuestionError`.
    """
    asked = statements(question)
    with opened(ledger) as connection:
        found = read(connection, asked)
        count = int(found["totals"][0]["requests"])
        if count > most:
            raise QuestionError(
                f"{count:,} requests in the period, and a fleet's bill takes {most:,} of one host at most: take this "
                "host's own report (`gridtie report --month`), or a part of its traffic (--key, --environment)"
            )
        groups, packed = _packed(connection, question)
        relayed = connection.execute(
            f"SELECT key, count(*) AS requests, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens"
            f" FROM metered WHERE environment = {quoted(RELAY)} AND time >= ? AND time < ? AND purpose = ''"
            " AND answered GROUP BY 1 ORDER BY 1",
            (question.since, question.until),
        ).fetchall()
    told: Mapping[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "question": described(question),
        **{name: found[name] for name in _BESIDE},
        "bottom_line": found["bottom_line"][0],
        "unfinished": found["unfinished"][0],
        "relayed": [dict(row) for row in relayed],
        "machines": machines or {},
        "groups": groups,
        "count": count,
        "packed": packed,
    }
    return json.dumps(told, ensure_ascii=False) + "\n"


def _packed(connection: sqlite3.Connection, question: Question) -> tuple[Sequence[tuple[str, ...]], str]:
    """The groups, and the rows that name them by their number."""
    numbers: dict[tuple[str, ...], int] = {}
    figures = ", ".join(
        "cast(round(powered_us * (SELECT usd_per_us FROM machines) * 1e12) AS INTEGER)" if name == ELECTRICITY else name
        for name in FIGURES
    )
    began = f"cast(round((began - {question.since!r}) * 1e3) AS INTEGER)"
    when = f"iif(powered_us > 0, {began}, 0), cast(round(powered_us / 1e3) AS INTEGER)"
    more = "id, time + waited AS began, "
    sql = (
        f"SELECT id, {figures}, {when}, {', '.join(GROUP)}"
        f" FROM ({priced(question, rows_of(question), more)}) WHERE purpose = ''"
    )
    packer, parts = zlib.compressobj(6), []
    for row in connection.execute(sql):
        values = tuple(row)
        group = values[-len(GROUP) :]
        number = numbers.setdefault(group, len(numbers))
        line = json.dumps([number, *values[: -len(GROUP)]], separators=(",", ":"))
        parts.append(packer.compress(line.encode() + b"\n"))
    parts.append(packer.flush())
    return list(numbers), base64.b64encode(b"".join(parts)).decode()
