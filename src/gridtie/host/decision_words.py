"""A decision about a request in words, as `gridtie route explain` and the dashboard say it."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Tuple

from .printable import one_line


def lines(plan: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """What is told of and what is said, line by line; `plan` is the answer of `POST /gridtie/route`."""
    yield "rule", plan["rule"]
    if plan.get("local_only"):
        yield "local", f"no cloud on any path: {plan['local_only']}"
    if plan.get("holds_prefix"):
        yield "session", f"its prefix is at {plan['holds_prefix']}"
    for number, attempt in enumerate(plan.get("attempts", ()), 1):
        yield f"attempt {number}", f"{attempt['target']} ({attempt['locality']}): {attempt['reason']}"
    if plan.get("attempts"):
        yield "time-outs", _timeouts(plan)
        yield "retries", _retries(plan)
    for skip in plan.get("skipped", ()):
        yield "skipped", f"{skip['target']}: {skip['reason']}"
    refusal = plan.get("refusal")
    if refusal:
        yield "refused", f"{refusal['status']} {refusal['code']}: {refusal['message']}"


def tried(attempt: Mapping[str, Any]) -> str:
    """What became of one attempt at one target, as the ledger has it."""
    said = f": {one_line(attempt['message'])}" if attempt.get("message") else ""
    return f"{one_line(attempt['target'])} {attempt['outcome']} after {attempt.get('duration', 0.0):.2f} s{said}"


def _timeouts(plan: Mapping[str, Any]) -> str:
    """Seconds, each with whose it is where it is not the file's."""
    seconds = plan.get("timeouts", {}).items()
    return ", ".join(f"{name} {value:g} s{_owner(plan, 'timeouts', name)}" for name, value in seconds if value)


def _retries(plan: Mapping[str, Any]) -> str:
    retries = plan.get("retries", {})
    if not retries.get("count"):
        return "none at the same target"
    first, most = retries["backoff"], retries["max_backoff"]
    owner = _owner(plan, "retries", "count")
    return f"{retries['count']} at the same target{owner}, after {first:g} s, doubled with each up to {most:g} s"


def _owner(plan: Mapping[str, Any], section: str, name: str) -> str:
    owner = plan.get("set_by", {}).get(f"{section}.{name}")
    return f" ({owner})" if owner else ""
