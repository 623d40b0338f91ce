"""Names are compared in one form, whoever writes them and however."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gridtie.config.load import RoutingFile, parse
from gridtie.config.names import CLAIM, canonical
from gridtie.config.problems import ConfigError
from gridtie.config.schema import Routing
from gridtie.gateway import claims
from standins import house


def load(**changes: Any) -> Routing:
    return read(**changes).routing


def read(**changes: Any) -> RoutingFile:
    return parse(yaml.safe_dump(house.document(**changes), sort_keys=False).encode(), "r.yaml")


def complaints(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(**changes)
    return [str(problem) for problem in caught.value.problems]


def rule(name: str = "one", **when: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "use": ["local"], "never": "cloud"}


@pytest.mark.parametrize(("text", "form"), [("HIPAA", "hipaa"), (" Dev ", "dev"), ("STRASSE", "strasse"), ("", "")])
def test_case_and_spaces_around_a_name_are_nothing(text: str, form: str) -> None:
    assert canonical(text) == form
    assert canonical(form) == form


def test_every_name_that_is_compared_is_canonical_after_loading() -> None:
    models = {"Coder": {"local": "auto"}, "Chat": {"local": "smollm2"}}
    rules = [rule(tags=["HIPAA", "hipaa"], agent=["Planner"], environment=["Dev"], alias=["CODER", "Gridtie/X:7B"])]
    budgets = [{"name": "Mine", "usd": 1, "environment": "DEV", "key": "Alice"}]
    defaults = {
        "alias": "cODER",
        "environment": "dEV",
        "allowed_hosts": ["Gpu.Example"],
        "allowed_origins": ["App://Obsidian.md"],
    }
    routing = load(models=models, rules=rules, budgets=budgets, defaults=defaults, environments=["Dev", "CI"])
    when, budget, found = routing.rules[0].when, routing.budgets[0], routing.defaults

    assert routing.environments == ("dev", "ci")
    assert list(routing.models) == ["coder", "chat"]
    assert (when.tags, when.agent, when.environment) == (["hipaa"], ["planner"], ["dev"])
    assert when.alias == ["coder", "gridtie/x:7b"]
    assert (budget.environment, budget.key, budget.name) == ("dev", "alice", "Mine")
    assert (found.alias, found.environment) == ("coder", "dev")
    assert (found.allowed_hosts, found.allowed_origins) == (["gpu.example"], ["app://obsidian.md"])


def test_an_alias_keeps_its_spelling_for_display_and_models_keep_theirs_for_upstream() -> None:
    cloud = {"provider": "openai", "model": "GPT-5.4-Mini"}
    coder = load(models={"Coder": {"local": "MyOrg/Model:7B", "cloud": cloud}}).models["coder"]

    assert (coder.written, coder.local) == ("Coder", "MyOrg/Model:7B")
    assert coder.cloud is not None
    assert coder.cloud.model == "GPT-5.4-Mini"


def test_loading_is_pure_and_the_same_file_gives_the_same_routing() -> None:
    assert load(rules=[rule(tags=["A"])]) == load(rules=[rule(tags=["A"])])


def test_the_spelling_of_an_alias_is_no_key_of_the_file() -> None:
    assert "models.coder.written: unknown key" in complaints(models={"coder": {"written": "x"}})[0]


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"environments": ["dev", "test", "ci", "production", "Dev"]}, ["environments[0]", "environments[4]"]),
        (
            {"models": {**house.DOCUMENT["models"], "Coder": {"local": "auto"}}},
            ["models.coder", "models.Coder"],
        ),
        ({"rules": [rule("a"), rule("A", tags=["x"])]}, ["rules[0].name", "rules[1].name"]),
        ({"budgets": [{"name": "b", "usd": 1}, {"name": "B", "usd": 2}]}, ["budgets[0].name", "budgets[1].name"]),
        (
            {"providers": {**house.DOCUMENT["providers"], "OpenAI": house.DOCUMENT["providers"]["openai"]}},
            ["providers.openai", "providers.OpenAI"],
        ),
    ],
)
def test_names_that_differ_by_case_alone_are_told_at_both_lines(changes: dict[str, Any], places: list[str]) -> None:
    found = complaints(**changes)

    assert [line.split(": ")[1] for line in found] == places
    assert len({line.split(": ")[0] for line in found}) == 2
    assert all("differ by case alone" in line for line in found)


def test_a_condition_may_use_any_spelling_and_an_unknown_name_is_told_as_it_was_written() -> None:
    assert load(rules=[rule(environment=["PRODUCTION"])])
    assert (
        '"PRODUCTIN" is no environment of this file; did you mean "production"?'
        in complaints(rules=[rule(environment=["PRODUCTIN"])])[0]
    )


@pytest.mark.parametrize("key", ["tags", "agent"])
@pytest.mark.parametrize("name", ["two words", "", "a,b", "größe", "-x", "x" * 65, "sk(1)"])
def test_a_tag_or_agent_that_no_header_carries_can_never_match(key: str, name: str) -> None:
    assert f"rules[0].when.{key}[0]" in complaints(rules=[rule(**{key: [name]})])[0]
    assert "can never match" in complaints(rules=[rule(**{key: [name]})])[0]


def test_what_a_header_may_carry_is_what_a_rule_may_name() -> None:
    """One pattern: the door's own, as long as it has one, is the same."""
    assert getattr(claims, "_NAME", CLAIM).pattern == CLAIM.pattern


@pytest.mark.parametrize("tag", ["Private", "PRIVATE", " private"])
def test_a_private_rule_is_one_in_any_spelling(tag: str) -> None:
    rules = [{"name": "p", "when": {"tags": [tag]}, "use": ["local", "cloud"]}]

    assert "what is tagged private never goes to a cloud" in complaints(rules=rules)[0]


def test_a_rule_is_shadowed_in_any_spelling() -> None:
    rules = [
        {"name": "a", "when": {"tags": ["X"]}, "use": ["local"]},
        {"name": "b", "when": {"tags": ["x"]}, "use": ["cloud"]},
    ]

    assert '"b" can never match: "a" above it' in complaints(rules=rules)[0]


@pytest.mark.parametrize("name", ["relay", "Relay", "private", "PRIVATE"])
def test_an_environment_cannot_have_a_name_with_a_meaning_of_its_own(name: str) -> None:
    assert any(
        "choose another name" in line for line in complaints(environments=["dev", "test", "ci", "production", name])
    )


@pytest.mark.parametrize("name", ["Local", "CLOUD", "Auto"])
def test_a_provider_cannot_be_called_like_a_word_of_the_rules(name: str) -> None:
    providers = {**house.DOCUMENT["providers"], name: {"type": "openai", "base_url": "https://gpu.example/v1"}}

    assert "has a meaning of its own in rules" in complaints(providers=providers)[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"models": {**house.DOCUMENT["models"], "x": {"local": "Auto"}}}, 'did you mean "auto"?'),
        ({"models": {**house.DOCUMENT["models"], "x": {"local": "auto", "purpose": "Code"}}}, 'did you mean "code"?'),
        ({"rules": [{"name": "a", "use": ["Local"]}]}, 'did you mean "local"?'),
        ({"rules": [{"name": "a", "use": ["OpenAI/x"]}]}, 'did you mean "openai"?'),
        ({"rules": [{"name": "a", "use": ["local"], "never": "Cloud"}]}, 'did you mean "cloud"?'),
        ({"rules": [rule(surface=["OpenAI"])]}, 'did you mean "openai"?'),
    ],
)
def test_a_fixed_word_in_another_spelling_is_asked_about(changes: dict[str, Any], says: str) -> None:
    assert says in complaints(**changes)[0]


def test_an_alias_is_no_longer_than_a_model_name_in_a_request_may_be() -> None:
    models = {**house.DOCUMENT["models"], "m" * 257: {"local": "auto"}}

    assert "the alias has 257 characters; at most 256" in complaints(models=models)[0]
