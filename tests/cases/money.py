"""A number that a client sends is checked once, what is reserved is what can be billed, what was refused is free.

Prices are 1 dollar a million tokens in and 10 out (`routing_files.PRICE`). (A7 to A11)
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from cases.harness import Fixture, Router, brief
from cases.registry import case, expect
from cases.routing_files import config, station, station_config
from cases.upstreams import anthropic, bills_what_it_may, completion, openai
from standins.router import Answered, chat
from standins.scripted import Upstream, error, whole

# Digits of a number that no integer type holds.
HUGE = int("1" + "0" * 400)


def picture(size: int) -> dict[str, Any]:
    """A message with a picture of so many bytes in base64."""
    data = "data:image/png;base64," + "iVBORw0KGgo" + "A" * (size * 4 // 3)
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": data}}]
    return {"role": "user", "content": parts}


# -- A7: numbers -------------------------------------------------------------------------------------------------------


def refused_number(number: int, title: str, held: bool = False, **fields: Any) -> None:
    """Register a field that is no number that can be billed: 400 that names it."""

    @case(f"A7.{number}", title, held=held)
    async def body(it: Fixture) -> str:
        cloud = await it.upstream(openai())
        budgets = [{"name": "all", "usd": 100.0}]
        router = await it.router(config(None, cloud, use=["cloud"], budgets=budgets))
        answered = await router.ask(chat(**fields))
        expect(not cloud.turns, f"passed on: {brief(answered)}")
        expect(answered.status == 400, brief(answered))
        expect(answered.error["code"] == "invalid_body", f"code {answered.error['code']}")
        name = next(iter(fields))
        expect(name in answered.error["message"], f"does not name {name}: {answered.error['message'][:80]}")
        expect(answered.error["source"] == "gridtie", f"source {answered.error['source']}")
        expect(len(answered.body) < 1000, f"an error of {len(answered.body)} bytes")
        return f"400 invalid_body, names {name}"


refused_number(1, "max_tokens: -1000000", max_tokens=-1000000)
refused_number(2, "n: 1000", n=1000)
refused_number(3, "a number of 400 digits in max_tokens", max_tokens=HUGE)
refused_number(4, "max_tokens: 0", max_tokens=0)
refused_number(5, "n: -3", n=-3)
refused_number(6, "n: 0", n=0)
refused_number(7, "max_completion_tokens: -1", max_completion_tokens=-1)
refused_number(8, "n: 2.5", n=2.5)
refused_number(9, 'n: "many"', n="many")
refused_number(10, "a number of 400 digits in n", n=HUGE)
refused_number(11, "max_tokens: 100.5", held=True, max_tokens=100.5)


@case("A7.12", "a number of 400 digits in a field that passes", held=True)
async def huge_number_elsewhere(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat(seed=HUGE, temperature=HUGE))
    expect(answered.status in (200, 400), brief(answered))
    return f"{answered.status}, no fault of ours"


def too_dear(number: int, title: str, **fields: Any) -> None:
    """Register a request that may bill more than its budget of 0.05 dollars has."""

    @case(f"A7.{number}", title)
    async def body(it: Fixture) -> str:
        cloud = await it.upstream(bills_what_it_may)
        router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.05}]))
        answered = await router.ask(chat(**fields))
        spent = (await router.totals())["cost_usd"] or 0.0
        expect(spent <= 0.05, f"{answered.status}, ${spent:.2f} billed of a budget of $0.05")
        expect(answered.status == 402 and not cloud.turns, brief(answered))
        return "402, nothing at the cloud"


too_dear(13, "n: 100 of 1000 tokens, a budget for 5", n=100, max_tokens=1000)
too_dear(14, "max_tokens 100000 beside max_completion_tokens 10", max_tokens=100_000, max_completion_tokens=10)


@case("A7.15", "no max_tokens at Anthropic, a budget of $0.10")
async def anthropic_without_a_limit(it: Fixture) -> str:
    cloud = await it.upstream(anthropic())
    budgets = [{"name": "all", "usd": 0.1}]
    router = await it.router(config(None, cloud, use=["cloud"], cloud_is="anthropic", budgets=budgets))
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    limit = cloud.turns[0].json["max_tokens"]
    expect(limit * 10e-6 <= 0.1, f"asked with max_tokens {limit}, which may bill ${limit * 10e-6:.3f}")
    header = answered.headers.get("x-gridtie-output-limit")
    expect(header == str(limit), f"max_tokens {limit}, header x-gridtie-output-limit {header}")
    return f"asked with max_tokens {limit}, as the header says"


async def written_limit(it: Fixture, usd: float, **fields: Any) -> tuple[Answered, dict[str, Any]]:
    """The answer to a request under a budget, and the body that the cloud got."""
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": usd}]))
    answered = await router.ask(chat(**fields))
    expect(answered.status == 200, brief(answered))
    return answered, cloud.turns[0].json


@case("A7.16", "no limit named, money limited: 8192 is written and told")
async def limit_written(it: Fixture) -> str:
    answered, sent = await written_limit(it, 5.0, stream=True)
    limit, header = sent.get("max_tokens"), answered.headers.get("x-gridtie-output-limit")
    expect(limit == 8192, f"asked with max_tokens {limit}")
    expect(header == "8192", f"header x-gridtie-output-limit {header}")
    return "max_tokens 8192, as the header says"


@case("A7.17", "no limit named, the budget pays less: less is written")
async def smaller_limit_written(it: Fixture) -> str:
    answered, sent = await written_limit(it, 0.04)
    limit, header = sent.get("max_tokens"), answered.headers.get("x-gridtie-output-limit")
    expect(limit is not None and 100 <= limit <= 4000, f"asked with max_tokens {limit}, $0.04 pay for 4000")
    expect(header == str(limit), f"max_tokens {limit}, header x-gridtie-output-limit {header}")
    return f"max_tokens {limit}, as the header says"


@case("A7.18", "a limit that the client names passes as it is", held=True)
async def own_limit_passes(it: Fixture) -> str:
    answered, sent = await written_limit(it, 5.0, max_tokens=77)
    expect(sent["max_tokens"] == 77, f"asked with {sent['max_tokens']}")
    expect("x-gridtie-output-limit" not in answered.headers, "a header about a limit that is not ours")
    return "77 passes, no header"


@case("A7.19", "money not limited: nothing is written", held=True)
async def nothing_written_without_money(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat())
    sent = cloud.turns[0].json
    expect("max_tokens" not in sent and "max_completion_tokens" not in sent, f"sent {sorted(sent)}")
    expect("x-gridtie-output-limit" not in answered.headers, "a header about a limit")
    return "the request passes as it came"


@case("A7.20", "20 at once without a limit, a budget of $0.10")
async def twenty_at_once(it: Fixture) -> str:
    cloud = await it.upstream(bills_what_it_may)
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.1}]))
    answers = await asyncio.gather(*(router.ask(chat(n=2)) for _ in range(20)))
    served = sum(answered.status == 200 for answered in answers)
    spent = (await router.totals())["cost_usd"] or 0.0
    expect(spent <= 0.1 + 1e-9, f"{served} served, ${spent:.2f} of $0.10 billed")
    expect({answered.status for answered in answers} <= {200, 402}, f"{sorted({a.status for a in answers})}")
    expect(served, "none was served")
    return f"{served} served, ${spent:.3f} of $0.10 billed"


refused_number(22, 'max_tokens: "100"', held=True, max_tokens="100")
refused_number(23, "max_tokens: true", held=True, max_tokens=True)
refused_number(24, 'stream: "yes"', held=True, stream="yes")
refused_number(25, "max_tokens: 9e99", held=True, max_tokens=9e99)
refused_number(26, "n: true", n=True)
refused_number(27, "max_completion_tokens of 12 digits", max_completion_tokens=10**12)


@case("A7.28", "max_tokens: null, n: null", held=True)
async def nulls(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 1.0}]))
    answered = await router.ask(chat(max_tokens=None, n=None, max_completion_tokens=None))
    expect(answered.status == 200, brief(answered))
    return "200"


@case("A7.29", "what is billed apart from tokens, money limited")
async def billed_apart(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 1.0}]))
    answered = await router.ask(chat(max_tokens=10, web_search_options={}))
    expect(answered.status >= 400 and not cloud.turns, f"passed on, reserved for its tokens alone: {brief(answered)}")
    return f"{answered.status}"


@case("A7.30", "service_tier: priority, money limited")
async def dearer_tier(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 1.0}]))
    answered = await router.ask(chat(max_tokens=10, service_tier="priority"))
    expect(answered.status >= 400 and not cloud.turns, f"passed on, at another price: {brief(answered)}")
    return f"{answered.status}"


@case("A7.31", "an answer billed above its reservation is counted")
async def billed_above(it: Fixture) -> str:
    cloud = await it.upstream(openai(prompt=10, output=60_000))
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.5}]))
    first = await router.ask(chat(max_tokens=10))
    second = await router.ask(chat(max_tokens=10))
    spent = (await router.totals())["cost_usd"]
    expect((first.status, second.status) == (200, 402), f"{first.status}, {second.status}")
    expect(abs(spent - 0.60001) < 1e-6, f"${spent} counted")
    told = [json.loads(line) for line in (router.directory / "stderr").read_text().splitlines()]
    alarms = [line["message"] for line in told if line["level"] in ("warning", "error") and "reserv" in line["message"]]
    expect(alarms, "counted, and no warning in the log")
    return "counted, alarmed, and the next refused"


@case("A7.21", "a negative number frees what others have reserved")
async def frees_others_reservations(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.01}]))
    answers = [await router.ask(chat(max_tokens=number)) for number in (5000, -1_000_000, 5000)]
    statuses = [answered.status for answered in answers]
    expect(statuses == [402, 400, 402], f"{statuses}")
    return "402, 400, 402"


# -- A8 and A9: what is text, what is a picture ------------------------------------------------------------------------


@case("A8.1", "a picture of 1 MB, max_cost $0.15")
async def picture_costs_no_bytes(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    rules = [{"name": "cheap", "when": {"environment": ["dev"]}, "use": ["cloud"], "max_cost": 0.15}]
    router = await it.router(config(None, cloud, use=["cloud"], rules=rules))
    answered = await router.ask({"model": "coder", "max_tokens": 10, "messages": [picture(1_000_000)]})
    expect(answered.status == 200, brief(answered))
    return "200"


@case("A8.2", "a picture of 300 KB, larger_than: 20000")
async def picture_is_not_long(it: Fixture) -> str:
    here, cloud = await it.upstream(openai()), await it.upstream(openai())
    rules = [{"name": "long", "when": {"larger_than": 20_000}, "use": ["cloud"]}]
    router = await it.router(config(here, cloud, use=["local"], rules=rules))
    answered = await router.ask({"model": "coder", "messages": [picture(300_000)]})
    expect(answered.headers.get("x-gridtie-rule") == "all", f"rule {answered.headers.get('x-gridtie-rule')}")
    return "not matched"


@case("A8.3", "100 KB of text, larger_than: 20000", held=True)
async def text_is_long(it: Fixture) -> str:
    here, cloud = await it.upstream(openai()), await it.upstream(openai())
    rules = [{"name": "long", "when": {"larger_than": 20_000}, "use": ["cloud"]}]
    router = await it.router(config(here, cloud, use=["local"], rules=rules))
    answered = await router.ask(chat("word " * 20_000))
    expect(answered.headers.get("x-gridtie-rule") == "long", f"rule {answered.headers.get('x-gridtie-rule')}")
    return "matched"


@case("A8.4", "a picture costs something: max_cost $0.0002")
async def picture_is_not_free(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    rules = [{"name": "cheap", "when": {"environment": ["dev"]}, "use": ["cloud"], "max_cost": 0.0002}]
    router = await it.router(config(None, cloud, use=["cloud"], rules=rules))
    text = await router.ask({"model": "coder", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
    expect(text.status == 200, f"text alone: {brief(text)}")
    tiny = await router.ask({"model": "coder", "max_tokens": 1, "messages": [picture(30)]})
    expect(tiny.status == 402, f"a picture of 30 bytes is taken for its letters: {brief(tiny)}")
    return "402 for the picture, 200 for text"


def needs(number: int, title: str, wanted: int, body: dict[str, Any] | bytes, held: bool = False) -> None:
    """Register a private request to a station whose model takes tools and no pictures."""

    @case(f"A9.{number}", title, held=held)
    async def run(it: Fixture) -> str:
        engine, cloud = await it.upstream(openai()), await it.upstream(openai())
        facts = station(engine, capabilities=["tools"])
        routing = station_config(cloud, use=["local", "cloud"])
        router = await it.router(routing, files={"station.json": facts})
        answered = await router.ask(body, headers={"x-gridtie-tags": "private"})
        expect(answered.status == wanted, brief(answered))
        expect(not cloud.turns, "the cloud was asked")
        return str(answered.status)


def tool(properties: dict[str, Any]) -> dict[str, Any]:
    """A tool with these parameters."""
    schema = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": "look", "parameters": schema}}


needs(1, "private, a tool's parameter is image_url", 200, chat(tools=[tool({"image_url": {"type": "string"}})]))
needs(2, 'private, "image_url" in a schema\'s enum', 200, chat(tools=[tool({"kind": {"enum": ["image_url"]}})]))
needs(
    3,
    "private, metadata has a key image_url",
    200,
    {"model": "coder", "metadata": {"image_url": "no"}, "messages": [{"role": "user", "content": "hi"}]},
)
needs(
    4,
    "private, a picture with its type spelt in escapes",
    400,
    json.dumps({"model": "coder", "messages": [picture(30)]}).replace("image_url", "image\\u005furl").encode(),
)
needs(5, "private, a picture", 400, {"model": "coder", "messages": [picture(30)]}, held=True)


# -- A10: what was refused is not billed -------------------------------------------------------------------------------


async def nothing_counted(router: Router, answered: Answered, wanted: int) -> str:
    """Expect a refusal that neither costs nor saves, in the report, the row and the ledger's view."""
    expect(answered.status == wanted, brief(answered))
    totals = await router.totals()
    cost, saved = totals["cost_usd"] or 0.0, totals["saved_usd"] or 0.0
    expect(cost == 0 and saved == 0, f"{answered.status}: cost ${cost:.4f}, saved ${saved:.4f}")
    row = await router.entry(answered)
    expect(not row.get("cost_usd") and not row.get("baseline_usd"), f"the row says {row.get('cost_usd')}")
    ((paid, compared),) = router.sql("SELECT total(cost_usd), total(baseline_usd) FROM metered")
    expect(paid == 0 and compared == 0, f"the view says {paid}, {compared}")
    return f"{answered.status}, costs and saves nothing"


def refused_upstream(number: int, title: str, status: str, wanted: int, *, local: bool, stream: bool = False) -> None:
    """Register a large prompt that is answered with an error."""

    @case(f"A10.{number}", title)
    async def body(it: Fixture) -> str:
        upstream = await it.upstream(error(status, "no", type="invalid_request_error"))
        here, cloud = (upstream, None) if local else (None, upstream)
        router = await it.router(config(here, cloud, use=["local"] if local else ["cloud"]))
        answered = await router.ask(chat("word " * 200_000, stream=stream))
        return await nothing_counted(router, answered, wanted)


refused_upstream(1, "a 1 MB prompt, 400 locally", "400 Bad Request", 400, local=True)
refused_upstream(2, "a 1 MB prompt, 400 at a cloud", "400 Bad Request", 400, local=False)
refused_upstream(3, "a 1 MB prompt, 400 at a cloud, streamed", "400 Bad Request", 400, local=False, stream=True)
refused_upstream(4, "a 1 MB prompt, 422 locally", "422 Unprocessable", 422, local=True)


@case("A10.5", "a cloud's 400 leaves the budget as it was")
async def budget_after_a_refusal(it: Fixture) -> str:
    cloud = await it.upstream(error("400 Bad Request", "no", type="invalid_request_error"), openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.45}]))
    first = await router.ask(chat("word " * 200_000, max_tokens=10))
    second = await router.ask(chat("word " * 200_000, max_tokens=10))
    expect(first.status == 400, brief(first))
    expect(second.status == 200, f"the second, which the budget pays: {brief(second)}")
    return "400, then 200"


@case("A10.6", "what a cloud served is billed", held=True)
async def served_is_billed(it: Fixture) -> str:
    cloud: Upstream = await it.upstream(openai(prompt=1000, output=100))
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat())
    row = await router.entry(answered)
    expect(abs(row["cost_usd"] - 0.002) < 1e-9, f"cost {row['cost_usd']}")
    return "$0.002, as its prices say"


# -- A11: a changed price ----------------------------------------------------------------------------------------------


@case("A11.1", "prices.json edited, SIGHUP: metering uses the new ones")
async def new_prices(it: Fixture) -> str:
    cloud = await it.upstream(openai(prompt=1_000_000, output=2))
    routing = config(None, cloud, use=["cloud"])
    del routing["providers"]["remote"]["prices"]
    prices = json.loads((it.checkout.root / "config" / "prices.json").read_text())
    prices["models"]["remote/gpt-5.4-mini"] = {"input": 1.0, "output": 1.0}
    router = await it.router(routing, files={"prices.json": json.dumps(prices)})
    before = round((await router.entry(await router.ask(chat())))["cost_usd"], 3)
    prices["models"]["remote/gpt-5.4-mini"]["input"] = 3.0
    prices["date"] = "2026-11-28"
    (router.config / "prices.json").write_text(json.dumps(prices))
    await router.reload()
    row = await router.entry(await router.ask(chat()))
    after = round(row["cost_usd"], 3)
    expect((before, after) == (1.0, 3.0), f"${before} before, ${after} after; wanted $1, $3")
    expect(row["price_date"] == "2026-11-28", f"price date {row['price_date']}")
    return "$1 before, $3 after"


@case("A11.2", "a price in the routing file edited, SIGHUP: it holds for decision and metering", held=True)
async def new_price_of_the_file(it: Fixture) -> str:
    cloud = await it.upstream(openai(prompt=1000, output=0))
    routing = config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 1.0}])
    router = await it.router(routing)
    routing["providers"]["remote"]["prices"]["gpt-5.4-mini"]["output"] = 1000.0
    (router.config / "llm_routing.yaml").write_text(json.dumps(routing))
    await router.reload()
    answered = await router.ask(chat(max_tokens=5000))
    expect(answered.status == 402, f"decided by the old price: {brief(answered)}")
    return "402 by the new price"


@case("A11.3", "a budget edited, SIGHUP: spent is kept, the new sum holds", held=True)
async def new_budget(it: Fixture) -> str:
    cloud = await it.upstream(openai(prompt=10_000, output=0))
    routing = config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 1.0}])
    router = await it.router(routing)
    first = await router.ask(chat(max_tokens=1))
    routing["budgets"][0]["usd"] = 0.005
    (router.config / "llm_routing.yaml").write_text(json.dumps(routing))
    await router.reload()
    second = await router.ask(chat(max_tokens=1))
    expect((first.status, second.status) == (200, 402), f"{first.status}, then {second.status}")
    return "200, then 402"


# -- the tool's own traffic --------------------------------------------------------------------------------------------


@case("A10.7", "x-gridtie-purpose: doctor: in the ledger, outside every saving")
async def own_traffic(it: Fixture) -> str:
    here = await it.upstream(openai(prompt=1000, output=100))
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(chat(), headers={"x-gridtie-purpose": "doctor"})
    expect(answered.status == 200, brief(answered))
    saved = (await router.totals())["saved_usd"] or 0.0
    expect(saved == 0, f"saved ${saved:.6f}")
    row = await router.entry(answered)
    expect(row.get("purpose") == "doctor", f"the row's purpose is {row.get('purpose')!r}")
    return "saves nothing, labelled"


@case("A10.8", "x-gridtie-purpose: fun")
async def unknown_purpose(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(chat(), headers={"x-gridtie-purpose": "fun"})
    expect(answered.status == 400, brief(answered))
    expect(answered.error["code"] == "invalid_header", f"code {answered.error['code']}")
    return "400 invalid_header"


def unseen_bill(number: int, title: str, held: bool = False, **fields: Any) -> None:
    """Register a field that is billed, or read as another one, beside a small max_tokens."""

    @case(f"A7.{number}", title, held=held)
    async def body(it: Fixture) -> str:
        cloud = await it.upstream(bills_what_it_may)
        router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.05}]))
        answered = await router.ask(chat(**{"max_tokens": 10, **fields}))
        expect(not cloud.turns, f"passed on: {brief(answered)}")
        expect(answered.status in (400, 402), brief(answered))
        return f"{answered.status} {answered.error['code']}"


unseen_bill(40, "best_of: 100", best_of=100)
unseen_bill(41, "MAX_TOKENS beside max_tokens", MAX_TOKENS=1_000_000)
unseen_bill(42, "Model beside model", Model="gpt-5.4-pro")
unseen_bill(43, "search_parameters", search_parameters={"mode": "on"})
unseen_bill(44, "a tool without a type and function", tools=[{"googleSearch": {}}])
unseen_bill(45, "300 KB in a field that nobody knows", held=True, documents=["x" * 300_000])


@case("A7.46", "reasoning that stands in total_tokens alone is billed")
async def reasoning_in_the_sum(it: Fixture) -> str:
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 5008}
    cloud = await it.upstream(whole(completion(usage=usage)))
    router = await it.router(config(None, cloud, use=["cloud"]))
    entry = await router.entry(await router.ask(chat()))
    expect(entry["output_tokens"] == 5003, f"{entry['output_tokens']} tokens of output")
    return "5003 tokens of output"


unseen_bill(47, "OpenRouter's provider", provider={"order": ["Dear"]})
unseen_bill(48, "Anthropic's fast mode", speed="fast")
unseen_bill(49, "another limit of output", max_output_tokens=1_000_000)
