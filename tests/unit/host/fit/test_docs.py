"""docs/memory-fit.md says what `gridtie fit` says, and the recorded machines get what the page explains."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from gridtie.catalogue import load
from gridtie.host.fit.choice import choose_best
from gridtie.host.fit.judge import Wishes

ROOT = Path(__file__).parents[4]
CATALOGUE = load(ROOT / "config" / "models.yaml")


@pytest.fixture(scope="module")
def docs() -> Any:
    """scripts/fit_docs.py as a module."""
    spec = importlib.util.spec_from_file_location("fit_docs", ROOT / "scripts" / "fit_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_parts_are_as_the_program_has_them(docs: Any) -> None:
    text = (ROOT / "docs" / "memory-fit.md").read_text(encoding="utf-8")

    assert docs.page(text) == text, "run scripts/fit_docs.py"


def test_every_recorded_machine_is_on_the_page_with_an_explanation(docs: Any) -> None:
    sections = (ROOT / "docs" / "memory-fit.md").read_text(encoding="utf-8").split("\n### ")[1:]
    explained = {section.split("\n")[0]: section.split("<!-- fit:")[0] for section in sections}

    assert set(docs.names()) == set(explained)
    assert all(len(text) > 200 for text in explained.values())


@pytest.mark.parametrize(
    ("profile", "code", "agents", "completion", "faster"),
    [
        ("laptop-8gb", ("qwen3.5:4b", 8192), "qwen3.5:2b", None, None),
        ("nvidia-8gb", ("qwen3.5:4b", 32768), "qwen3.5:4b", "qwen2.5-coder:1.5b", None),
        ("mac-16gb", ("qwen3.5:9b", 32768), "qwen3.5:9b", "qwen2.5-coder:1.5b", None),
        ("nvidia-12gb", ("qwen3.5:9b", 65536), "qwen3.5:9b", "qwen2.5-coder:1.5b", None),
        ("nvidia-24gb", ("qwen3.8:27b", 32768), "qwen3.8:27b", "qwen2.5-coder:1.5b", "gemma4:26b"),
        ("nvidia-2x24gb", ("qwen3.8:27b", 131072), "qwen3.8:27b", "qwen2.5-coder:14b", "gemma4:26b"),
        ("mac-64gb", ("qwen3.8:27b", 32768), "qwen3.8:27b", "qwen2.5-coder:7b", "gemma4:26b"),
        ("nvidia-48gb", ("qwen3.8:27b", 131072), "qwen3.8:27b", "qwen2.5-coder:14b", "gemma4:26b"),
    ],
)
def test_a_machine_gets_the_models_that_the_page_explains(
    docs: Any, profile: str, code: tuple[str, int], agents: str, completion: str | None, faster: str | None
) -> None:
    _, choice = docs.judged(CATALOGUE, profile)
    names = {purpose: verdict.model.name for purpose, verdict in choice.picks.items()}
    best = docs.best_coder(choice)

    assert (best.model.name, best.context) == code
    assert best.speed is not None
    assert best.speed >= 8
    assert (names["agents"], choice.picks["agents"].context >= 65536) == (agents, True)
    assert names.get("completion") == completion
    assert (choice.faster["code"].model.name if "code" in choice.faster else None) == faster


def test_auto_takes_what_is_recommended_for_code(docs: Any) -> None:
    for profile in docs.names():
        budget, choice = docs.judged(CATALOGUE, profile)
        taken = choose_best(CATALOGUE, budget, Wishes()).chosen[0]

        assert (taken.model.name, taken.context) == (
            docs.best_coder(choice).model.name,
            docs.best_coder(choice).context,
        ), profile


def test_a_24_gb_card_gets_no_model_whose_context_would_be_useless(docs: Any) -> None:
    verdicts = {verdict.model.name: verdict for verdict in docs.judged(CATALOGUE, "nvidia-24gb")[1].verdicts}

    assert verdicts["gemma4:31b"].context < 16384 and not verdicts["gemma4:31b"].chosen
    for name in ("qwen3.6:35b-a3b", "ornith:35b"):
        assert not verdicts[name].chosen


def test_a_48_gb_card_has_room_for_256k_of_the_mixture(docs: Any) -> None:
    verdicts = {verdict.model.name: verdict for verdict in docs.judged(CATALOGUE, "nvidia-48gb")[1].verdicts}

    assert verdicts["qwen3.6:35b-a3b"].max_context == 262144
