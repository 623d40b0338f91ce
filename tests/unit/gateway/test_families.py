"""Metrics are what they are declared to be: by name, kind, labels and help, and by the rules of Prometheus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from gridtie.gateway.families import FAMILIES
from standins.router import ROOT, Station, chat, routing, run
from standins.scripted import Upstream, error, whole

# What the library adds for the process.
OF_THE_PROCESS = "process_"


def scraped(tmp_path: Path) -> str:
    """After answers, a fallback, refusals, a queue's worth of budgets and a cut client."""

    async def ask() -> str:
        async with Upstream(error("500 Internal Server Error", "no"), whole()) as here, Upstream(whole()) as cloud:
            rules = routing(here.url, cloud.url, rule=", max_wait: 1") + (
                "budgets:\n  - {name: all-of-it, usd: 5, period: day}\n"
            )
            async with Station(tmp_path, rules) as station:
                await station.ask(chat())
                await station.ask(chat(stream=True), headers={"x-gridtie-tags": "matrix"})
                await station.ask({"model": "made-up"})
                await station.ask(path="/nowhere")
                return (await station.ask(path="/metrics", key=None)).body.decode()

    return run(ask)


def test_all_that_is_exported_is_declared_and_the_other_way_round(tmp_path: Path) -> None:
    found = {
        family.name: (family.type, family.documentation)
        for family in text_string_to_metric_families(scraped(tmp_path))
        if not family.name.startswith(OF_THE_PROCESS)
    }

    assert found == {name: (family.kind, family.help) for name, family in FAMILIES.items()}


def test_each_sample_has_the_labels_that_are_declared(tmp_path: Path) -> None:
    samples = [
        (family.name, frozenset(sample.labels) - {"le"})
        for family in text_string_to_metric_families(scraped(tmp_path))
        for sample in family.samples
        if not family.name.startswith(OF_THE_PROCESS)
    ]

    assert {(name, labels) for name, labels in samples if labels != frozenset(FAMILIES[name].labels)} == set()
    told = {name for name, _ in samples}
    assert {"gridtie_requests", "gridtie_fallbacks", "gridtie_refusals", "gridtie_budget_left_usd"} <= told


def test_names_end_in_their_unit_and_counters_are_named_as_such_by_prometheus_alone() -> None:
    assert [name for name in FAMILIES if name.endswith("_total")] == []
    assert [
        name for name, family in FAMILIES.items() if family.kind == "histogram" and not name.endswith("_seconds")
    ] == []
    units = ("milliseconds", "_ms", "_percent", "_kb", "_mb", "_gb", "_celcius")
    assert [name for name in FAMILIES if name.endswith(units)] == []


def test_bounds_of_histograms_rise() -> None:
    assert [name for name, family in FAMILIES.items() if list(family.bounds) != sorted(set(family.bounds))] == []
    assert [name for name, family in FAMILIES.items() if (family.kind == "histogram") != bool(family.bounds)] == []


def test_the_page_is_up_to_date() -> None:
    """docs/metrics.md has each of them."""
    script = ROOT / "scripts" / "metrics_page.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
