"""What a routing file may say and hardly means is told with its line, and the file holds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gridtie.config.check_warnings import warnings
from gridtie.config.load import parse
from standins import house


def told(keys: set[str] | None = None, **changes: Any) -> list[str]:
    text = yaml.safe_dump(house.document(**changes), sort_keys=False)
    return [str(warning) for warning in warnings(parse(text.encode(), "r.yaml"), keys)]


def test_the_shipped_defaults_are_meant() -> None:
    assert told() == []


def test_the_former_name_of_a_purpose_holds_and_is_told() -> None:
    models = {**house.document()["models"], "proof": {"local": "smollm2", "purpose": "probe"}}
    (warning,) = told(models=models)

    assert 'models.proof.purpose: the purpose "probe" is called "smoke-test" since 1.1.0; both hold' in warning


def test_the_former_name_of_the_minimum_score_is_told_with_what_to_write() -> None:
    models = house.document()["models"]
    models["coder"]["floor"] = models["coder"].pop("min_score")
    (warning,) = told(models=models)

    assert "models.coder.floor: `floor` is called `min_score` since 1.1.0; both hold" in warning
    assert "write `min_score: 50`" in warning


def test_the_former_name_of_the_smoke_tests_alias_is_told_where_it_stands_alone() -> None:
    models = house.document()["models"]
    old = {**models, "probe": models["smoke-test"]}
    assert told(models=old) == []

    del old["smoke-test"]
    (warning,) = told(models=old)
    assert 'models.probe: the alias "probe" is called "smoke-test" since 1.1.0; it answers to both' in warning


@pytest.mark.parametrize("key", ["connect", "first_token", "first_token_cold", "between_tokens", "whole"])
def test_a_time_that_the_total_ends_before_is_told_with_both(key: str) -> None:
    (warning,) = told(timeouts={key: 45, "total": 30})

    assert warning.startswith("r.yaml:")
    assert f"timeouts.{key}: found 45 s, which never passes: timeouts.total ends a request after 30 s" in warning
    assert "lower it, or raise timeouts.total" in warning


def changed(part: str, key: str, value: Any) -> dict[str, Any]:
    """The house with a setting of `coder` or of its third rule."""
    document = house.document()
    (document["models"]["coder"] if part == "models" else document["rules"][2])[key] = value
    return {part: document[part]}


@pytest.mark.parametrize(("part", "where"), [("models", "models.coder"), ("rules", "rules[2]")])
def test_so_is_one_of_an_alias_or_a_rule_that_no_total_lets_pass(part: str, where: str) -> None:
    (warning,) = told(timeouts={"total": 30}, **changed(part, "timeouts", {"first_token": 45}))

    assert f"{where}.timeouts.first_token: found 45 s, which never passes" in warning
    assert told(timeouts={"total": 30}, **changed(part, "timeouts", {"first_token": 45, "total": 60})) == []


def test_a_time_of_an_alias_holds_where_a_rule_gives_it_room() -> None:
    changes = changed("models", "timeouts", {"first_token": 45}) | changed("rules", "timeouts", {"total": 60})

    assert told(timeouts={"total": 30}, **changes) == []


@pytest.mark.parametrize(("part", "where"), [("models", "models.coder"), ("rules", "rules[2]")])
def test_retries_beyond_the_attempts_of_a_request_are_told(part: str, where: str) -> None:
    (warning,) = told(limits={"attempts": 3}, **changed(part, "retries", {"count": 3}))

    assert f"{where}.retries.count: found 3, and limits.attempts ends a request after 3 attempts" in warning
    assert told(limits={"attempts": 4}, **changed(part, "retries", {"count": 3})) == []


@pytest.mark.parametrize("timeouts", [{"total": 30}, {"first_token": 30, "total": 30}, {"first_token": 900}])
def test_defaults_follow_a_lower_total_and_nothing_is_said(timeouts: dict[str, float]) -> None:
    assert told(timeouts=timeouts) == []


def test_a_budget_of_a_key_that_is_not_there_is_told_with_the_nearest() -> None:
    budgets = [{"name": "app", "usd": 1, "key": "Billing-Servce"}, {"name": "all", "usd": 5}]
    (warning,) = told({"billing-service", "station"}, budgets=budgets)

    assert warning.startswith("r.yaml:")
    assert 'budgets[0].key: there is no key "billing-servce", so the budget "app" limits nobody' in warning
    assert 'did you mean "billing-service"?' in warning


def test_a_budgets_key_is_found_in_any_case_and_not_asked_about_where_no_keys_are_known() -> None:
    budgets = [{"name": "app", "usd": 1, "key": "Alice"}]

    assert told({"alice"}, budgets=budgets) == []
    assert told(None, budgets=budgets) == []
