"""No request that must stay is ever opened to a cloud: over rules, surfaces, faults, weights, retries, reloads."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gridtie.config.load import ConfigError, parse
from standins.router import Answered, Station, run
from standins.scripted import Behaviour, Turn, Upstream, cut, error, event, vanish
from standins.surfaces import SURFACES, answer
from standins.surfaces import asked as request_body

TAGS = ("hipaa", "legal", "private", "draft")
ENVIRONMENTS = ("dev", "ci", "production")
AGENTS = ("coder", "reviewer")
ALIASES = ("coder", "chat")
# How people write the header that carries tags. None of these may let a request out that one of them would hold.
HEADERS = ("x-gridtie-tags", "X-Gridtie-Tags", "x_gridtie_tags", "x-gridtie-tag", "X-GridTie_Tags")


def spelt(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    """A name in any mixture of capitals."""
    return st.tuples(st.sampled_from(names), st.lists(st.booleans(), min_size=12, max_size=12)).map(
        lambda found: "".join(
            letter.upper() if upper else letter for letter, upper in zip(found[0], found[1] * 2, strict=False)
        )
    )


def respelt(value: Any, upper: bool) -> Any:
    """The same conditions in other capitals."""
    return {key: [text.upper() if upper else text.title() for text in texts] for key, texts in value.items()}


# Which request it is stands in its prompt.
_NUMBER = re.compile(r"number-(\d+)")


class Asked(NamedTuple):
    """One request."""

    alias: str
    header: str
    tags: list[str]
    environment: str | None
    agent: str | None
    streamed: bool
    # A name of `standins.surfaces`: what it is asked through.
    surface: str = "openai chat"


_WHEN = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.lists(spelt(TAGS), min_size=1, max_size=2),
        "environment": st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, max_size=2, unique=True),
        "agent": st.lists(spelt(AGENTS), min_size=1, max_size=1),
        "alias": st.lists(st.sampled_from(ALIASES), min_size=1, max_size=1),
    },
)
_RULE = st.fixed_dictionaries(
    {"use": st.sampled_from([["local"], ["cloud"], ["local", "cloud"], ["cloud", "local"]]), "when": _WHEN},
    optional={"max_wait": st.sampled_from([0, 0.05, 0.3])},
)
# A rule that holds requests back, often by a tag.
_HOLDING = st.fixed_dictionaries(
    {"use": st.just(["local"]), "never": st.just("cloud"), "when": _WHEN.filter(bool)},
    optional={"max_wait": st.sampled_from([0, 0.05])},
)
_EVERYTHING = {"use": ["cloud", "local"], "when": {}}
_RULES = st.tuples(
    st.lists(st.one_of(_RULE.filter(lambda rule: rule["when"]), _HOLDING), max_size=4),
    st.sampled_from([[_EVERYTHING], [_EVERYTHING], []]),
).map(lambda found: found[0] + found[1])
_ASKED = st.builds(
    Asked,
    alias=st.one_of(st.sampled_from(ALIASES), spelt(ALIASES)),
    header=st.sampled_from(HEADERS),
    tags=st.lists(spelt(TAGS), max_size=3),
    environment=st.one_of(st.none(), st.sampled_from(ENVIRONMENTS), spelt(ENVIRONMENTS)),
    agent=st.one_of(st.none(), spelt(AGENTS)),
    streamed=st.booleans(),
    surface=st.sampled_from(sorted(SURFACES)),
)
_LOCAL = ("well", "slow", "500", "429", "429 at once", "404", "400 tools", "context", "vanishes", "cut", "400")


def must_stay(rules: list[dict[str, Any]], asked: Asked) -> bool:
    """What the documentation says, in a few lines: never holds from every rule that matches, and `private` always."""
    claims = {
        "tags": {tag.casefold() for tag in asked.tags},
        "environment": {(asked.environment or ENVIRONMENTS[0]).casefold()},
        "agent": {asked.agent.casefold()} if asked.agent else set(),
        "alias": {asked.alias.casefold()},
    }
    matching = [
        rule
        for rule in rules
        if all(claims[name] & {text.casefold() for text in texts} for name, texts in rule["when"].items())
    ]
    held = any(rule.get("never") == "cloud" for rule in matching)
    return "private" in claims["tags"] or held or not matching or "cloud" not in matching[0]["use"]


class Shape(NamedTuple):
    """How an alias names its targets: one of each kind, or two that share a place; and how often one is asked again."""

    # Of the first local model, the second, the first cloud and the second.
    weights: tuple[int, int, int, int] | None = None
    retries: int = 0


_SHAPES = st.builds(
    Shape,
    weights=st.one_of(st.none(), st.tuples(*[st.sampled_from([0, 1, 3])] * 4)),
    retries=st.sampled_from([0, 2]),
)


def file(rules: list[dict[str, Any]], local: str, cloud: str, shape: Shape) -> str:
    """JSON is YAML."""
    here = {"type": "openai", "base_url": local, "locality": "local", "max_in_flight": 1}
    there = {"type": "openai", "base_url": cloud}
    return json.dumps(
        {
            "version": 1,
            "environments": [*ENVIRONMENTS, "test"],
            "providers": {"here": here, "beside": here, "openai": there, "azure": there},
            "models": {name: _targets(name, shape.weights) for name in ALIASES},
            "rules": [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)],
            "retries": {"count": shape.retries, "backoff": 0.05, "max_backoff": 0.2},
            "timeouts": {"connect": 2, "first_token": 1, "between_tokens": 1, "total": 4},
        }
    )


def _targets(alias: str, weights: tuple[int, int, int, int] | None) -> dict[str, Any]:
    model = "gpt-5.4-mini"
    if weights is None:
        return {"local": f"here/{alias}", "cloud": {"provider": "openai", "model": model}}
    one, two, three, four = weights
    return {
        "local": [{"model": f"here/{alias}", "weight": one}, {"model": f"beside/{alias}", "weight": two}],
        "cloud": [
            {"provider": "openai", "model": model, "weight": three},
            {"provider": "azure", "model": model, "weight": four},
        ],
    }


def headers(asked: Asked) -> dict[str, str]:
    found = {asked.header: ", ".join(asked.tags)} if asked.tags else {}
    if asked.environment:
        found["x-gridtie-environment"] = asked.environment
    return {**found, **({"x-gridtie-agent": asked.agent} if asked.agent else {})}


async def _ok(turn: Turn) -> None:
    await answer(turn, "words")


async def _slow(turn: Turn) -> None:
    await asyncio.sleep(0.06)
    await _ok(turn)


BEHAVIOURS: dict[str, Behaviour] = {
    "well": _ok,
    "slow": _slow,
    "500": error("500 Internal Server Error", "failed"),
    "429": error("429 Too Many Requests", "busy", headers="retry-after: 1\r\n"),
    "429 at once": error("429 Too Many Requests", "busy", headers="retry-after: 0\r\n"),
    "404": error("404 Not Found", "no such model", code="model_not_found"),
    "400": error("400 Bad Request", "temperature is wrong", type="invalid_request_error"),
    "400 tools": error("400 Bad Request", "this model does not support tools", type="invalid_request_error"),
    "context": error("400 Bad Request", "too long", code="context_length_exceeded"),
    "vanishes": vanish,
    "cut": cut(event(role=True)),
}
# How many requests may leave and did: without any the property would say nothing.
_left = 0


async def _escaped(
    rules: list[dict[str, Any]], asked: list[Asked], local: list[str], shape: Shape, reload: bool
) -> list[Asked]:
    """The requests that must stay and reached the cloud."""
    global _left
    seen: set[int] = set()

    async def cloud(turn: Turn) -> None:
        seen.add(int(_NUMBER.findall(turn.body.decode())[0]))
        await _ok(turn)

    behaviours = [BEHAVIOURS[name] for name in local]
    with tempfile.TemporaryDirectory() as directory:
        async with Upstream(*behaviours) as here, Upstream(cloud) as there:
            text = file(rules, here.url, there.url, shape)
            async with Station(Path(directory), text) as router:
                work = [asyncio.ensure_future(_ask(router, number, each)) for number, each in enumerate(asked)]
                if reload:
                    for upper in (True, False):
                        changed = [{**rule, "when": _recased(rule["when"], upper)} for rule in rules]
                        (router.config / "llm_routing.yaml").write_text(file(changed, here.url, there.url, shape))
                        await router.router.settings.reload()
                        await asyncio.sleep(0.01)
                    numbers = range(len(asked), 2 * len(asked))
                    work += [asyncio.ensure_future(_ask(router, n, asked[n - len(asked)])) for n in numbers]
                await asyncio.gather(*work)
                await router.settled()
    _left += len(seen)
    return [asked[number % len(asked)] for number in sorted(seen) if must_stay(rules, asked[number % len(asked)])]


def _recased(when: dict[str, Any], upper: bool) -> dict[str, Any]:
    """Tags and agents in other capitals: the same rule."""
    return {**when, **respelt({key: when[key] for key in ("tags", "agent") if key in when}, upper)}


async def _ask(router: Station, number: int, asked: Asked) -> Answered:
    surface = SURFACES[asked.surface]
    body = request_body(surface, f"number-{number}", model=asked.alias, streamed=asked.streamed)
    return await router.ask(body, path=surface.path, headers=headers(asked))


def _loads(rules: list[dict[str, Any]]) -> bool:
    """Whether the loader takes these rules; it refuses one that can never match."""
    try:
        parse(file(rules, "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", Shape()).encode(), "llm_routing.yaml")
    except ConfigError:
        return False
    return True


_HIPAA = {"use": ["local"], "never": "cloud", "when": {"tags": ["HIPAA"]}}


@settings(max_examples=120, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@example(
    [_HIPAA, _EVERYTHING], [Asked("coder", HEADERS[0], ["HIPAA"], None, None, False)], ["vanishes"], Shape(), False
)  # a capital in the rule
@example(
    [_EVERYTHING], [Asked("coder", "x_gridtie_tags", ["private"], None, None, True)], ["well"], Shape(), False
)  # a header that is nearly right
@example(
    [_HIPAA, _EVERYTHING],
    [Asked("coder", HEADERS[0], ["HIPAA"], None, None, False)],
    ["429 at once"],
    Shape((0, 1, 1, 3), 2),
    False,
)  # a local target that is asked again, beside one that is drained
@given(
    _RULES,
    st.lists(_ASKED, min_size=1, max_size=4),
    st.lists(st.sampled_from(_LOCAL), min_size=1, max_size=4),
    _SHAPES,
    st.booleans(),
)
def _no_escape(rules: list[dict[str, Any]], asked: list[Asked], local: list[str], shape: Shape, reload: bool) -> None:
    assume(rules and _loads(rules))

    assert run(lambda: _escaped(rules, asked, local, shape, reload)) == []


def test_no_request_that_must_stay_is_ever_opened_to_a_cloud() -> None:
    global _left
    _left = 0

    _no_escape()

    assert _left > 20
