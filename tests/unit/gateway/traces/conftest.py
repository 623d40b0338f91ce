"""A request that has ended."""

from __future__ import annotations

from gridtie.dialects.openai_chat.facts import read
from gridtie.gateway.traces.trace import Finished, Trace
from gridtie.ledger.entry import Entry
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, RequestInfo

INFO = RequestInfo(id="r-1", surface="openai", alias="coder", environment="dev", key="anna")
ENTRY = Entry(id="r-1", time=0.0, key="anna", environment="dev", surface="openai", asked="coder", status=200)


def finished(prompt: str = "") -> Finished:
    """One without attempts; with a prompt, one of which that may be told."""
    trace = Trace(None, 1, lambda: 2, lambda _: None, "POST /v1/chat/completions")
    if prompt:
        trace.facts = read(b'{"messages": [{"role": "user", "content": "%b"}]}' % prompt.encode())
    return Finished(trace, Outcome(INFO, Plan(rule="all"), 0.0, 0.0), ENTRY)
