"""`GET /dashboard/requests/{id}`: one request, with the decision about it in the words of `gridtie route explain`.

Of a request under way it is the decision that was made. The ledger keeps what came of decisions and not their reasons:
of a request that is over, what happened is told from its row, and what the rules say about such a request now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any, cast

from msgspec import to_builtins

from gridtie.config.names import PRIVATE, RELAY
from gridtie.dialects.facts import BYTES_PER_TOKEN
from gridtie.dialects.types import Surface
from gridtie.gateway.admin.answer import refuse, tell
from gridtie.gateway.dashboard.reader import Reader
from gridtie.gateway.dashboard.sign_in import PATH, SignIn
from gridtie.gateway.dashboard.under_way import UnderWay, row
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Loaded
from gridtie.host.decision_words import lines, tried
from gridtie.ledger.entry import Entry
from gridtie.ledger.ledger import Ledger
from gridtie.routing.explain import described, explain
from gridtie.routing.plan import RequestInfo
from gridtie.routing.policy import Policy
from gridtie.routing.request import Request
from gridtie.routing.state import State

_AS_MADE = "As it was decided."
_BY_NOW = (
    "By the rules and the state of now, for a request of this outline; whether it needed tools or pictures is not in "
    "the ledger."
)


class Explained:
    """One request."""

    def __init__(
        self,
        under_way: UnderWay,
        ledger: Ledger,
        state: State,
        sign_in: SignIn,
        loaded: Callable[[], Loaded],
        reader: Reader,
    ) -> None:
        self._under_way = under_way
        self._ledger = ledger
        self._state = state
        self._sign_in = sign_in
        self._loaded = loaded
        self._reader = reader

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path=f"{PATH}/requests/", get=self.request, public=True),)

    def request(self, exchange: Exchange) -> None:
        """What happened and what was decided, line by line."""
        viewer, id = self._sign_in.viewer(exchange), exchange.head.rest
        if viewer is None:
            return
        request = self._under_way.find(id)
        if request is not None and viewer.sees(request.info.key):
            tell(exchange, self._as_made(request))
            return

        def told(waiting: Exchange, entry: Entry | None) -> None:
            # Whose it is stays unsaid: to others it does not exist.
            if entry is None or not viewer.sees(entry.key):
                refuse(waiting, 404, "not_found", f"no request {id[:80]!r} of yours is known")
            else:
                tell(waiting, self._by_now(entry))

        self._reader.ask(exchange, ("request", viewer.whose, id), lambda: self._ledger.find(id), told)

    def _as_made(self, request: Request) -> dict[str, Any]:
        info, outcome = request.info, request.outcome
        decided = described(info, outcome.plan, self._policy(info.key))
        tries = [(f"attempt {number}", tried(to_builtins(each))) for number, each in enumerate(outcome.tries, 1)]
        return {
            "under_way": True,
            "request": row(request, monotonic()),
            "happened": tries,
            "decided": list(lines(decided)),
            "basis": _AS_MADE,
        }

    def _by_now(self, entry: Entry) -> dict[str, Any]:
        decided = explain(outline(entry), self._policy(entry.key), self._state.snapshot(monotonic()))
        return {
            "under_way": False,
            "request": entry,
            "happened": list(_happened(entry)),
            "decided": list(lines(decided)),
            "basis": _BY_NOW,
        }

    def _policy(self, key: str) -> Policy:
        """The rules as they are for a key."""
        loaded = self._loaded()
        bounded = loaded.keys.bounds(key)
        return loaded.policy if bounded is None else bounded.policy(loaded.policy)


def outline(entry: Entry) -> RequestInfo:
    """A request like the one that this row is of, as far as rows say it."""
    tokens = entry.input_tokens
    return RequestInfo(
        id=entry.id,
        surface=cast(Surface, entry.surface),
        alias=entry.asked,
        environment=entry.environment,
        key=entry.key,
        agent=entry.agent,
        tags=frozenset(entry.tags) | ({PRIVATE} if entry.private else frozenset[str]()),
        relayed=entry.environment == RELAY,
        stream=entry.stream,
        prompt_tokens=tokens,
        text_bytes=tokens * BYTES_PER_TOKEN,
        choices=entry.choices,
        purpose=entry.purpose,
    )


def _happened(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "rule", entry.rule or "none: it was refused before a rule was looked for"
    if entry.waited:
        yield "waited", f"{entry.waited:.2f} s for a slot"
    for number, each in enumerate(entry.tries, 1):
        yield f"attempt {number}", tried(to_builtins(each))
    if entry.output_limit is not None:
        yield "limit", f"{entry.output_limit:,} tokens of output, written by the router"
    if entry.code or entry.error:
        yield "told", f"{entry.status} {entry.code}: {entry.error}"
