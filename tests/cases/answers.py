"""Answers as upstreams of today give them: odd, cut short, in another form, or none at all.

(A15 to A17, A20 to A22)
"""

from __future__ import annotations

import json
from typing import Any

from cases.harness import Fixture, Router, brief
from cases.registry import case, expect
from cases.routing_files import config
from cases.upstreams import (
    anthropic,
    anthropic_frames,
    completion,
    event,
    ollama,
    openai,
    sse,
)
from standins.router import Answered, chat
from standins.scripted import DONE, USAGE, Behaviour, Turn, error, stream, whole

# Long enough that its tokens, counted in any way, are not none.
LONG = "word " * 40


def streamed_whole(answered: Answered, text: str) -> None:
    """Expect a stream that a client takes for whole."""
    expect(answered.status == 200, brief(answered))
    expect(answered.text == text, f"said {answered.text!r} {answered.body[-80:]!r}")
    errors = [data for data in answered.events if data.startswith("{") and json.loads(data).get("error")]
    expect(not errors, f"an error after a whole answer: {answered.body[-90:]!r}")
    expect(answered.whole and answered.events[-1] == "[DONE]", f"no end: {answered.body[-60:]!r}")


def usage_frame(usage: Any) -> bytes:
    """The last frame of a stream, with this for its usage."""
    return b"data: %b\n\n" % json.dumps({"id": "c", "choices": [], "usage": usage}).encode()


# -- A15: odd side fields ----------------------------------------------------------------------------------------------


def odd_field(
    number: int, title: str, *, streamed: bool, exact: bool = False, held: bool = False, **fields: Any
) -> None:
    """Register an answer with something odd beside what was paid for: it passes, and is metered."""

    @case(f"A15.{number}", f"{title}, {'streamed' if streamed else 'unstreamed'}", held=held)
    async def body(it: Fixture) -> str:
        frame = b"data: %b\n\n" % json.dumps({"id": "c", "choices": [], **fields}).encode()
        frames = [event("hello", role=True), event(finish="stop"), frame, DONE]
        cloud = await it.upstream(sse(*frames, after="end") if streamed else whole(completion(**fields)))
        router = await it.router(config(None, cloud, use=["cloud"]))
        answered = await router.ask(chat(LONG, stream=streamed))
        if streamed:
            streamed_whole(answered, "hello")
        else:
            expect(answered.status == 200 and b"hello" in answered.body, brief(answered))
        expect(len(cloud.turns) == 1, f"asked {len(cloud.turns)} times")
        return await metered(router, answered, (11, 2) if exact else None)


async def metered(router: Router, answered: Answered, exact: tuple[int, int] | None = None) -> str:
    """Expect tokens in the ledger: these, or else an estimate that says so."""
    row = await router.entry(answered)
    tokens = row.get("input_tokens", 0), row.get("output_tokens", 0)
    if tokens == exact:
        return f"200, {tokens[0]} and {tokens[1]} tokens as counted"
    expect(tokens[0] > 0 and tokens[1] > 0, f"200, {tokens[0]} and {tokens[1]} tokens in the ledger")
    expect(row.get("estimated"), f"200, {tokens[0]} and {tokens[1]} tokens, not flagged as an estimate")
    return f"200, {tokens[0]} and {tokens[1]} tokens, an estimate"


FLOATS = {"prompt_tokens": 11.0, "completion_tokens": 2.0, "total_tokens": 13.0}
DETAILS = {"prompt_tokens": 11, "completion_tokens": 2, "prompt_tokens_details": []}
COUNTS = {"prompt_tokens": 11, "completion_tokens": 2}
odd_field(1, "usage.prompt_tokens: 11.0", streamed=False, exact=True, usage=FLOATS)
odd_field(2, "usage.prompt_tokens: 11.0", streamed=True, held=True, exact=True, usage=FLOATS)
odd_field(3, "prompt_tokens_details: []", streamed=False, exact=True, usage=DETAILS)
odd_field(4, "prompt_tokens_details: []", streamed=True, held=True, exact=True, usage=DETAILS)
odd_field(5, "error: {}", streamed=False, exact=True, usage=COUNTS, error={})
odd_field(6, "error: {}", streamed=True, exact=True, usage=COUNTS, error={})
odd_field(7, "error: false", streamed=False, exact=True, usage=COUNTS, error=False)
odd_field(8, "error: false", streamed=True, held=True, exact=True, usage=COUNTS, error=False)
odd_field(9, "usage: []", streamed=False, usage=[])
odd_field(10, 'usage: "none"', streamed=True, held=True, usage="none")
odd_field(11, "usage.completion_tokens: -5", streamed=False, usage={"prompt_tokens": 11, "completion_tokens": -5})
odd_field(
    12, 'usage.prompt_tokens: "11"', streamed=True, held=True, usage={"prompt_tokens": "11", "completion_tokens": 2}
)
odd_field(13, "error: null", streamed=False, held=True, exact=True, usage=COUNTS, error=None)
odd_field(
    14, "usage of a number of 400 digits", streamed=False, usage={"prompt_tokens": 10**400, "completion_tokens": 2}
)


@case("A15.15", "three such answers do not pause the cloud")
async def not_paused(it: Fixture) -> str:
    cloud = await it.upstream(whole(completion(usage=FLOATS)))
    router = await it.router(config(None, cloud, use=["cloud"]))
    statuses = [(await router.ask(chat())).status for _ in range(4)]
    expect(statuses == [200] * 4, f"{statuses}")
    return "200, 200, 200, 200"


@case("A15.16", "Ollama counts in fractions")
async def fractions_of_ollama(it: Fixture) -> str:
    here = await it.upstream(ollama(counts={"prompt_eval_count": 11.0, "eval_count": 2.0, "total_duration": "5s"}))
    router = await it.router(config(here, use=["local"], here_is="ollama"))
    answered = await router.ask(chat(LONG, stream=True))
    streamed_whole(answered, "hello")
    return await metered(router, answered, (11, 2))


@case("A15.17", "Anthropic's usage with an odd detail")
async def oddity_of_anthropic(it: Fixture) -> str:
    usage = {"input_tokens": 11, "output_tokens": 1, "cache_creation": [], "cache_read_input_tokens": 0.0}
    here = await it.upstream(anthropic(usage=usage))
    router = await it.router(config(here, use=["local"], here_is="anthropic"))
    answered = await router.ask(chat(LONG, stream=True))
    streamed_whole(answered, "hello")
    return await metered(router, answered, (11, 2))


@case("A15.18", "an error that is one, in a 200", held=True)
async def real_error(it: Fixture) -> str:
    cloud = await it.upstream(whole(b'{"error":{"message":"overloaded","code":"server_error"}}'))
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat())
    expect(answered.status >= 500, brief(answered))
    return f"{answered.status}"


odd_field(19, 'created: "now"', streamed=False, held=True, exact=True, usage=COUNTS, created="now")
odd_field(20, "system_fingerprint: {}", streamed=True, held=True, exact=True, usage=COUNTS, system_fingerprint={})
odd_field(21, "usage counts of null", streamed=False, usage={"prompt_tokens": None, "completion_tokens": None})
odd_field(
    22, "completion_tokens_details: 7", streamed=False, exact=True, usage={**COUNTS, "completion_tokens_details": 7}
)
odd_field(
    23,
    "cached tokens above the prompt's",
    streamed=False,
    exact=True,
    usage={**COUNTS, "prompt_tokens_details": {"cached_tokens": 999}},
    held=True,
)


# -- A16: which failure is told ----------------------------------------------------------------------------------------

SLOW_DOWN = error("429 Too Many", "slow down", headers="retry-after: 9\r\n")


@case("A16.1", "cloud 429, then a field that Ollama does not know")
async def cloud_before_untranslatable(it: Fixture) -> str:
    here, cloud = await it.upstream(ollama()), await it.upstream(SLOW_DOWN)
    router = await it.router(config(here, cloud, use=["cloud", "local"], here_is="ollama"))
    answered = await router.ask(chat(logit_bias={"5": 1}))
    expect(answered.status == 429, brief(answered))
    expect(answered.headers.get("retry-after") == "9", f"Retry-After {answered.headers.get('retry-after')}")
    row = await router.entry(answered)
    targets = [each["target"] for each in row["tries"]]
    expect(targets == ["remote/gpt-5.4-mini", "here/small"], f"the record holds {targets}")
    return "429, Retry-After 9, both in the record"


@case("A16.2", "cloud 429, then a local engine that is not there")
async def cloud_before_unreachable(it: Fixture) -> str:
    cloud, gone = await it.upstream(SLOW_DOWN), await it.upstream(error("500 Error", "broken"))
    router = await it.router(config(gone, cloud, use=["cloud", "local"]))
    answered = await router.ask(chat())
    expect(answered.status == 429, brief(answered))
    expect(answered.headers.get("retry-after") == "9", f"Retry-After {answered.headers.get('retry-after')}")
    return "429, Retry-After 9"


@case("A16.3", "a field that Ollama does not know, then cloud 429", held=True)
async def untranslatable_before_cloud(it: Fixture) -> str:
    here, cloud = await it.upstream(ollama()), await it.upstream(SLOW_DOWN)
    router = await it.router(config(here, cloud, use=["local", "cloud"], here_is="ollama"))
    answered = await router.ask(chat(logit_bias={"5": 1}))
    expect(answered.status == 429, brief(answered))
    return "429"


# -- A17: a moderation's 403 -------------------------------------------------------------------------------------------

MODERATIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("OpenAI's", "403 Forbidden", {"code": "content_policy_violation", "type": "invalid_request_error"}),
    (
        "OpenRouter's",
        "403 Forbidden",
        {"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "hi", "provider_name": "OpenAI"}},
    ),
    ("moderation_blocked", "403 Forbidden", {"code": "moderation_blocked", "type": "image_generation_user_error"}),
    ("content_filter", "403 Forbidden", {"code": "content_filter", "type": None}),
]


def moderation(number: int, whose: str, status: str, fields: dict[str, Any]) -> None:
    """Register a refusal of what was asked, which is no refusal of the router's key."""

    @case(f"A17.{number}", f"a moderation 403, {whose} form")
    async def body(it: Fixture) -> str:
        message = "Your input was flagged by moderation"
        refusal = json.dumps({"error": {"message": message, **fields}}).encode()
        cloud = await it.upstream(whole(refusal, status=status), openai())
        router = await it.router(config(None, cloud, use=["cloud"]))
        answered = await router.ask(chat())
        after = await router.ask(chat())
        expect(after.status == 200, f"{brief(answered)[:60]}..., then {brief(after)}")
        expect(answered.status == 400, brief(answered))
        expect(answered.error["code"] == "content_policy", f"code {answered.error['code']}")
        return "400 content_policy, then 200"


for _number, (_whose, _status, _fields) in enumerate(MODERATIONS, 1):
    moderation(_number, _whose, _status, _fields)


@case("A17.5", "a moderation 403 is final: the next target is not asked")
async def final_for_the_client(it: Fixture) -> str:
    here = await it.upstream(openai())
    refusal = json.dumps({"error": {"message": "flagged", "code": "content_policy_violation"}}).encode()
    cloud = await it.upstream(whole(refusal, status="403 Forbidden"))
    router = await it.router(config(here, cloud, use=["cloud", "local"]))
    answered = await router.ask(chat())
    expect(answered.status == 400 and not here.turns, f"{brief(answered)}; the next was asked {len(here.turns)} times")
    return "400, nobody else asked"


@case("A17.6", "a 403 for the key still pauses the cloud", held=True)
async def refused_key(it: Fixture) -> str:
    cloud = await it.upstream(error("403 Forbidden", "no access for this key", code="permission_denied"), openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    first, second = await router.ask(chat()), await router.ask(chat())
    expect(first.status == 502 and first.error["code"] == "upstream_refused_key", brief(first))
    expect(second.status >= 400 and len(cloud.turns) == 1, f"then {brief(second)}")
    return "502 upstream_refused_key, paused"


@case("A17.7", "a 500 that says that the prompt does not fit pauses nobody")
async def context_in_a_500(it: Fixture) -> str:
    said = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9083 tokens."
    cloud = await it.upstream(*[error("500 Internal Server Error", said)] * 4, openai())
    router = await it.router(config(None, cloud, use=["cloud"]))
    refused = [await router.ask(chat()) for _ in range(4)]
    for answered in refused:
        expect(answered.status == 400 and answered.error["code"] == "context_length_exceeded", brief(answered))
    after = await router.ask(chat())
    expect(after.status == 200, f"then {brief(after)}")
    return "400 context_length_exceeded, then 200"


# -- A20: the end ------------------------------------------------------------------------------------------------------


def whole_before(number: int, title: str, behaviour: Behaviour, kind: str = "openai", held: bool = False) -> None:
    """Register a stream that is whole by its protocol, whatever its transport does next."""

    @case(f"A20.{number}", title, held=held)
    async def body(it: Fixture) -> str:
        cloud = await it.upstream(behaviour)
        router = await it.router(config(None, cloud, use=["cloud"], cloud_is=kind))
        answered = await router.ask(chat(stream=True))
        streamed_whole(answered, "hello")
        row = await router.entry(answered)
        expect(row.get("complete", True) and row["status"] == 200, f"the ledger says it was cut: {row.get('error')}")
        expect([each["outcome"] for each in row["tries"]] == ["ok"], f"tries {row['tries']}")
        return "whole, in the ledger as well"


async def done_then_reset(turn: Turn) -> None:
    """Ollama's whole answer, and then RST in the place of the message's end."""
    last = {"model": "m", "created_at": "2026-11-29T10:00:00Z", "done": True, "done_reason": "stop", "eval_count": 1}
    line = json.dumps({**last, "message": {"role": "assistant", "content": "hello"}, "prompt_eval_count": 2}).encode()
    await sse(line + b"\n", after="reset")(turn)


whole_before(10, "Ollama: done, then RST", done_then_reset, "ollama", held=True)

SAID = [event("hello", role=True), event(finish="stop")]
whole_before(1, "finish, usage, then RST", sse(*SAID, USAGE, after="reset"))
whole_before(2, "finish, usage, then FIN without an end", sse(*SAID, USAGE, after="close"))
whole_before(3, "finish, then RST", sse(*SAID, after="reset"))
whole_before(4, "finish, then FIN", sse(*SAID, after="close"))
whole_before(5, "finish, usage, then nothing more for ever", sse(*SAID, USAGE, after="stall"))
whole_before(6, "finish, usage, [DONE], then RST", sse(*SAID, USAGE, DONE, after="reset"), held=True)
whole_before(7, "finish, usage, a whole message without [DONE]", sse(*SAID, USAGE, after="end"), held=True)
whole_before(
    8,
    "Anthropic: stop_reason, then RST before message_stop",
    sse(*anthropic_frames(stop=False), after="reset"),
    "anthropic",
)


@case("A20.9", "no finish, then FIN: broken, and told", held=True)
async def broken_stays_broken(it: Fixture) -> str:
    cloud = await it.upstream(sse(event("hello", role=True), after="close"))
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat(stream=True))
    expect(b'"error"' in answered.body and b"[DONE]" not in answered.body, f"{answered.body[-90:]!r}")
    row = await router.entry(answered)
    expect(row.get("complete", True) is False, "the ledger says it is whole")
    return "an error event, no end mark"


# -- A21: what came instead --------------------------------------------------------------------------------------------

SIGN_IN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Please sign in</form></body></html>"


def html(data: bytes = SIGN_IN) -> Behaviour:
    """A page where an answer should be."""

    async def play(turn: Turn) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(data)}\r\n\r\n"
        await turn.send(head.encode() + data)

    return play


def page(number: int, title: str, *, streamed: bool, kind: str = "openai") -> None:
    """Register a sign-in page: the error names what came."""

    @case(f"A21.{number}", title)
    async def body(it: Fixture) -> str:
        cloud = await it.upstream(html())
        router = await it.router(config(None, cloud, use=["cloud"], cloud_is=kind))
        answered = await router.ask(chat(stream=streamed))
        expect(answered.status == 502, brief(answered))
        expect("html" in answered.error["message"].lower(), f"502 {answered.error['message'][:100]}")
        expect("Please sign in" not in answered.error["message"], "shows the page")
        return "502 that names an HTML page"


page(1, "an HTML page, streamed", streamed=True)
page(2, "an HTML page, unstreamed", streamed=False)
page(3, "an HTML page from Anthropic's address, streamed", streamed=True, kind="anthropic")
page(4, "an HTML page from Ollama's address, unstreamed", streamed=False, kind="ollama")


@case("A21.5", "a whole answer to a streamed request is used")
async def whole_for_a_stream(it: Fixture) -> str:
    cloud = await it.upstream(whole())
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat(stream=True))
    streamed_whole(answered, "hello")
    expect("text/event-stream" in answered.headers["content-type"], answered.headers["content-type"])
    return await metered(router, answered, (5, 2))


@case("A21.6", "a stream for an unstreamed request is used")
async def stream_for_a_whole(it: Fixture) -> str:
    cloud = await it.upstream(stream("hel", "lo"))
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    said = answered.json["choices"][0]["message"]["content"]
    expect(said == "hello", f"said {said!r}")
    expect("application/json" in answered.headers["content-type"], answered.headers["content-type"])
    return "one whole answer"


@case("A21.7", "a whole answer of Ollama to a streamed request is used", held=True)
async def whole_of_ollama(it: Fixture) -> str:
    async def one_object(turn: Turn) -> None:
        body = {"model": "small", "created_at": "2026-11-29T10:00:00Z", "done": True, "done_reason": "stop"}
        body |= {"message": {"role": "assistant", "content": "hello"}, "prompt_eval_count": 7, "eval_count": 3}
        await whole(json.dumps(body).encode())(turn)

    here = await it.upstream(one_object)
    router = await it.router(config(here, use=["local"], here_is="ollama"))
    answered = await router.ask(chat(stream=True))
    streamed_whole(answered, "hello")
    return "whole"


def half_a_character(number: int, kind: str, behaviour: Behaviour, *, streamed: bool, kept: bool) -> None:
    """Register an answer that holds half a surrogate pair; `kept`: its bytes are passed on."""

    @case(f"A21.{number}", f"half a surrogate pair from {kind}, {'streamed' if streamed else 'unstreamed'}")
    async def body(it: Fixture) -> str:
        here = await it.upstream(behaviour)
        router = await it.router(config(here, use=["local"], here_is=kind))
        answered = await router.ask(chat(stream=streamed))
        expect(answered.status == 200, brief(answered))
        expect(not streamed or answered.events[-1] == "[DONE]", f"ends with {answered.body[-60:]!r}")
        wanted = rb"\ud83d" if kept else rb"\ufffd"
        expect(wanted in answered.body, f"no {wanted.decode()}: {answered.body[:90]!r}")
        return f"200, {wanted.decode()}"


HALF = "cut \ud83d here"
for _number, (_kind, _behaviour) in enumerate(
    (("openai", openai(HALF)), ("ollama", ollama(HALF)), ("anthropic", anthropic(HALF)))
):
    half_a_character(8 + 2 * _number, _kind, _behaviour, streamed=True, kept=_kind == "openai")
    half_a_character(9 + 2 * _number, _kind, _behaviour, streamed=False, kept=_kind == "openai")


# -- A22: what is left out ---------------------------------------------------------------------------------------------


def left_out(number: int, title: str, kind: str, behaviour: Behaviour, *, streamed: bool, held: bool = False) -> None:
    """Register an engine that leaves a count out: it is estimated and flagged."""

    @case(f"A22.{number}", f"{title}, {'streamed' if streamed else 'unstreamed'}", held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(behaviour)
        router = await it.router(config(here, use=["local"], here_is=kind))
        answered = await router.ask(chat(LONG, stream=streamed))
        expect(answered.status == 200 and b'"error"' not in answered.body, brief(answered))
        return await metered(router, answered)


PARTLY: dict[str, Any] = {"completion_tokens": 5}
SAY = "a few words that are some tokens"
left_out(1, "Ollama without prompt_eval_count", "ollama", ollama(SAY, counts={"eval_count": 5}), streamed=True)
left_out(2, "Ollama without prompt_eval_count", "ollama", ollama(SAY, counts={"eval_count": 5}), streamed=False)
left_out(3, "Ollama without eval_count", "ollama", ollama(SAY, counts={"prompt_eval_count": 5}), streamed=True)
left_out(
    4,
    "usage without prompt_tokens",
    "openai",
    sse(event(SAY, role=True), event(finish="stop"), usage_frame(PARTLY), DONE, after="end"),
    streamed=True,
)
left_out(5, "usage without prompt_tokens", "openai", whole(completion(usage=PARTLY)), streamed=False)
left_out(6, "usage: {}", "openai", whole(completion(usage={})), streamed=False)
left_out(7, "Anthropic without input_tokens", "anthropic", anthropic(SAY, usage={"output_tokens": 1}), streamed=True)
left_out(8, "usage without completion_tokens", "openai", whole(completion(usage={"prompt_tokens": 50})), streamed=False)
left_out(9, "no usage at all", "openai", whole(completion(usage=None)), streamed=False, held=True)
