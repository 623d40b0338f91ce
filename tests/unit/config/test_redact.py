"""No message about a file shows a secret, wherever in the file it was put."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.config import source
from gridtie.config.load import judge
from gridtie.config.problems import ConfigError, Problem
from gridtie.config.redact import HIDDEN, holds_key, is_secret_name, path_or_nothing, redacted
from gridtie.providers.registry import Targets
from standins import house

# One of each kind that a person may hold; made up.
KEYS = [
    "sk-proj-T3BlbkFJabcDEF0123456789",
    "sk-ant-api03-zYxWvU-98765",
    "sk-short",
    "gt-" + "q7W2" * 10 + "abc",
    "gsk_abcdefghij0123456789KLMN",
    "AIzaSyA1234567890abcdefghijk",
    "xai-AbCdEfGhIj0123456789",
    "hf_AbCdEfGhIjKlMnOpQr",
    "0123456789abcdef0123456789abcdef",
    "d41d8cd98f00b204e9800998ecf8427e",
    "8fG2kLm9Qw3RtY6uIo1PaS4dFgH7jKl0ZxC5vBn",
    "123e4567-e89b-12d3-a456-426614174000",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
]
NAMES = [
    "qwen2.5-coder:7b-instruct-q4_K_M",
    "claude-haiku-4-5-20251001",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    "TheBloke/CodeLlama-7B-Instruct-GGUF",
    "gpt-server",
    "gt-models",
    "task-runner",
    "risk-assessment",
    "/etc/gridtie/secrets/openai",
    "secrets/anthropic",
    "first_token_cold",
    "https://gpu.example.internal:8000/v1",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_known_by_its_looks(key: str) -> None:
    assert holds_key(key)
    assert redacted(f'found "{key}", wanted text') == f'found "{HIDDEN}", wanted text'


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_key(name: str) -> None:
    assert redacted(name) == name


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=60))
def test_a_key_of_the_router_is_hidden_whatever_its_characters(tail: str) -> None:
    key = f"gt-{tail:a<43}"

    assert key not in redacted(f"at {key} here")


@pytest.mark.parametrize("name", ["api_key", "API-KEY", "key", "token", "OPENAI_API_KEY", "key_file", "Password"])
def test_some_settings_are_places_for_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["first_token", "output_tokens", "between_tokens", "monkey", "keyboard", "author"])
def test_others_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_a_path_is_shown_and_a_word_is_not() -> None:
    assert path_or_nothing("secrets/openai", "it") == "secrets/openai"
    assert path_or_nothing("geheim", "it") == "it"
    assert path_or_nothing("secrets/sk-abcdef", "it") == "it"


# The property: over every place of a file that uses every key there is.


def everything() -> dict[str, Any]:
    document = house.document(
        environments=["dev", "test", "ci", "production"],
        budgets=[{"name": "a", "usd": 1, "period": "day", "environment": "dev", "key": "alice"}],
        timeouts={"connect": 1, "first_token": 2, "between_tokens": 3, "total": 4, "whole": 4},
        limits={"attempts": 2, "max_body_bytes": 1000, "held_bytes": 9000, "output_tokens": 5},
        responses={"keep": True, "keep_entries": 4, "keep_bytes": 4000, "keep_seconds": 5},
        defaults={
            "alias": "coder",
            "environment": "dev",
            "baseline": "openai/gpt-5.4-mini",
            "allowed_hosts": ["gpu.example"],
            "allowed_origins": ["app://obsidian.md"],
        },
    )
    document["providers"]["openai"] |= {
        "max_in_flight": 1,
        "include_usage": True,
        "locality": "cloud",
        "ca_file": "/etc/ca.pem",
        "output_limit_field": "max_tokens",
        "prices": {"gpt-5.4-mini": {"input": 1, "output": 2, "cached_input": 0.1}},
    }
    document["providers"]["pool"] = {"type": "pool", "prefer": "better", "private": False}
    document["models"]["coder"]["baseline"] = "openai/gpt-5.4-mini"
    document["rules"][0]["when"] |= {
        "agent": ["planner"],
        "alias": ["coder"],
        "surface": ["openai"],
        "environment": ["dev"],
        "larger_than": 1,
        "smaller_than": 100,
    }
    document["rules"][0] |= {"max_wait": 1, "max_cost": 1}
    return document


Place = tuple[str | int, ...]


def places(value: Any, path: Place = ()) -> Iterator[Place]:
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


PLACES = list(places(everything()))


def put(path: Place, value: Any) -> dict[str, Any]:
    document = everything()
    holder = above(document, path)
    holder[path[-1]] = value
    return document


def above(document: Any, path: Place) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


def told(document: Any) -> str:
    """Everything that is said about a file, as text or as its data, up to the reading of keys; "" where it holds."""

    def unreadable(name: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", name)

    try:
        found = source.parse(document.encode(), "r.yaml") if isinstance(document, str) else None
        routing = judge(found or source.Source("r.yaml", document, {}))
        Targets.build(routing, house.station(), read_secret=unreadable)
    except ConfigError as error:
        return str(error) + "".join(f"{problem.what}{problem.fix}" for problem in error.problems)
    return ""


def test_the_file_of_the_property_holds_and_its_key_alone_is_missing() -> None:
    assert "providers.openai.key_file: the key of provider" in told(everything())
    assert "secrets/openai" in told(everything())


# Each kind of looks once: marked, marked and random, random alone.
ONE_OF_EACH = [KEYS[2], KEYS[3], KEYS[8]]


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_a_key_in_any_place_is_in_no_message(key: str) -> None:
    for path in PLACES:
        for value in (key, [key], {key: key}, f"https://{key}@h/v1", f"{key}\n", f" x {key}", f"Bearer {key}"):
            assert key not in told(put(path, value)), (path, value)


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_a_key_as_a_name_is_in_no_message(key: str) -> None:
    for path in PLACES:
        document = everything()
        holder = above(document, path)
        if isinstance(holder, dict):
            holder[key] = copy.deepcopy(holder[path[-1]])
            assert key not in told(document), path


# What does not look like a key, in the places where keys and passwords are put.
GEHEIM = "Geheim-12"
VALUES = [
    GEHEIM,
    f"https://user:{GEHEIM}@h/v1",
    f"https://{GEHEIM}@h/v1",
    f"https://h/v1?key={GEHEIM}",
    f"https://h:{GEHEIM}/v1",
    f"https://h/v1#{GEHEIM}",
    f"user:{GEHEIM}@h",
    f"http://u:1/{GEHEIM}@h/v1",
    f"-----BEGIN PRIVATE KEY-----\n{GEHEIM}\n-----END PRIVATE KEY-----\n",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("setting", ["key_file", "base_url"])
def test_a_password_at_a_provider_is_in_no_message(setting: str, value: str) -> None:
    for form in (value, [value], {"value": value}):
        assert GEHEIM not in told(put(("providers", "openai", setting), form))


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("value", VALUES[-1:] + VALUES[1:4])
def test_an_address_with_a_password_and_a_private_key_in_any_place_are_in_no_message(path: Place, value: str) -> None:
    assert GEHEIM not in told(put(path, value))


@pytest.mark.parametrize("name", ["api_key", "key", "token", "apikey", "password", "secret", "OPENAI_API_KEY", "auth"])
@pytest.mark.parametrize("path", [("providers", "openai"), ("providers",), (), ("models", "coder"), ("defaults",)])
def test_a_secret_under_an_invented_setting_is_told_where_it_belongs(name: str, path: Place) -> None:
    document = everything()
    above(document, (*path, name))[name] = GEHEIM
    found = told(document)

    assert GEHEIM not in found
    assert "key" in found
    if path == ("providers", "openai"):
        assert "`key_file: secrets/NAME` names here" in found


@pytest.mark.parametrize(
    "written",
    [
        f"key_file: !{GEHEIM} x",
        f"key_file: !{GEHEIM}",
        f"key_file: *{GEHEIM}",
        f"key_file: &{GEHEIM}",
        f"key_file: !!int {GEHEIM}",
        f"key_file: !!bool {GEHEIM}",
        f"key_file: !!timestamp {GEHEIM}",
        f'key_file: "{GEHEIM}',
        f"key_file: '{GEHEIM}",
        f"key_file: [{GEHEIM}",
        f"key_file: {{{GEHEIM}",
        f"key_file: {{{{ {GEHEIM} }}}}",
        f"key_file: %{GEHEIM}",
        f"key_file: @{GEHEIM}",
        f"key_file: `{GEHEIM}",
        f"key_file: {GEHEIM}: x",
        f"key_file:\t{GEHEIM}\t: x",
        f"key_file: |\n{GEHEIM}",
        f"key_file: \x07{GEHEIM}",
        f"{GEHEIM}",
        f"key_file: {GEHEIM}\n   {GEHEIM}\n {GEHEIM}",
        "key_file: 0123456701234567",
        "key_file: 0x0123456701234567",
    ],
)
def test_a_password_that_is_no_yaml_is_in_no_message(written: str) -> None:
    text = f"version: 1\nproviders:\n  x:\n    type: openai\n    {written}\n"
    found = told(text)

    assert found
    assert GEHEIM not in found
    assert "01234567" not in found


def test_a_problem_shows_no_key_in_what_it_says_nor_in_its_place() -> None:
    problem = Problem(what=f'"{KEYS[0]}" is wrong', fix=f"remove {KEYS[0]}", path=("providers", KEYS[0]), file="/f")

    assert str(problem) == f'/f: providers.{HIDDEN}: "{HIDDEN}" is wrong; remove {HIDDEN}'
