"""Words that were given up for the field's own do not come back into what users read (docs/glossary.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from standins.commands import COMMANDS

ROOT = Path(__file__).parents[2]

# What was said before -> what is said now.
RETIRED = {
    r"\b(LARGEST|AT ONCE)\b": "MAX CONTEXT, PARALLEL",
    r"\b(layers_in_room|largest_context|largest_parallel)\b": "gpu_layers, max_context, max_parallel",
    r"\bback by itself\b": "rolls back automatically",
    r"\b(broken[ -]off|broke off)\b": "interrupted",
    r"(?<![\w])`?floor`?:|`floor`": "min_score",
    r"stands? in for (the|a) cloud": "fallback",
    r"alias `probe`|\bprobe model\b|gridtie (bench|quality|chat) probe|--model probe\b|purpose: probe": "smoke-test",
    r"\b(service|system|station's|engine's) account\b(?! [\d`])": "service user",
    r"(?i)\bwired\b": "connected",
    r"\buser stories\b|\btests/stories\b": "scenarios",
    r"the answer is no\b|asked wrongly|could not be (tried|measured)\b": "a check failed, usage or connection error",
}

# Pages with transcripts and results of commands as they were typed on a day, and what speaks of 1.0.0.
ALLOWED = {
    "docs/bench.md": r"gridtie bench probe|by the engine's account",
    "docs/benchmarks.md": r"gridtie bench probe",
    "docs/closeout.md": r"gridtie (bench|quality) probe",
    "docs/closeout.yaml": r"gridtie (bench|quality) probe",
    "docs/demo.md": r"--model probe",
    "docs/ledger.md": r"alias `probe`",
    "docs/limitations.md": r"could not be tried",
    "docs/quality.md": r"gridtie quality probe",
    "docs/upgrade.md": r"alias `probe`",
}

PAGES = sorted(
    page
    for pattern in (
        *("docs/*.md", "docs/*.yaml", "roles/*/README.md", "roles/*/meta/argument_specs.yml"),
        *("config/llm_routing.yaml", "README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile"),
    )
    for page in ROOT.glob(pattern)
)


def retired_in(text: str, allowed: str = "") -> list[str]:
    """Each retired word that it has, with what is said instead."""
    if allowed:
        text = re.sub(allowed, "", text)
    return [
        f"{found.group()!r}: say {now}"
        for word, now in RETIRED.items()
        for found in re.finditer(word, text, re.MULTILINE)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_retired_word(page: Path) -> None:
    allowed = ALLOWED.get(str(page.relative_to(ROOT)), "")

    assert retired_in(page.read_text(encoding="utf-8"), allowed) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_has_a_retired_word(name: str) -> None:
    assert retired_in(COMMANDS[name].format_help()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_of_a_command_says_what_it_is(name: str) -> None:
    assert [action.dest for action in COMMANDS[name]._actions if not action.help] == []


def test_a_retired_word_is_found_with_what_to_say() -> None:
    assert retired_in("an upgrade goes back by itself; `floor` is 50") == [
        "'back by itself': say rolls back automatically",
        "'`floor`': say min_score",
    ]


def test_the_glossary_has_at_most_twelve_words_each_in_one_line() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    words = [line for line in lines if line.startswith("| ") and not line.startswith("| word |")]

    assert 0 < len(words) <= 12
    assert all(line.count("|") == 3 for line in words)
