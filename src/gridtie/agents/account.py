"""The closing table: what each agent used, where it ran, what it cost, and what the cloud would have charged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gridtie.agents.client import Record, Reply

HEADER = ("agent", "model", "where", "in", "out", "first", "tok/s", "cost $", "cloud $")


@dataclass(frozen=True)
class Line:
    """One agent's requests added up. Money is US dollars; None where the router did not tell about every request."""

    agent: str
    model: str
    where: str
    requests: int
    tokens_in: int
    tokens_out: int
    first_token: float
    tokens_per_second: float
    cost_usd: float | None
    baseline_usd: float | None

    def cells(self) -> tuple[str, ...]:
        name = self.agent if self.requests == 1 else f"{self.agent} x{self.requests}"
        return (
            name,
            self.model,
            self.where,
            str(self.tokens_in),
            str(self.tokens_out),
            f"{self.first_token:.2f}s",
            f"{self.tokens_per_second:.0f}",
            _dollars(self.cost_usd),
            _dollars(self.baseline_usd),
        )


def lines(replies: Sequence[Reply], records: Mapping[str, Record | None]) -> list[Line]:
    """One line an agent, in the order of their first requests."""
    agents = list(dict.fromkeys(reply.agent for reply in replies))
    return [_line(agent, [reply for reply in replies if reply.agent == agent], records) for agent in agents]


def total(replies: Sequence[Reply], records: Mapping[str, Record | None]) -> tuple[str, ...]:
    """The table's last line; times of different agents do not add up, so it has none but the mean speed."""
    whole = _line("total", replies, records)
    return ("total", "", "", *whole.cells()[3:5], "", *whole.cells()[6:])


def remark(replies: Sequence[Reply], records: Mapping[str, Record | None]) -> str:
    """What the two money columns mean, or why they are empty."""
    if any(reply.request_id is None for reply in replies):
        return "The endpoint is not a Gridtie router, so nothing is known about cost."
    baselines = {record.baseline_model for record in records.values() if record and record.baseline_model}
    if not baselines:
        return "The router named no cloud model to compare with."
    named = ", ".join(sorted(baselines))
    return f"cloud $: what {named} would have charged for the same tokens, by the router's ledger."


def _line(agent: str, replies: Sequence[Reply], records: Mapping[str, Record | None]) -> Line:
    known = [records.get(reply.request_id or "") for reply in replies]
    generating = sum(reply.duration - reply.first_token for reply in replies)
    # The first token of an answer came with the wait for it, so it does not count as generated in the time after.
    later_tokens = sum(max(reply.tokens_out - 1, 0) for reply in replies)
    return Line(
        agent=agent,
        model=_joined(_model(reply, record) for reply, record in zip(replies, known, strict=True)),
        where=_joined(_where(reply, record) for reply, record in zip(replies, known, strict=True)),
        requests=len(replies),
        tokens_in=sum(reply.tokens_in for reply in replies),
        tokens_out=sum(reply.tokens_out for reply in replies),
        first_token=replies[0].first_token,
        tokens_per_second=later_tokens / generating if generating > 0 else 0.0,
        cost_usd=_sum([record.cost_usd if record else None for record in known]),
        baseline_usd=_sum([record.baseline_usd if record else None for record in known]),
    )


def _model(reply: Reply, record: Record | None) -> str:
    """The model that really served; a target is `provider/model`, and model names may hold slashes of their own.

    The ledger goes before the header: an answer that was long in coming is opened before its target is known.
    """
    target = (record.target if record else None) or reply.target
    return target.partition("/")[2] if target else reply.model


def _where(reply: Reply, record: Record | None) -> str:
    return (record.locality if record else None) or reply.locality or "?"


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _sum(amounts: Sequence[float | None]) -> float | None:
    present = [amount for amount in amounts if amount is not None]
    return sum(present) if present and len(present) == len(amounts) else None


def _dollars(amount: float | None) -> str:
    if amount is None:
        return "?"
    return f"{amount:.5f}" if amount else "0"
