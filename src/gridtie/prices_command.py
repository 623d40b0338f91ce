"""`gridtie prices`: the snapshot that costs are computed from, made anew, compared, and what it said before."""

from __future__ import annotations

import datetime
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from argparse import Namespace
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from gridtie.host.table import table
from gridtie.ledger import PricesError, price_history, refresh, second_list
from gridtie.ledger.prices import ModelPrices, Prices, Rates

_PRICES = Path("config/prices.json")
# LiteLLM's list has some 2 MB.
_MOST_BYTES = 64 << 20
_TIMEOUT_S = 30.0


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    prices = commands.add_parser("prices", help="the price snapshot that costs are computed from")
    verbs = prices.add_subparsers(dest="verb", metavar="VERB", required=True)
    renew = verbs.add_parser("refresh", help="make it anew from the installed genai-prices, and say what changed")
    renew.add_argument("--out", type=Path, default=_PRICES, metavar="FILE", help=f"default: {_PRICES}")
    renew.set_defaults(run=run_refresh)
    check = verbs.add_parser(
        "check",
        help="compare it with a second list, and name what moved",
        description="Exit status: 0 no price differs, 1 some do, 2 a list cannot be read.",
    )
    check.add_argument(
        "--against",
        metavar="LIST",
        help="a file or an https URL: another prices.json, or LiteLLM's model_prices_and_context_window.json; "
        "default: the installed genai-prices, of today",
    )
    check.add_argument("--json", action="store_true", help="for programs")
    check.set_defaults(run=run_check)
    former = verbs.add_parser("history", help="what models cost before")
    former.add_argument("model", nargs="?", metavar="MODEL", help="a part of its name; default: all that moved")
    former.set_defaults(run=run_history)
    for verb in (check, former):
        verb.add_argument("--prices", type=Path, default=_PRICES, metavar="FILE", help=f"default: {_PRICES}")


def run_refresh(args: Namespace) -> int:
    """Replace the price file and continue its history. Raises `PricesError`."""
    today = _today()
    fresh = refresh.price_file(today)
    for change in refresh.write(args.out, fresh, refresh.former_prices(today)):
        sys.stdout.write(change + "\n")
    sys.stdout.write(f"{args.out}: {len(fresh.models)} models, {fresh.source}, {fresh.date}\n")
    return 0


def run_check(args: Namespace) -> int:
    """1 where a price differs. Raises `PricesError`."""
    prices = Prices.load(args.prices)
    name, theirs = _second(args.against)
    ours = {ref: listed for ref in prices.refs() if (listed := prices.listed(ref))}
    found = second_list.compare(ours, theirs)
    if not found.compared:
        raise PricesError(f"{name}: none of our {len(ours)} models is in it; is it a list of those providers?")
    if args.json:
        sys.stdout.write(_json(prices, name, found))
    else:
        sys.stdout.write(_text(prices, name, found))
    return 1 if found.moves else 0


def run_history(args: Namespace) -> int:
    """1 where no price of such a model moved. Raises `PricesError`."""
    prices, history = Prices.load(args.prices), price_history.load(args.prices.with_name(price_history.NAME))
    rows = []
    for ref, formers in history.models.items():
        if not args.model or args.model in ref:
            rows += [[ref, *_rates(former), f"until {former.until}{_above(former)}"] for former in formers]
            now = prices.listed(ref)
            rows += [[ref, *_rates(now), f"as of {prices.date}{_above(now)}"]] if now else []
    if not rows:
        sys.stderr.write(f"gridtie: no former price of {args.model or 'any model'} is known\n")
        return 1
    sys.stdout.write(table(("model", "input", "output", "cached", "written", ""), rows, right=range(1, 5)) + "\n")
    return 0


def _second(named: str | None) -> tuple[str, Mapping[str, Rates]]:
    if named is None:
        fresh = refresh.price_file(_today())
        return f"{fresh.source}, {fresh.date}", fresh.models
    if "://" in named:
        return named, second_list.read(_fetched(named), named)
    try:
        return named, second_list.read(Path(named).read_bytes(), named)
    except OSError as error:
        raise PricesError(f"{named}: cannot be read: {error.strerror}; wanted: a file, or an https URL") from None


def _fetched(url: str) -> bytes:
    if urllib.parse.urlsplit(url).scheme != "https":
        raise PricesError(f"{url}: wanted: a file, or an https URL")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (https, checked above)
            text: bytes = answer.read(_MOST_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise PricesError(f"{url}: no answer: {error}; fetch it in another way, and give the file") from None
    if len(text) > _MOST_BYTES:
        raise PricesError(f"{url}: more than {_MOST_BYTES >> 20} MiB found, which no price list has")
    return text


def _text(prices: Prices, name: str, found: second_list.Comparison) -> str:
    lines = []
    if found.moves:
        rows = [
            [move.ref, move.rate, _amount(move.ours), _amount(move.theirs), _change(move.change)]
            for move in found.moves
        ]
        lines.append(table(("model", "rate", "ours", "theirs", ""), rows, right=(2, 3, 4)))
    models = len({move.ref for move in found.moves})
    lines.append(
        f"{models} of {found.compared} models differ from {name}; {len(found.missing)} of ours are not in it. Ours: "
        f"{prices.source}, {prices.date}; US dollars per million tokens."
    )
    if found.moves:
        lines.append(
            "`gridtie prices refresh` makes ours anew; `prices` of a provider in the routing file go before it."
        )
    return "\n".join(lines) + "\n"


def _json(prices: Prices, name: str, found: second_list.Comparison) -> str:
    told = {
        "schema": 1,
        "ours": {"source": prices.source, "date": prices.date},
        "theirs": name,
        "compared": found.compared,
        "missing": found.missing,
        "moves": [
            {"model": move.ref, "rate": move.rate, "ours": move.ours, "theirs": move.theirs, "change": move.change}
            for move in found.moves
        ],
    }
    return json.dumps(told, indent=2) + "\n"


def _rates(rates: Rates) -> list[str]:
    return [_amount(rate) for rate in (rates.input, rates.output, rates.cached_input, rates.cache_write)]


def _above(listed: ModelPrices) -> str:
    return "".join(f"; above {tier.above:,} tokens {tier.input:g} in, {tier.output:g} out" for tier in listed.tiers)


def _amount(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:g}"


def _change(share: float | None) -> str:
    return "" if share is None else f"{share:+.0%}"


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
