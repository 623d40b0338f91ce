"""Spent plus reserved never exceeds a budget, whatever numbers clients send and in whatever order answers come.

The provider here bills as providers do: what it was asked for and not a token more, or its own limit where it was given
none. What it could still bill for the requests that it has at hand, and what it has billed, is at no time more than the
budget.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from faults.wire import Anthropic, OpenAI, Wire
from standins.router import KEY, Station, request, run
from standins.scripted import SSE, Turn, Upstream
from standins.surfaces import SURFACES
from standins.surfaces import asked as request_body

# US dollars per token.
INPUT_USD, OUTPUT_USD = 1e-6, 10e-6
# What a model generates at most where nobody limits it.
OWN_LIMIT = 100_000
# Rounding of sums of floats.
EPSILON = 1e-9

# Which request it is stands in its prompt.
_NUMBER = re.compile(r"number-(\d+)")

WIRES: dict[str, Wire] = {"openai": OpenAI(), "anthropic": Anthropic()}


class Asked(NamedTuple):
    """One request and what becomes of it."""

    fields: dict[str, Any]
    streamed: bool
    # all: as many tokens as it may; some; failed: a 500; limited: a 429 at first, and all when it is asked again;
    # left: the client leaves before the answer.
    fate: str
    # Seconds until it is sent, and until it is answered.
    after: float
    takes: float
    # A name of `standins.surfaces`: what it is asked through.
    surface: str = "openai chat"


class Provider:
    """Bills for what it is asked."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.billed = 0.0
        # What the requests at hand may still cost, by their number.
        self.open: dict[int, float] = {}
        self.most = 0.0
        self.fates: dict[int, Asked] = {}
        # Requests that were asked to come back.
        self.limited: set[int] = set()

    async def __call__(self, turn: Turn) -> None:
        body = turn.json
        number = int(_NUMBER.findall(json.dumps(body["messages"]))[0])
        asked = self.fates[number]
        limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
        limit, choices = (max(limits) if limits else OWN_LIMIT), body.get("n") or 1
        # A number that no provider takes; what it would bill is nobody's guess.
        if not _sound(limit) or not _sound(choices):
            await asyncio.sleep(asked.takes)
            await turn.send(self._message("400 Bad Request", self._wire.error("invalid", "a number is wrong")))
            return
        prompt = len(str(body["messages"]).split())
        self.open[number] = prompt * INPUT_USD + limit * choices * OUTPUT_USD
        self.most = max(self.most, self.billed + sum(self.open.values()))
        output = limit * choices if asked.fate in ("all", "limited") else min(3, limit) * choices
        try:
            await asyncio.sleep(asked.takes)
            if asked.fate == "limited" and number not in self.limited:
                self.limited.add(number)
                error = self._wire.error("rate_limit", "slow down")
                await turn.send(self._message("429 Too Many Requests", error, "retry-after: 0\r\n"))
                return
            if asked.fate == "failed":
                await turn.send(self._message("500 Internal Server Error", self._wire.error("server", "failed")))
                return
            self.billed += prompt * INPUT_USD + output * OUTPUT_USD
            del self.open[number]
            await turn.send(self._answer(int(prompt), int(output), body.get("stream", False)))
        finally:
            self.open.pop(number, None)

    def _message(self, status: str, body: bytes, fields: str = "") -> bytes:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{fields}\r\n"
        return head.encode() + body

    def _answer(self, prompt: int, output: int, streamed: bool) -> bytes:
        """Short, and with the count of a long one."""
        wire = self._wire
        if not streamed:
            return self._message("200 OK", _counted(wire.whole("words"), prompt, output))
        frames = _counted(wire.role() + wire.content("words") + wire.finish(), prompt, output) + wire.end()
        return f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(frames), frames)


def _sound(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _counted(answer: bytes, prompt: int, output: int) -> bytes:
    """With other numbers in its usage."""
    for name, was, now in (
        *(("prompt_tokens", 7, prompt), ("completion_tokens", 3, output), ("total_tokens", 10, prompt + output)),
        *(("input_tokens", 7, prompt), ("output_tokens", 3, output)),
    ):
        answer = answer.replace(f'"{name}": {was}'.encode(), f'"{name}": {now}'.encode())
    return answer


def file(url: str, dialect: str, usd: float, per_environment: bool, shared: bool) -> str:
    """One cloud, or two that share its requests and ask it again; and budgets over them. JSON is YAML."""
    price = {"input": INPUT_USD * 1e6, "output": OUTPUT_USD * 1e6}
    cloud = {"type": dialect, "base_url": url if dialect == "openai" else url.removesuffix("/v1")}
    clouds = ("there", "beside") if shared else ("there",)
    named = {"model": "big", **({"weight": 1} if shared else {})}
    budgets = [{"name": "all", "usd": usd, "period": "month"}]
    if per_environment:
        budgets.append({"name": "dev", "usd": usd / 2, "period": "month", "environment": "dev"})
    return json.dumps(
        {
            "version": 1,
            "providers": {name: {**cloud, "prices": {"big": price}} for name in clouds},
            "models": {"coder": {"local": None, "cloud": [named | {"provider": name} for name in clouds]}},
            "retries": {"count": 2 if shared else 0, "backoff": 0.02, "max_backoff": 0.1},
            "rules": [{"name": "all", "use": ["cloud"]}],
            "budgets": budgets,
            "timeouts": {"connect": 2, "first_token": 2, "between_tokens": 2, "total": 5},
        }
    )


class Account(NamedTuple):
    """What it came to."""

    # As the provider sees it: billed, and what it could still have billed, at the worst moment.
    most: float
    # As the ledger has it.
    metered: float
    answered: int
    # Requests that were answered after they had been asked to come back.
    again: int


async def _spend(asked: list[Asked], dialect: str, usd: float, per_environment: bool, shared: bool) -> Account:
    provider = Provider(WIRES[dialect])
    provider.fates = dict(enumerate(asked))
    with tempfile.TemporaryDirectory() as directory:
        async with Upstream(provider) as cloud:
            text = file(cloud.url, dialect, usd, per_environment, shared)
            async with Station(Path(directory), text) as router:
                statuses = await asyncio.gather(*(_ask(router, number, each) for number, each in enumerate(asked)))
                await router.settled()
                report = await router.ask(path="/gridtie/usage", key=KEY)
                metered = report.json["totals"]["cost_usd"] or 0.0
    again = sum(statuses[number] == 200 for number in provider.limited)
    return Account(provider.most, metered, statuses.count(200), again)


async def _ask(router: Station, number: int, asked: Asked) -> int:
    await asyncio.sleep(asked.after)
    wire = await router.connect()
    try:
        surface = SURFACES[asked.surface]
        body = request_body(surface, f"number-{number} hello", streamed=asked.streamed)
        body.pop("max_tokens", None)
        body |= limited(asked)
        await wire.send(request(json.dumps(body).encode(), path=surface.path, port=router.port))
        if asked.fate == "left":
            await asyncio.sleep(asked.takes / 2)
            return 0
        return (await wire.answered()).status
    finally:
        wire.close()


def limited(asked: Asked) -> dict[str, Any]:
    """The numbers of a request, under the names that its surface has for them."""
    if asked.surface == "openai chat":
        return asked.fields
    if "max_tokens" not in asked.fields:
        return {}
    limit = asked.fields["max_tokens"]
    return {"options": {"num_predict": limit}} if asked.surface == "ollama chat" else {"max_tokens": limit}


# Beyond what JSON's readers take for an integer, and of every other type.
_NUMBERS = st.one_of(
    st.sampled_from([1, 10, 100, 1000, 5000, 0, -1, -1_000_000, 10**18, 10**400, 1.5, 100.0, 1e308, "12", True, None]),
    st.integers(1, 3000),
)
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": _NUMBERS,
        "max_completion_tokens": _NUMBERS,
        "n": st.sampled_from([1, 2, 5, 128, 1000, 0, -3, 2.0, 1.5, None]),
    },
)
_ASKED = st.builds(
    Asked,
    fields=_FIELDS,
    streamed=st.booleans(),
    fate=st.sampled_from(["all", "all", "some", "failed", "limited", "left"]),
    after=st.sampled_from([0.0, 0.0, 0.01, 0.03]),
    takes=st.sampled_from([0.0, 0.01, 0.03]),
    surface=st.sampled_from(["openai chat", "anthropic messages", "ollama chat"]),
)


def _three(after: float = 0.0, takes: float = 0.0, fate: str = "all", **fields: Any) -> list[Asked]:
    return [Asked(fields, False, fate, after, takes)] * 3


# How many requests were answered, at once and when they were asked again: without any the property would say nothing.
_answered = _again = 0


@settings(max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@example(_three(max_tokens=1000, n=100), "openai", 0.02, False, False)
@example(_three(), "openai", 0.06, False, False)
@example(_three(), "anthropic", 0.06, False, False)
@example(_three(fate="limited", max_tokens=900), "openai", 0.02, False, True)  # each asks again, and two can be paid
@example(
    [*_three(takes=0.2, max_tokens=-1_000_000), *_three(after=0.1, takes=0.1, max_tokens=1500)],
    "openai",
    0.02,
    False,
    False,
)
@given(
    st.lists(_ASKED, min_size=1, max_size=6),
    st.sampled_from(["openai", "anthropic"]),
    st.sampled_from([0.0005, 0.02, 0.5]),
    st.booleans(),
    st.booleans(),
)
def _no_overdraft(asked: list[Asked], dialect: str, usd: float, per_environment: bool, shared: bool) -> None:
    global _answered, _again
    assume(asked)
    limit = usd / 2 if per_environment else usd

    account = run(lambda: _spend(asked, dialect, usd, per_environment, shared))

    assert account.most <= limit + EPSILON
    assert account.metered <= limit + EPSILON
    _answered += account.answered
    _again += account.again


def test_spent_and_reserved_never_exceed_a_budget() -> None:
    global _answered, _again
    _answered = _again = 0

    _no_overdraft()

    assert _answered > 30
    assert _again > 5
