"""What is found for and against one model, with its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridtie.host.catalogue import Flag
from gridtie.host.fit.judge import Wishes, judge, served_purposes
from gridtie.host.fit.memory import GIB, Settings
from gridtie.host.fit.purposes import PURPOSES
from standins.settled import CATALOGUE, CODE, FULL, LONG, WISHES, budget, made, verdict

AGENTS = replace(WISHES, purposes=("agents",))


def test_memory_that_other_programs_hold_is_named_where_it_would_help() -> None:
    crowded = replace(budget(4), in_use=8 * GIB)

    assert (
        "other programs hold 8.0 GiB" in judge(CATALOGUE.models["qwen2.5-coder:7b"], crowded, WISHES, CODE).refusals[0]
    )
    assert "other programs" not in judge(CATALOGUE.models["llama3.3:70b"], crowded, WISHES, CODE).refusals[0]


def test_the_most_requests_at_once_are_those_that_fit_with_the_context() -> None:
    """4.4 GiB of weights and 0.7 of compute leave room for six caches of 1.75."""
    found = verdict("qwen2.5-coder:7b", 16)

    assert (found.context, found.max_parallel) == (32768, 6)


@pytest.mark.parametrize(
    ("name", "gib", "bandwidth", "wishes", "reason"),
    [
        ("qwen2.5-coder:3b", 1000, None, WISHES, "its licence (Qwen-Research) forbids commercial use"),
        ("qwen2.5-coder:32b", 20.5, None, WISHES, "does not fit: 21.0 GiB at 8192 tokens"),
        ("llama3.3:70b", 8, None, WISHES, "35.0 GiB too little; no context fits"),
        ("qwen2.5-coder:7b", 1000, 12e9, WISHES, "too slow: an estimated 2.5 tokens/s, 8 are wanted"),
        ("qwen2.5-coder:7b", 1000, None, replace(WISHES, max_download=10**9), "too big a download: 4.7 GB"),
        ("qwen2.5-coder:7b", 1000, None, replace(WISHES, unreachable={"ollama": "no way"}), "fetched here: no way"),
    ],
)
def test_the_reason_against_a_model_has_the_numbers(
    name: str, gib: float, bandwidth: float | None, wishes: Wishes, reason: str
) -> None:
    assert reason in "; ".join(verdict(name, gib, bandwidth, wishes).refusals)


@pytest.mark.parametrize(
    ("name", "gib", "context"),
    [
        ("qwen2.5-coder:7b", 100, 32768),
        ("qwen2.5-coder:7b", 5.5, 8192),
        ("codellama:13b", 100, 16384),
        ("llama3:8b", 100, 8192),
        ("codellama:70b", 100, 2048),
        ("smollm2:135m", 100, 8192),
    ],
)
def test_the_context_is_32k_where_it_fits_and_was_trained_else_8k(name: str, gib: float, context: int) -> None:
    assert verdict(name, gib).context == context


def test_a_model_whose_architecture_is_unknown_is_refused_with_its_name() -> None:
    known = CATALOGUE.models["qwen2.5-coder:7b"]
    strange = replace(known, shape=replace(known.shape, architecture="shiny-new"))
    found = judge(strange, budget(1000), WISHES, CODE)

    assert "'shiny-new' cannot be predicted" in found.refusals[0]
    assert (found.need, found.placement, found.speed) == (None, None, None)


def test_a_model_with_linear_attention_is_judged_by_its_state_as_well() -> None:
    found = judge(FULL.models["qwen3-coder-next:latest"], budget(1000), WISHES, CODE)

    assert found.need
    assert found.need.state
    assert found.max_context == 262144


def test_a_model_that_was_trained_for_less_than_agents_want_says_so() -> None:
    short = made("short:7b", "qwen2.5-coder:7b", flags=())

    assert judge(short, budget(100), WISHES, PURPOSES["agents"]).refusals == (
        "trained for 32768 tokens of context: agents wants 65536",
    )


@pytest.mark.parametrize(
    ("flag", "version", "speaks"),
    [
        (Flag("agents", "it loses calls", "issue 1"), "", True),
        (Flag("agents", "it loses calls", "issue 1", engine="ollama"), "0.33.3", True),
        (Flag("agents", "it loses calls", "issue 1", engine="embedded"), "", False),
        (Flag("agents", "it loses calls", "issue 1", engine="ollama", fixed_in="0.34.0"), "0.33.3", True),
        (Flag("agents", "it loses calls", "issue 1", engine="ollama", fixed_in="0.34.0"), "0.34.1", False),
        (Flag("agents", "it loses calls", "issue 1", engine="ollama", fixed_in="0.34.0"), "", True),
        (Flag("chat", "it loses calls", "issue 1"), "", False),
    ],
)
def test_a_flag_keeps_a_model_from_its_purpose_on_the_engine_and_versions_that_it_names(
    flag: Flag, version: str, speaks: bool
) -> None:
    flagged, wishes = replace(LONG, flags=(flag,)), replace(AGENTS, engine_version=version)
    found = judge(flagged, budget(100), wishes, PURPOSES["agents"])

    assert found.refusals == (("it loses calls (issue 1)",) if speaks else ())
    assert ("agents" in served_purposes(flagged, wishes)) is not speaks
    assert not judge(flagged, budget(100), wishes, CODE).refusals


def test_a_warning_is_told_and_keeps_nobody_from_anything() -> None:
    drifts = replace(LONG, flags=(Flag("agents", "its calls drift", "issue 2", warning=True),))

    found = judge(drifts, budget(100), WISHES, PURPOSES["agents"])
    assert (found.warnings, found.refusals) == (("its calls drift (issue 2)",), ())
    assert "agents" in served_purposes(drifts, WISHES)


def test_the_deprecated_models_of_the_catalogue_are_not_for_agents() -> None:
    for name in ("qwen2.5-coder:7b", "llama3.1:8b", "llama3.3:70b", "qwen3-coder:30b"):
        refusals = judge(FULL.models[name], budget(1000), WISHES, PURPOSES["agents"]).refusals
        assert any("ollama" in refusal.lower() for refusal in refusals), name


@pytest.mark.parametrize(("version", "loads"), [("0.32.11", False), ("0.32.12", True), ("0.34.0", True), ("", True)])
def test_a_model_that_needs_a_newer_engine_is_not_taken_for_an_older_one(version: str, loads: bool) -> None:
    young = replace(LONG, engines={"ollama": "0.32.12"})
    found = judge(young, budget(100), replace(WISHES, engine_version=version), CODE)

    assert found.refusals == (() if loads else ("needs ollama 0.32.12 or newer: this is 0.32.11",))


def test_a_header_that_only_ollamas_build_reads_is_told_before_the_download() -> None:
    own = replace(LONG, own_header="it is called gptoss")

    assert not judge(own, budget(100), WISHES, CODE).refusals
    assert judge(own, budget(100), replace(WISHES, stock=True), CODE).refusals == (
        "llama.cpp as published cannot read the library's file: it is called gptoss",
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Settings(0, kv_type="q8_0"), "heads whose length is a multiple of 32, these have 80; use f16"),
        (Settings(0, kv_type="q8_0", flash_attention=False), "a q8_0 cache needs flash attention"),
    ],
)
def test_a_cache_that_the_engine_refuses_is_a_reason_against_the_model_and_not_the_end(
    settings: Settings, reason: str
) -> None:
    usual = CATALOGUE.models["qwen2.5-coder:7b"]
    odd = replace(usual, shape=replace(usual.shape, key_length=80, value_length=80))
    found = judge(odd, budget(100), replace(WISHES, settings=settings), CODE)

    assert found.need is None and reason in "; ".join(found.refusals)
