"""A side as it is asked: a client of the demo whose every request is paid for before it is sent, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import msgspec

from gridtie.agents.client import Client, OnText, Question, Reply, RequestFailed
from gridtie.bench.errors import BenchError
from gridtie.bench.ledger_row import row_of, settled
from gridtie.bench.purse import Purse
from gridtie.bench.target import Router
from gridtie.demo.results import Asked, Side
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.facts import read as read_facts
from gridtie.ledger import Entry


@dataclass
class Way:
    """One side. `most` is what a request may be billed at most; None: no cloud can answer it."""

    side: Side
    client: Client
    router: Router
    most: Callable[[Facts, int], float] | None = None
    # From the first line written on.
    purse: Purse | None = None
    asked: list[Asked] = field(default_factory=list)

    def ask(self, question: Question, on_text: OnText = lambda _text: None) -> Reply:
        """Raises `RequestFailed`, and `BenchError` where another target answered or the money is spent."""
        number = None
        if self.purse is not None and self.most is not None:
            body = msgspec.json.encode(self.client.body(question))
            number = self.purse.take(self.most(read_facts(body), question.max_tokens))
        started = monotonic()
        try:
            reply = self.client.ask(question, on_text)
        except RequestFailed as error:
            # What it took until then counts; without an id the router did not take it.
            if error.request_id:
                self._keep(question, monotonic() - started, error.request_id)
            raise
        row = self._keep(question, monotonic() - started, reply.request_id or "")
        self._expect(reply, row)
        if self.purse is not None and number is not None:
            self.purse.settle(number, settled(row))
        return reply

    def _keep(self, question: Question, seconds: float, request_id: str) -> Entry | None:
        row = row_of(self.router, request_id)
        self.asked.append(Asked(agent=question.agent, seconds=seconds, entry=row))
        return row

    def _expect(self, reply: Reply, row: Entry | None) -> None:
        target = (row.target if row else None) or reply.target
        if target and target != self.side.target:
            raise BenchError(f"{target} answered in the place of {self.side.target}: stopped at once")
