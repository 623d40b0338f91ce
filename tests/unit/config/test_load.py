"""A routing file is taken whole or refused with everything that is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.config.__main__ import main
from gridtie.config.load import load, load_routing, parse
from gridtie.config.problems import ConfigError, Problem
from standins import house

SHIPPED = Path(__file__).parents[3] / "config" / "llm_routing.yaml"


def complaints(document: dict[str, Any] | str) -> str:
    text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "r.yaml")
    return str(caught.value)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The house's file with one value set; the path names keys and list indices."""
    document = house.document()
    *above, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = document
    for step in above:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    place[last] = value
    return document


def test_the_shipped_file_holds_and_configures_no_cloud() -> None:
    routing = load_routing(SHIPPED)

    assert {provider.locality for provider in routing.providers.values()} == {"local"}
    assert set(routing.models) == {"coder", "chat", "smoke-test"}


def test_the_examples_of_the_shipped_file_hold_once_their_comment_signs_are_removed() -> None:
    lines = []
    for line in SHIPPED.read_text().splitlines():
        bare = line.strip().removeprefix("# ")
        example = line.strip().startswith("# ") and (
            bare.split(":")[0].strip() in EXAMPLE_KEYS or bare.lstrip().startswith(("- {name: ", "- {provider: "))
        )
        lines.append(line.replace("# ", "", 1) if example else line)
    text = "\n".join(line for line in lines if line.strip() != "budgets: []")

    routing = parse(text.encode(), "examples").routing

    assert {"openai", "anthropic", "gpu-server"} <= set(routing.providers)
    assert routing.models["coder"].cloud is not None
    assert [cloud.weight for cloud in routing.models["shared"].cloud_models()] == [3, 1]
    assert len(routing.budgets) == 3


EXAMPLE_KEYS = {
    "openai",
    "anthropic",
    "gpu-server",
    "type",
    "base_url",
    "key_file",
    "ca_file",
    "include_usage",
    "output_limit_field",
    "whole",
    "locality",
    "max_in_flight",
    "cloud",
    "baseline",
    "max_cost",
    "budgets",
    "shared",
    "local",
    "timeouts",
    "retries",
}


def test_a_station_is_local_without_saying_so() -> None:
    assert house.routing().providers["station"].locality == "local"


def test_a_provider_without_a_locality_counts_as_cloud() -> None:
    assert house.routing().providers["openai"].locality == "cloud"


def test_all_problems_are_named_in_the_order_of_their_lines() -> None:
    text = "version: 2\nproviders: {x: {type: opena}}\nmodels: {}\nrules:\n  - {name: a, usse: [local]}\n"

    assert complaints(text).splitlines() == [
        "r.yaml:1: version: found 2, wanted 1",
        "r.yaml:2: providers.x.type: found 'opena', wanted one of station, pool, openai, anthropic, ollama; "
        'did you mean "openai"?',
        'r.yaml:5: rules[0].usse: unknown key; did you mean "use"?',
        'r.yaml:5: rules[0]: the key "use" is missing; wanted: a list of text',
    ]


CLOUD = {"provider": "openai", "model": "gpt-5.4-mini"}
SHAPES = [
    ("budgets", {"a": 1}, "budgets: found a mapping, wanted a list of mappings"),
    ("timeouts/total", "soon", "timeouts.total: found 'soon', wanted a number"),
    ("limits/attempts", 1.5, "limits.attempts: found 1.5, wanted a whole number"),
    ("limits/attempts", True, "limits.attempts: found true, wanted a whole number"),
    ("rules/0/when/tags", "private", "rules[0].when.tags: found 'private', wanted a list of text"),
    ("rules/0/when/tags", [3], "rules[0].when.tags[0]: found 3, wanted text"),
    ("environments", "dev", "environments: found 'dev', wanted a list of text"),
    ("models/coder/cloud", {"provider": "openai"}, 'models.coder.cloud: the key "model" is missing'),
    ("models/coder/local", 7, "models.coder.local: found 7, wanted text, a mapping or a list of text or mappings"),
    ("models/coder/cloud", 7, "models.coder.cloud: found 7, wanted a mapping or a list of mappings"),
    ("models/coder/cloud", {**CLOUD, "weigt": 1}, 'models.coder.cloud.weigt: unknown key; did you mean "weight"?'),
    (
        "models/coder/cloud",
        [{**CLOUD, "weight": 1.5}],
        "models.coder.cloud[0].weight: found 1.5, wanted a whole number",
    ),
    ("rules/0/timeouts", {"conect": 1}, 'rules[0].timeouts.conect: unknown key; did you mean "connect"?'),
    ("rules/0/retries", {"attempts": 1}, "rules[0].retries.attempts: unknown key; allowed here: count, backoff"),
    ("retries", {"count": "2"}, "retries.count: found '2', wanted a whole number"),
    ("defaults", [], "defaults: found a list, wanted a mapping"),
    ("providers", None, "providers: found nothing, wanted a mapping"),
    ("anything", 1, "anything: unknown key; allowed here: version, providers"),
]


@pytest.mark.parametrize(("path", "value", "wanted"), SHAPES)
def test_a_wrong_shape_says_what_was_found_and_what_is_wanted(path: str, value: Any, wanted: str) -> None:
    assert wanted in complaints(changed(path, value))


STATION = {"type": "station"}
REMOTE = {"type": "openai", "base_url": "https://gpu.example/v1"}

MEANINGS = [
    ("providers/station/locality", "cloud", "a station is local by nature"),
    ("providers/station/base_url", "http://x", "a station is what was provisioned, and says itself"),
    ("providers/second", STATION, '"station" is a station already'),
    ("providers/local", REMOTE, '"local" has a meaning of its own'),
    ("providers/a b", REMOTE, "does not fit a header"),
    ("providers/x", {"type": "openai"}, 'the key "base_url" is missing'),
    ("providers/openai/base_url", "api.openai.com", "does not begin with https://"),
    ("providers/openai/base_url", "https://", "names no host"),
    ("providers/openai/base_url", "https://a:b@c/v1", "carries a credential"),
    ("providers/openai/base_url", "https://c/v1?k=1", "carries a query"),
    ("providers/openai/base_url", "https://c:99999/v1", "is no address"),
    ("providers/openai/base_url", "http://c.example/v1", "would travel to c.example unencrypted"),
    ("providers/openai/locality", "local", "api.openai.com is not local"),
    ("providers/a", {"type": "anthropic", "base_url": "https://a.example/v1"}, "is added by the router"),
    ("providers/openai/ca_file", "ca.pem", '"ca.pem" is relative; write the whole path'),
    ("providers/openai/max_in_flight", 0, "found 0, wanted more than 0 (requests)"),
    ("providers/openai/prices", {"gpt-5.4-mni": {"input": 1, "output": 1}}, 'did you mean "gpt-5.4-mini"?'),
    (
        "providers/openai/prices",
        {"gpt-5.4-mini": {"input": -1, "output": 1}},
        "found -1, wanted US dollars",
    ),
    ("models/coder/cloud/provider", "opnai", '"opnai" is no provider of this file; did you mean "openai"?'),
    ("models/coder/cloud/provider", "station", '"station" is local; put it under `local`'),
    ("models/coder/local", "openai/gpt", '"openai" is a cloud provider'),
    ("models/coder/local", [], "models.coder.local: the list is empty"),
    ("models/smoke-test", {"local": None}, "neither local nor cloud is set"),
    ("models/coder/purpose", "coding", '"coding" is no purpose; did you mean "code"?'),
    ("models/coder/cloud", [], "models.coder.cloud: the list is empty"),
    ("models/coder/cloud", [CLOUD, CLOUD], 'models.coder.cloud[1]: "openai/gpt-5.4-mini" is given twice'),
    ("models/coder/cloud", [CLOUD, {**CLOUD, "provider": "opnai"}], "models.coder.cloud[1].provider"),
    (
        "models/coder/cloud/weight",
        -1,
        "coder.cloud.weight: found -1, wanted a whole number from 0 to 1000000 (its part",
    ),
    ("models/coder/cloud", [{**CLOUD, "weight": 2_000_000}], "coder.cloud[0].weight: found 2000000, wanted a whole"),
    ("models/coder/local", {"model": "smollm2", "weight": -1}, "models.coder.local.weight: found -1"),
    ("models/coder/local", [{"model": "smollm2", "weight": 1}, "smollm2"], '"smollm2" is given twice'),
    ("models/coder/timeouts", {"connect": 0}, "models.coder.timeouts.connect: found 0, wanted more than 0 (seconds)"),
    ("rules/0/timeouts", {"total": 90_000}, "rules[0].timeouts.total: found 90000 s, more than a day"),
    ("rules/0/retries", {"count": 11}, "rules[0].retries.count: found 11, wanted a whole number from 0 to 10 (times"),
    ("models/coder/retries", {"count": -1}, "models.coder.retries.count: found -1"),
    ("retries", {"backoff": 0}, "retries.backoff: found 0, wanted more than 0 (seconds)"),
    ("retries", {"max_backoff": float("inf")}, "retries.max_backoff: found inf"),
    ("models/coder/floor", 101, "found 101, wanted a score from 0 to 100"),
    ("models/coder/floor", 40, "`floor` is the former name of `min_score`, and both are set"),
    ("models/coder/min_score", 101, "found 101, wanted a score from 0 to 100"),
    ("models/coder/baseline", "gpt", '"gpt" is no `provider/model`'),
    ("models/two words", {"local": "auto"}, "is empty or has spaces"),
    ("rules", [], "without one every request is refused"),
    ("rules/1/name", "private", '"private" is given twice'),
    ("rules/1/name", "ci\n", "does not fit a header"),
    ("rules/1/use", ["locl"], '"locl" is no target; did you mean "local"?'),
    ("rules/1/use", ["nowhere/x"], '"nowhere" is no provider of this file'),
    ("rules/1/use", [], "rules[1].use: the list is empty"),
    ("rules/1/use", ["local", "local"], '"local" is given twice'),
    ("rules/1/use", ["local", "cloud"], '"cloud" contradicts `never: cloud`'),
    ("rules/1/use", ["openai/gpt-5.4-mini"], '"openai/gpt-5.4-mini" contradicts `never: cloud`'),
    ("rules/2/when/environment", ["devel"], '"devel" is no environment of this file; did you mean "dev"?'),
    ("rules/2/when/environment", [], "nothing can match"),
    ("rules/2/when/alias", ["codr"], '"codr" is no alias of this file; did you mean "coder"?'),
    ("rules/2/when/alias", ["openai/gpt-5.4-mino"], '"openai/gpt-5.4-mino" is no model of this file'),
    ("rules/2/when/surface", ["openapi"], '"openapi" is no surface; did you mean "openai"?'),
    ("rules/2/when", {"larger_than": 9, "smaller_than": 10}, "no prompt is larger than 9 and smaller than 10"),
    ("rules/2/max_wait", -1, "found -1, wanted 0 or more (seconds)"),
    ("rules/2/max_cost", 0, "found 0, wanted more than 0 (US dollars)"),
    ("rules/2/max_cost", float("nan"), "found nan, wanted more than 0"),
    ("rules/2/when", {}, '"production" can never match: "dev" above it'),
    ("budgets", [{"name": "a", "usd": 0}], "found 0, wanted more than 0"),
    ("budgets", [{"name": "a", "usd": 1, "environment": "prod"}], '"prod" is no environment'),
    ("budgets", [{"name": "a", "usd": 1}, {"name": "a", "usd": 2}], '"a" is given twice'),
    ("timeouts/connect", 0, "found 0, wanted more than 0 (seconds)"),
    ("timeouts/total", float("inf"), "found inf, wanted more than 0 (seconds)"),
    ("limits/attempts", -1, "found -1, wanted more than 0"),
    ("defaults/alias", "code", '"code" is no alias of this file; did you mean "coder"?'),
    ("defaults/environment", "live", '"live" is no environment of this file'),
    ("defaults/baseline", "mini", '"mini" is no `provider/model`'),
    ("defaults/allowed_hosts", ["http://x"], "is no host name"),
    ("defaults/allowed_hosts", ["*"], "is no host name"),
    ("environments", [], "environments: the list is empty"),
    ("environments", ["dev", "relay"], '"relay" is the environment of what other stations'),
    ("providers/x", {"type": "pool", "base_url": "https://x"}, "a pool is what was provisioned, and says itself"),
    ("providers/x", {"type": "pool", "locality": "cloud"}, "a pool is local by nature"),
    ("providers/station/private", True, "only a provider of type pool has private"),
    ("providers/openai/prefer", "always", "only a provider of type pool has prefer"),
    ("providers/openai/max_relayed", 1, "only a provider of type station has max_relayed"),
    ("providers/station/max_relayed", -1, "found -1, wanted 0 or more (requests; 0: none of other stations)"),
]


@pytest.mark.parametrize(("path", "value", "wanted"), MEANINGS, ids=lambda value: str(value)[:40])
def test_what_contradicts_itself_is_named(path: str, value: Any, wanted: str) -> None:
    assert wanted in complaints(changed(path, value))


@pytest.mark.parametrize(
    "name",
    [
        "gpt-oss:120b-cloud",
        "glm-5:cloud",
        "glm-5:CLOUD",
        "Qwen3-Coder:480B-Cloud",
        "library/gpt-oss:120b-cloud",
        "registry.ollama.ai/library/gpt-oss:20b:cloud",
    ],
)
@pytest.mark.parametrize("provider", ["", "station/", "pool/", "box/"])
def test_a_model_that_ollama_sends_to_its_cloud_is_never_local(provider: str, name: str) -> None:
    document = changed("providers/box", {"type": "ollama", "base_url": "http://box:11434", "locality": "local"})
    document["providers"]["pool"] = {"type": "pool"}
    document["models"]["coder"]["local"] = [provider + name]

    told = complaints(document)

    assert "r.yaml:" in told
    assert f'models.coder.local[0]: "{provider}{name}" is no local model' in told
    assert "`locality: cloud`" in told
    if provider:
        document = changed("providers", document["providers"])
        document["rules"][-1]["use"] = [provider + name]
        assert f'use[0]: "{provider}{name}" is no local model' in complaints(document)


def test_such_a_model_of_a_provider_that_says_it_is_a_cloud_holds() -> None:
    document = changed("providers/box", {"type": "ollama", "base_url": "http://127.0.0.1:11434", "locality": "cloud"})
    document["models"]["coder"]["cloud"] = {"provider": "box", "model": "gpt-oss:120b-cloud"}

    assert parse(yaml.safe_dump(document).encode(), "r.yaml")


def test_another_servers_model_may_be_called_cloud() -> None:
    document = changed("providers/box", {"type": "openai", "base_url": "http://box:8000/v1", "locality": "local"})
    document["models"]["coder"]["local"] = ["box/acme/word-cloud"]

    assert parse(yaml.safe_dump(document).encode(), "r.yaml")


def test_a_private_rule_that_names_a_cloud_is_a_contradiction() -> None:
    document = changed("rules/0", {"name": "p", "when": {"tags": ["private"]}, "use": ["local", "cloud"]})

    assert "what is tagged private never goes to a cloud" in complaints(document)


def test_a_shadowed_rule_that_forbids_something_still_has_a_meaning() -> None:
    document = changed("rules/2", {"name": "all", "use": ["local"]})
    document["rules"][3]["never"] = "local"
    document["rules"][3]["use"] = ["cloud"]

    assert parse(yaml.safe_dump(document).encode(), "r.yaml")


@pytest.mark.parametrize(
    ("address", "locality"),
    [
        ("http://127.0.0.1:8000/v1", "cloud"),
        ("http://[::1]:8000/v1", "cloud"),
        ("http://localhost:8000/v1", "cloud"),
        ("http://gpu.example/v1", "local"),
        ("https://gpu.example/v1", "cloud"),
    ],
)
def test_plain_http_is_for_this_machine_and_for_what_is_declared_local(address: str, locality: str) -> None:
    document = changed("providers/x", {"type": "openai", "base_url": address, "locality": locality})

    assert parse(yaml.safe_dump(document).encode(), "r.yaml").routing.providers["x"].base_url == address


def test_a_problem_that_shows_later_still_gets_its_line(tmp_path: Path) -> None:
    path = tmp_path / "llm_routing.yaml"
    path.write_text(SHIPPED.read_text())
    error = ConfigError([Problem(path=("providers", "station", "type"), what="gone")])

    line = next(at for at, text in enumerate(SHIPPED.read_text().splitlines(), 1) if text == "    type: station")
    assert str(load(path).located(error)) == f"{path}:{line}: providers.station.type: gone"


def test_checking_from_the_command_line_tells_good_from_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\n")

    assert (main([str(SHIPPED)]), main([str(bad)]), main([])) == (0, 1, 2)
    assert "bad.yaml:1: version: found 2, wanted 1" in capsys.readouterr().err


def test_the_runners_routing_file_knows_no_cloud() -> None:
    routing = parse((SHIPPED.parents[1] / "inventories/ci/llm_routing.yaml").read_bytes(), "ci.yaml").routing

    assert {provider.locality for provider in routing.providers.values()} == {"local"}
    assert {rule.never for rule in routing.rules} == {"cloud"}
