"""The closing table adds up what was metered, and does not invent what was not."""

from __future__ import annotations

from gridtie.agents.account import lines, remark, total
from gridtie.agents.client import Record, Reply


def _reply(agent: str, id: str | None, target: str | None = None) -> Reply:
    return Reply(agent, "", "stop", 100, 11, 0.5, 1.5, id, "coder", target, None)


def _record(cost: float | None, baseline: float | None) -> Record:
    return Record("station/gridtie/smollm2:135m", "local", "dev", cost, baseline, "openai/x")


def test_requests_of_one_agent_are_one_line() -> None:
    """Tries add up; speed counts the tokens after the first over the time after the first."""
    replies = [_reply("coder", "1"), _reply("coder", "2"), _reply("tester", "3")]
    found = lines(replies, {"1": _record(0.0, 0.1), "2": _record(0.0, 0.2), "3": _record(0.0, 0.3)})

    assert [line.agent for line in found] == ["coder", "tester"]
    assert (found[0].requests, found[0].tokens_in, found[0].tokens_out) == (2, 200, 22)
    assert found[0].tokens_per_second == 10.0
    assert round(found[0].baseline_usd or 0, 6) == 0.3


def test_the_ledger_says_what_served_and_where() -> None:
    """Its row goes before the headers, and a model's own name may hold slashes."""
    line = lines([_reply("coder", "1", "other/model")], {"1": _record(0.0, 0.1)})[0]

    assert (line.model, line.where) == ("gridtie/smollm2:135m", "local")


def test_a_cost_that_is_not_known_for_every_request_is_not_known() -> None:
    """A sum with a hole in it would be a wrong number."""
    line = lines([_reply("coder", "1"), _reply("coder", "2")], {"1": _record(0.0, 0.1), "2": None})[0]

    assert (line.cost_usd, line.baseline_usd) == (None, None)
    assert line.cells()[-2:] == ("?", "?")


def test_the_total_adds_the_tokens_and_the_money() -> None:
    """The last line of the table."""
    replies = [_reply("coder", "1"), _reply("tester", "2")]
    cells = total(replies, {"1": _record(0.0, 0.001), "2": _record(0.002, 0.002)})

    assert (cells[3], cells[4], cells[-2], cells[-1]) == ("200", "22", "0.00200", "0.00300")


def test_the_remark_names_the_cloud_model_or_why_there_is_none() -> None:
    """An honest number has a name, and a missing one a reason."""
    assert "openai/x" in remark([_reply("a", "1")], {"1": _record(0.0, 0.1)})
    assert "not a Gridtie router" in remark([_reply("a", None)], {})
    assert "no cloud model" in remark([_reply("a", "1")], {"1": None})
