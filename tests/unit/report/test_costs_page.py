"""docs/costs.md says what prices and assumptions come to."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gridtie.ledger import Prices

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "costs_page.py"
PRICES = Prices.load(ROOT / "config" / "prices.json")


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("costs_page", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_electricity_of_a_million_tokens_is_watts_times_hours_times_price(pages: ModuleType) -> None:
    (line,) = [line for line in pages.electricity(PRICES).splitlines() if line.startswith("| 300 W")]

    # 40 tokens a second take 25,000 s for a million: 2.083 kWh at $0.30.
    assert "$0.6250" in line


def test_every_model_that_is_compared_has_a_price(pages: ModuleType) -> None:
    assert len(pages.listed(PRICES).splitlines()) == len(pages.LISTED) + 2


def test_a_page_without_marks_is_refused(pages: ModuleType) -> None:
    with pytest.raises(ValueError, match="has no marks for electricity"):
        pages.page("# Costs\n", PRICES)
