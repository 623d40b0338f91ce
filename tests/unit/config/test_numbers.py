"""Numbers mean what their writer means: in their unit, as they are written, and not against each other."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gridtie.config.load import parse
from gridtie.config.problems import ConfigError
from gridtie.config.schema import Limits, Timeouts
from standins import house


def complaints(text: str | bytes) -> str:
    try:
        parse(text if isinstance(text, bytes) else text.encode(), "r.yaml")
    except ConfigError as error:
        return str(error)
    return ""


def with_section(name: str, **values: Any) -> str:
    return complaints(yaml.safe_dump(house.document(**{name: values}), sort_keys=False))


def priced(**price: Any) -> str:
    providers = house.document()["providers"]
    providers["openai"]["prices"] = {"gpt-5.4-mini": price}
    return complaints(yaml.safe_dump(house.document(providers=providers), sort_keys=False))


@pytest.mark.parametrize(
    ("price", "says"),
    [
        (
            {"input": 0.00000075, "output": 0.0000045},
            "prices.gpt-5.4-mini.input: found 7.5e-07, which looks like dollars",
        ),
        ({"input": 0.00000075, "output": 0.0000045}, "per token; wanted US dollars per million tokens; write 0.75"),
        ({"input": 0.75, "output": 0.0000045}, "write 4.5"),
        ({"input": 0.75, "output": 4.5, "cached_input": 7.5e-8}, "write 0.075"),
        ({"input": 0.00075, "output": 4.5}, "write 750, or 0.75 if it is per thousand tokens"),
        ({"input": 7500, "output": 45000}, "write 75 if it is in cents"),
        ({"input": 4.5, "output": 0.75}, "exchange the two"),
        ({"input": 0.75, "output": 4.5, "cached_input": 0.8}, "costs more than new input"),
        ({"input": -1, "output": 1}, "found -1, wanted US dollars per million tokens, 0 or more"),
        ({"input": float("nan"), "output": 1}, "found nan"),
        ({"input": "$0.75", "output": 1}, "found '$0.75', wanted a number; write the number alone"),
        ({"input": "0.75", "output": 1}, "write 0.75 without quotes"),
    ],
)
def test_a_price_in_another_unit_is_asked_about(price: dict[str, Any], says: str) -> None:
    assert says in priced(**price)


@pytest.mark.parametrize(
    "price",
    [
        {"input": 0, "output": 0},
        {"input": 0.02, "output": 0},
        {"input": 0.001, "output": 0.001, "cached_input": 0},
        {"input": 150, "output": 600},
        {"input": 0.75, "output": 4.5, "cached_input": 0.075},
    ],
)
def test_a_price_that_somebody_charges_is_let_through(price: dict[str, float]) -> None:
    assert priced(**price) == ""


def test_a_total_below_another_time_is_a_bound_of_its_own() -> None:
    assert with_section("timeouts", total=10) == ""
    assert with_section("timeouts", total=10, first_token=60) == ""
    assert with_section("timeouts", total=10, first_token_cold=300) == ""


@pytest.mark.parametrize(("section", "key"), [("timeouts", "total"), ("limits", "header_timeout")])
def test_milliseconds_are_asked_about(section: str, key: str) -> None:
    assert "times are seconds" in with_section(section, **{key: 900_000})


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"held_bytes": 1_000_000}, "write held_bytes: 33554432 or more"),
        ({"max_body_bytes": 100_000_000}, "write held_bytes: 200000000 or more"),
        ({"max_body_bytes": 16}, "found 16 bytes, in which no request fits"),
        ({"held_bytes": 0}, "limits.held_bytes: found 0, wanted more than 0 (bytes)"),
        ({"output_tokens": 0}, "limits.output_tokens: found 0, wanted more than 0 (tokens)"),
        ({"output_tokens": -5}, "found -5, wanted more than 0 (tokens)"),
        ({"output_tokens": 1_000_001}, "wanted at most 1000000 (tokens of one answer)"),
        ({"output_tokens": "8k"}, "limits.output_tokens: found '8k', wanted a whole number"),
        ({"max_body_bytes": "16 MB"}, "write the number alone, without a unit"),
    ],
)
def test_limits_that_shut_everybody_out_are_named(limits: dict[str, Any], says: str) -> None:
    assert says in with_section("limits", **limits)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"keep_entries": 1}, "responses.keep_entries: found 1, of which one key may have half; wanted 2 or more"),
        ({"keep_bytes": 32}, "responses.keep_bytes: found 32 bytes, in which no conversation fits"),
        ({"keep_seconds": 0}, "responses.keep_seconds: found 0, wanted more than 0 (seconds)"),
        ({"keep_seconds": 3_600_000}, "times are seconds"),
        ({"keep": "always"}, "responses.keep: found 'always', wanted true or false"),
        ({"kept": True}, "keep"),
    ],
)
def test_a_memory_for_answers_that_could_hold_none_is_named(kept: dict[str, Any], says: str) -> None:
    assert says in with_section("responses", **kept)
    assert with_section("responses", keep=True, keep_entries=2, keep_bytes=1000, keep_seconds=0.5) == ""


def test_answers_are_kept_only_where_somebody_says_so() -> None:
    kept = house.routing().responses

    assert (kept.keep, kept.keep_entries, kept.keep_bytes, kept.keep_seconds) == (False, 1000, 33_554_432, 3600)


def test_the_defaults_of_the_new_limits() -> None:
    routing = house.routing()

    assert (Limits().held_bytes, Limits().output_tokens) == (134_217_728, 8192)
    assert (Timeouts().whole, routing.timeouts.whole) == (None, None)
    assert routing.defaults.allowed_origins == []
    assert routing.providers["openai"].output_limit_field is None


WRITTEN = [
    ("max_in_flight: 010", "found 010, which YAML reads as 8; write 10 (or 8, if that is meant)"),
    ("max_in_flight: -010", "write -10 (or -8"),
    ("max_in_flight: 00", "found 00"),
    ("max_in_flight: 08", "found '08', wanted a whole number; write 8 without quotes"),
    ("max_in_flight: 1_000", "found 1_000, which YAML reads as 1000; write 1000"),
    ("max_in_flight: 0x10", "found 0x10, which YAML reads as 16; write 16"),
    ("max_in_flight: 0b11", "which YAML reads as 3"),
    ("max_in_flight: 1:30", "found 1:30, which YAML reads as 90"),
    ("max_in_flight: '8'", "found '8', wanted a whole number; write 8 without quotes"),
    ("max_in_flight: 8 requests", "write the number alone"),
    ("max_in_flight: 1e3", "found '1e3', wanted a whole number; write 1000 without quotes"),
    ("max_in_flight: yes", "found true, wanted a whole number"),
    ("max_in_flight: " + "9" * 16, "more than 15 digits"),
    ("max_in_flight: " + "9" * 5000, "is not a value that YAML can read"),
    ("include_usage: 'false'", "found 'false', wanted true or false; write false without quotes"),
    ("include_usage: 'yes'", "write true without quotes"),
    ("key_file: 123", "found a number (not shown), wanted text"),
]


@pytest.mark.parametrize(("line", "says"), WRITTEN, ids=[line[:30] for line, _ in WRITTEN])
def test_a_number_that_yaml_reads_in_its_own_way_is_asked_about(line: str, says: str) -> None:
    found = complaints(f"version: 1\nproviders:\n  x:\n    type: openai\n    {line}\n")

    assert says in found
    assert f"r.yaml:5: providers.x.{line.partition(':')[0]}: " in found


def test_a_version_in_quotes_says_how_to_write_it() -> None:
    assert "r.yaml:1: version: found '1', wanted 1; write 1 without quotes" in complaints("version: '1'\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "environments: [on, off]",
            "environments[0]: found true, wanted text; put it in quotes if text is meant: YAML",
        ),
        ("environments: [dev, no]", "environments[1]: found false, wanted text"),
        ("environments: [dev, 1]", "environments[1]: found 1, wanted text; put it in quotes"),
        ("environments: [dev, 1.10]", "environments[1]: found 1.1, wanted text"),
        ("environments: [dev, 22:22]", "environments[1]: found 22:22, which YAML reads as 1342"),
        ("environments: [dev, ~]", "environments[1]: found nothing, wanted text"),
    ],
)
def test_text_that_yaml_takes_for_something_else_is_asked_about(line: str, says: str) -> None:
    assert says in complaints(f"version: 1\n{line}\n")


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ({"electricity": {"watts": -1}}, "costs.electricity.watts: found -1, wanted 0 or more (watts of one machine)"),
        ({"electricity": {"usd_per_kwh": 30}}, "more than electricity costs anywhere (US dollars); write 0.3 if it"),
        ({"hardware": {"usd": 0}}, "costs.hardware.usd: found 0, wanted more than 0 (US dollars)"),
        ({"hardware": {"usd": 900, "years": 0}}, "costs.hardware.years: found 0, wanted more than 0 (years)"),
        ({"hardware": {"usd": 900, "resale_usd": 1000}}, "found 1000, more than it was bought for (900)"),
        ({"baselines": ["gpt-5.4"]}, '"gpt-5.4" is no `provider/model`; write it as in prices.json'),
    ],
)
def test_costs_that_cannot_be_are_named(costs: dict[str, Any], says: str) -> None:
    assert says in with_section("costs", **costs)


def test_electricity_that_costs_nothing_is_no_mistake() -> None:
    assert with_section("costs", electricity={"watts": 45, "usd_per_kwh": 0}) == ""


@pytest.mark.parametrize("number", ["0", "10", "-1", "+3", "0.5", ".5", "5.", "1.5e+3", "1.0e-3"])
def test_a_number_that_everybody_reads_alike_is_one(number: str) -> None:
    assert f"rules[0].max_wait: found {number}, which" not in complaints(
        f"version: 1\nrules: [{{name: a, use: [local], max_wait: {number}}}]\n"
    )


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("*", "is the origin of pages that anybody makes"),
        ("null", "is the origin of pages that anybody makes"),
        ("https://app.example/", "it is no origin"),
        ("https://app.example/x", "it is no origin"),
        ("app.example", "it is no origin"),
        ("https://*.example", "it is no origin"),
        ("https://app.example:443", "leave it out"),
        ("http://app.example:80", "leave it out"),
        ("", "it is no origin"),
    ],
)
def test_an_origin_that_no_browser_sends_is_told(origin: str, says: str) -> None:
    assert says in with_section("defaults", allowed_origins=[origin])


@pytest.mark.parametrize(
    "origin",
    [
        "app://obsidian.md",
        "vscode-file://vscode-app",
        "http://localhost:3000",
        "https://a.example",
        "http://[::1]:80801"[:17],
    ],
)
def test_an_origin_is_scheme_host_and_port(origin: str) -> None:
    assert with_section("defaults", allowed_origins=[origin]) == ""


@pytest.mark.parametrize(
    ("type", "ok"), [("openai", True), ("anthropic", False), ("ollama", False), ("station", False)]
)
def test_only_an_openai_provider_chooses_the_field_of_its_output_limit(type: str, ok: bool) -> None:
    address = {"station": None, "openai": "https://h.example/v1"}.get(type, "https://h.example")
    provider = {"type": type, "output_limit_field": "max_tokens", **({"base_url": address} if address else {})}
    providers = {**house.DOCUMENT["providers"], "station" if type == "station" else "x": provider}

    assert ("output_limit_field" in complaints(yaml.safe_dump(house.document(providers=providers)))) is not ok


def test_the_field_of_the_output_limit_has_two_names() -> None:
    providers = {"x": {"type": "openai", "base_url": "https://h/v1", "output_limit_field": "max_token"}}

    assert 'did you mean "max_tokens"?' in complaints(yaml.safe_dump(house.document(providers=providers)))


def test_the_name_of_a_key_is_wanted_in_a_budget_and_not_the_key() -> None:
    found = complaints(yaml.safe_dump(house.document(budgets=[{"name": "a", "usd": 1, "key": "gt-abcdef"}])))

    assert "write the key's name, as `gridtie keys list` shows it" in found
    assert "gt-abcdef" not in found
