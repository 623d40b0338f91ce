"""`gridtie route explain`: where a request would go and why, without sending it."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any, Mapping

from gridtie.host.paths import find, home_of
from gridtie.host.router import Router


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    route = commands.add_parser("route", help="explain routing decisions")
    verbs = route.add_subparsers(dest="verb", metavar="VERB", required=True)
    explain = verbs.add_parser("explain", help="where a request would go and why; nothing is sent")
    explain.add_argument("--model", metavar="ALIAS", help="what the client would ask for (default: the default alias)")
    explain.add_argument("--environment", metavar="NAME", help="dev, test, ci or production (default: the key's first)")
    explain.add_argument("--agent", metavar="NAME", help="the program that asks, as in x-gridtie-agent")
    explain.add_argument("--tag", action="append", default=[], metavar="TAG", help="such as private; more than once")
    explain.add_argument("--stream", action="store_true", help="the answer is to be streamed")
    explain.add_argument("--tokens", type=int, metavar="N", help="tokens of the prompt")
    explain.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the answer")
    explain.add_argument("--session", metavar="ID", help="the session that the request is of, as in x-session-id")
    explain.add_argument(
        "--needs",
        action="append",
        default=[],
        choices=("tools", "vision", "json"),
        help="what the request asks of a model; more than once",
    )
    explain.add_argument("--json", action="store_true", help="for programs")
    explain.set_defaults(run=run_explain)


def run_explain(args: Namespace) -> int:
    """Print the decision; 1 if the request would be refused."""
    endpoint = find(os.environ, home_of(os.environ))
    plan = Router(endpoint.url, endpoint.key).post("/gridtie/route", question(args))
    sys.stdout.write((json.dumps(plan, indent=2) if args.json else text(plan)) + "\n")
    return 1 if plan.get("refusal") else 0


def question(args: Namespace) -> dict[str, Any]:
    """The request body: only what was said, so that the router's defaults hold for the rest."""
    said = {
        "model": args.model,
        "environment": args.environment,
        "agent": args.agent,
        "tags": args.tag,
        "stream": args.stream,
        "prompt_tokens": args.tokens,
        "max_tokens": args.max_tokens,
        "needs": args.needs,
        "session": args.session,
    }
    return {name: value for name, value in said.items() if value}


def text(plan: Mapping[str, Any]) -> str:
    """The decision for people."""
    lines = [f"rule      {plan['rule']}"]
    if plan.get("local_only"):
        lines.append(f"local     no cloud on any path: {plan['local_only']}")
    if plan.get("holds_prefix"):
        lines.append(f"session   its prefix is at {plan['holds_prefix']}")
    for number, attempt in enumerate(plan.get("attempts", ()), 1):
        lines.append(f"attempt {number} {attempt['target']} ({attempt['locality']}): {attempt['reason']}")
    lines += [f"time-outs {_timeouts(plan)}", f"retries   {_retries(plan)}"] if plan.get("attempts") else []
    lines += [f"skipped   {skip['target']}: {skip['reason']}" for skip in plan.get("skipped", ())]
    refusal = plan.get("refusal")
    if refusal:
        lines.append(f"refused   {refusal['status']} {refusal['code']}: {refusal['message']}")
    return "\n".join(lines)


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
