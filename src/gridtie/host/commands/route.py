"""`gridtie route explain`: where a request would go and why, without sending it."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any, Mapping

from gridtie.host.decision_words import lines
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
    explain.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="such as private; may be given more than once"
    )
    explain.add_argument("--stream", action="store_true", help="the answer is to be streamed")
    explain.add_argument("--tokens", type=int, metavar="N", help="tokens of the prompt")
    explain.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the answer")
    explain.add_argument("--session", metavar="ID", help="the session that the request is of, as in x-session-id")
    explain.add_argument(
        "--needs",
        action="append",
        default=[],
        choices=("tools", "vision", "json"),
        help="what the request asks of a model; may be given more than once",
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
    return "\n".join(f"{name:<10}{said}" for name, said in lines(plan))
