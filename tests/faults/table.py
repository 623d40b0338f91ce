"""What must come of each fault: data, from docs/routing.md ("What moves a request on") and the wire formats' own rules.

A request can come to one of these:

next     another target answers, whole, and nothing of the failing one's is in it
own      the failing target's answer is whole all the same, and counted as it said
own~     the same; it did not say what it took, so that is estimated and flagged
event    what was already passed on, then an error event; never spliced, never shown as whole
504, 4xx an error for the client. 4xx: the status that upstream gave, or 400; final, so that no other target is asked
-        there is no such case

Columns: of a streamed request; of an unstreamed one whose answer is passed on (client and target speak one dialect) and
of one whose answer is collected from a stream (it is translated). `alone`: where `next` stands and there is no other
target, status and code for the client. `noted`: what the ledger says of the attempt.
"""

from __future__ import annotations

from typing import NamedTuple

TABLE = """
fault                      | streamed | passed on | collected | alone                        | noted
429                        | next     | next      | next      | 429 busy                     | busy
500                        | next     | next      | next      | 502 upstream_broken          | broken
503                        | next     | next      | next      | 503 busy                     | busy
404                        | next     | next      | next      | 502 upstream_model_missing   | model_missing
401                        | next     | next      | next      | 502 upstream_refused_key     | auth
403                        | next     | next      | next      | 502 upstream_refused_key     | auth
context exceeded           | next     | next      | next      | 400 context_length_exceeded  | context
RST                        | next     | next      | next      | 502 upstream_unreachable     | unreachable
FIN                        | next     | next      | next      | 502 upstream_unreachable     | unreachable
slow                       | next     | next      | next      | 504 upstream_timeout         | timeout
role only                  | next     | next      | next      | 504 upstream_timeout         | timeout
cut                        | event    | next      | next      | 502 upstream_broken          | broken
stall                      | event    | next      | next      | 504 upstream_timeout         | timeout
garbage                    | next     | next      | next      | 502 upstream_broken          | broken
error in the stream        | next     | next      | next      | 502 upstream_broken          | broken
error after content        | event    | next      | next      | 502 upstream_broken          | broken
HTML                       | next     | next      | next      | 502 upstream_broken          | broken
header of 1 MB             | next     | next      | next      | 502 upstream_broken          | broken
one byte at a time         | own      | own       | own       |                              | ok
no usage                   | own~     | own~      | own~      |                              | ok
endless                    | event    | -         | 504       |                              | timeout
half a head                | next     | next      | next      | 504 upstream_timeout         | timeout

# Siblings of these.
400                        | 4xx      | 4xx       | 4xx       |                              | invalid
422                        | 4xx      | 4xx       | 4xx       |                              | invalid
context in a 413           | next     | next      | next      | 400 context_length_exceeded  | context
context in a 422           | next     | next      | next      | 400 context_length_exceeded  | context
context in a 500           | next     | next      | next      | 400 context_length_exceeded  | context
cut before content         | next     | next      | next      | 502 upstream_broken          | broken
reset after content        | event    | next      | next      | 502 upstream_broken          | broken
pings only                 | next     | -         | next      | 504 upstream_timeout         | timeout
pings after content        | event    | -         | next      | 504 upstream_timeout         | timeout
garbage after content      | event    | -         | next      | 502 upstream_broken          | broken
not HTTP                   | next     | next      | next      | 502 upstream_broken          | broken
HTML 502                   | next     | next      | next      | 502 upstream_broken          | broken
10,000 headers             | next     | next      | next      | 502 upstream_broken          | broken
null usage                 | own~     | own~      | own~      |                              | ok
empty usage                | own~     | own~      | own~      |                              | ok
odd usage                  | own~     | own~      | own~      |                              | ok
larger than 16 MB          | -        | next      | next      | 502 upstream_broken          | broken
head only                  | next     | -         | next      | 504 upstream_timeout         | timeout
empty                      | next     | next      | next      | 502 upstream_broken          | broken
compressed                 | next     | next      | next      | 502 upstream_broken          | broken
surplus bytes              | own      | own       | own       |                              | ok
finished, then RST         | own      | -         | own       |                              | ok
finished, then FIN         | own      | -         | own       |                              | ok
finished, then silence     | own      | -         | own       |                              | ok
whole, asked to stream     | own      | -         | own       |                              | ok
streams, asked for a whole | -        | own next  | -         | 502 upstream_broken          | ok broken

# Of OpenAI's dialect alone.
moderation 403 (openai)    | 4xx      | 4xx       | -         |                              | policy
odd error field (openai)   | own      | own       | -         |                              | ok

# At a target that is asked again once (`retries`), and would answer well then: only where nothing can have begun, or it
# said how long to wait, and not for how long that ever is.
429 once, retried          | own      | own       | own       |                              | busy
503 once, retried          | own      | own       | own       |                              | busy
429 for an hour, retried   | next     | next      | next      | 429 busy                     | busy
500 once, retried          | next     | next      | next      | 502 upstream_broken          | broken
cut once, retried          | next     | next      | next      | 502 upstream_broken          | broken

# Unusual statuses. RFC 9110, 15: an unknown one is read as the first of its class, one outside of 100-599 as a 5xx;
# 1xx come before the answer; redirects are not followed.
100, then the answer       | own      | own       | own       |                              | ok
199, then the answer       | own      | own       | own       |                              | ok
199 alone                  | next     | next      | next      | 504 upstream_timeout         | timeout
101                        | next     | next      | next      | 502 upstream_broken          | broken
204                        | next     | next      | next      | 502 upstream_broken          | broken
299                        | own      | own       | own       |                              | ok
300-308                    | next     | next      | next      | 502 upstream_broken          | broken
# Nobody's words for a request that is wrong: rate limits of some services, and what proxies between say of themselves.
420 430                    | next     | next      | next      | 503 busy                     | busy
444 460 498 499            | next     | next      | next      | 502 upstream_broken          | broken
520-528 530                | next     | next      | next      | 502 upstream_broken          | broken
529                        | next     | next      | next      | 503 busy                     | busy
599                        | next     | next      | next      | 502 upstream_broken          | broken
099 600 999                | next     | next      | next      | 502 upstream_broken          | broken
"""

# Where dialects differ: (fault, dialect) -> another row's text in the same columns.
#
# Role only, unstreamed, at a target that speaks OpenAI's dialect: there the message is whole and says nothing. It
# passes as it is, so there is nothing to try.
SPECIAL = {
    ("role only", "openai", "passed on"): ("-", "", ""),
    # Ollama's has no `done` and Anthropic's no content, and so they are none.
    ("role only", "ollama", "passed on"): ("next", "502 upstream_broken", "broken"),
    ("role only", "anthropic", "passed on"): ("next", "502 upstream_broken", "broken"),
}

DIALECTS = ("openai", "ollama", "anthropic")


class Cell(NamedTuple):
    """One request of the table and what must come of it."""

    fault: str
    dialect: str
    streamed: bool
    # Whether there is a healthy target behind the failing one.
    backed: bool
    # Any of these will do.
    wanted: tuple[str, ...]
    noted: tuple[str, ...]

    @property
    def name(self) -> str:
        how = "streamed" if self.streamed else "whole"
        return f"{self.fault} / {self.dialect} / {how} / {'backed' if self.backed else 'alone'}"


class Row(NamedTuple):
    faults: tuple[str, ...]
    dialects: tuple[str, ...]
    # Column -> outcomes, any of which will do.
    wanted: dict[str, tuple[str, ...]]
    alone: str
    noted: tuple[str, ...]


def rows() -> list[Row]:
    """The table, read."""
    found = []
    for line in TABLE.strip().splitlines()[1:]:
        if not line or line.startswith("#"):
            continue
        name, streamed, passed, collected, alone, noted = (field.strip() for field in line.split("|"))
        only = [dialect for dialect in DIALECTS if f"({dialect})" in name]
        faults = _statuses(name.partition(" (")[0] if only else name)
        outcomes = {"streamed": streamed, "passed on": passed, "collected": collected}
        wanted = {column: tuple(text.split()) for column, text in outcomes.items()}
        found.append(Row(faults, tuple(only) or DIALECTS, wanted, alone, tuple(noted.split())))
    return found


def _statuses(name: str) -> tuple[str, ...]:
    """`300-302 420` as its four statuses; any other name is one fault."""
    words = name.split()
    if not all(word.replace("-", "").isdigit() for word in words):
        return (name,)
    spans = [word.partition("-") for word in words]
    return tuple(
        name
        for first, dash, last in spans
        for name in ([str(n) for n in range(int(first), int(last) + 1)] if dash else [first])
    )


# What a client speaks, by the name of the surface that it asks through (`standins.surfaces`).
CLIENTS = {"openai chat": "openai", "anthropic messages": "anthropic", "ollama chat": "ollama"}


def cells(client: str = "openai chat") -> list[Cell]:
    """Every request of the table, through one surface."""
    found = []
    for row in rows():
        for fault in row.faults:
            for dialect in row.dialects:
                for streamed in (True, False):
                    column = "streamed" if streamed else "passed on" if dialect == CLIENTS[client] else "collected"
                    found += _pair(row, fault, dialect, column)
    return found


def _pair(row: Row, fault: str, dialect: str, column: str) -> list[Cell]:
    """With a healthy target behind the failing one, and without."""
    wanted, alone, noted = row.wanted[column], row.alone, row.noted
    if special := SPECIAL.get((fault, dialect, column)):
        wanted, alone, noted = (special[0],), special[1], (special[2],)
    if wanted == ("-",):
        return []
    without = tuple(alone if outcome == "next" else outcome for outcome in wanted)
    streamed = column == "streamed"
    return [
        Cell(fault, dialect, streamed, True, wanted, noted),
        Cell(fault, dialect, streamed, False, without, noted),
    ]
