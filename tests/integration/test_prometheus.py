"""What a router exports, scraped by a real Prometheus; the role's rules and its dashboard by what comes of that."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gridtie.gateway.families import FAMILIES
from gridtie.host import readings
from standins import prometheus
from standins.process import Process, process
from standins.router import ROOT, chat, request, routing, run
from standins.scripted import Upstream, answer, error, stream, whole

pytestmark = pytest.mark.skipif(
    prometheus.PROGRAM is None or prometheus.TOOL is None,
    reason="there is no Prometheus here; `python scripts/prometheus.py` unpacks Debian's",
)

FILES = ROOT / "roles/observability/files"
RULES, DASHBOARD = FILES / "gridtie.rules", FILES / "grafana-gridtie.json"
RULES_TEST = ROOT / "tests/integration/prometheus/rules_test.yml"
# A test in which processes start; below pytest's own limit, to be told where it hangs.
LIMIT_S = 100.0
# What may stand beside ours: Prometheus' own, and those of a process.
OTHERS = {"up", "process_resident_memory_bytes"}


def expressions() -> list[tuple[str, str]]:
    """Every query of the dashboard with its panel, as Grafana would send it for all hosts."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    variables = {"$__rate_interval": "1m", "$__range": "1h", "$instance": ".*"}
    found = []
    for panel in panels:
        for target in panel.get("targets", []):
            text = target["expr"]
            for name, value in variables.items():
                text = text.replace(name, value)
            found.append((panel["title"], text))
    return found


def metrics(expression: str) -> set[str]:
    """The metrics that a query asks for."""
    return set(re.findall(r"\b(?:gridtie|process)_\w+|\bup\b", expression))


EXPORTED = {name for family in FAMILIES.values() for name in family.exported}
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


# What has nothing to tell of a router that has no engine of its own, no queue and no mistakes.
MAY_BE_EMPTY = {
    "gridtie_target_loaded",
    "gridtie_target_running",
    "gridtie_target_queued",
    "gridtie_target_cache_used_ratio",
    "gridtie_queue_seconds_bucket",
    "gridtie_model_predicted_bytes",
}
# As the service of a machine with a card would put it.
MACHINE = [
    {"card": "0", "model": "NVIDIA H200", "memory_bytes": 1e11, "used_bytes": 1e9, "watts": 76.0, "celsius": 34.0,
     "busy": 0.07}
]  # fmt: skip


class Seen(msgspec.Struct):
    """What Prometheus knew once a router had been busy."""

    targets: list[dict[str, Any]]
    # Each query of the dashboard: panel, query, how many series there were.
    panels: list[tuple[str, str, int]]
    values: dict[str, list[tuple[dict[str, str], float]]]
    rules: list[dict[str, Any]]
    # Every metric by which labels it has.
    labels: dict[str, set[str]]
    kinds: dict[str, str]


QUESTIONS = (
    'gridtie_requests_total{outcome="ok"}',
    "gridtie_fallbacks_total",
    "gridtie_refusals_total",
    'gridtie_tokens_total{target="openai/gpt-5.4-mini",kind="input"}',
    "gridtie_first_token_seconds_count",
    "gridtie_budget_left_usd",
)


async def be_busy(router: Process) -> None:
    """Whole answers, streams, a fallback and refusals."""
    for body in (chat(), chat(), chat(stream=True), chat(stream=True), {"model": "made-up"}):
        wire = await router.connect()
        await wire.send(request(body, port=router.port))
        await wire.answered()
        wire.close()
    await router.get("/nowhere")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A router process that answered, streamed, fell back and refused, scraped before, between and after that."""
    directory = tmp_path_factory.mktemp("prometheus")

    async def watch() -> Seen:
        local = Upstream(whole(), error("500 Internal Server Error", "no"), stream("a", "b", "c"), stream("a", "b"))
        async with local as here, Upstream(whole(answer(prompt=1000, output=20))) as cloud:
            rules = (
                routing(here.url, cloud.url, provider=", max_in_flight: 4")
                + "budgets:\n  - {name: all-of-it, usd: 5, period: day}\n"
            )
            async with process(directory, rules) as router:
                target = {"targets": [f"127.0.0.1:{router.port}"], "labels": {"instance": "here", "__scheme__": "http"}}
                with prometheus.prometheus(directory / "prometheus", [target], rules=RULES) as server:
                    for joules in (1000.0, 1100.0):
                        file = directory / "state" / "ledger" / readings.FILE
                        readings.put(file, readings.document(time.time(), MACHINE, 5_000_000, joules))
                        # An increase begins at the first look.
                        await asyncio.to_thread(server.wait_for, "gridtie_connections")
                        await be_busy(router)
                        await asyncio.sleep(1.0)
                    return await asyncio.to_thread(look, server)

    return run(watch, LIMIT_S)


def look(server: prometheus.Prometheus) -> Seen:
    """All that the tests ask of it, while the router is there."""
    series = server.ask("series", **{"match[]": '{instance="here"}'})
    labels: dict[str, set[str]] = {}
    for each in series:
        labels.setdefault(each["__name__"], set()).update(set(each) - {"__name__", "job", "instance", "le"})
    return Seen(
        targets=server.ask("targets")["activeTargets"],
        panels=[(panel, text, len(server.query(text))) for panel, text in expressions()],
        values={question: server.query(question) for question in QUESTIONS},
        rules=[rule for group in server.ask("rules")["groups"] for rule in group["rules"]],
        labels=labels,
        kinds={name: told[0]["type"] for name, told in server.ask("metadata").items()},
    )


def test_it_is_found_by_its_file_and_scraped_without_a_complaint(seen: Seen) -> None:
    (target,) = seen.targets

    assert (target["health"], target["lastError"], target["labels"]["instance"]) == ("up", "", "here")


def test_prometheus_reads_each_family_as_what_it_is_declared_to_be(seen: Seen) -> None:
    wanted = {
        family.exported[0] if family.kind == "counter" else family.name: family.kind for family in FAMILIES.values()
    }

    assert {name: kind for name, kind in seen.kinds.items() if name.startswith("gridtie_")} == wanted


def test_no_series_has_a_label_that_is_not_declared(seen: Seen) -> None:
    declared = {name: set(family.labels) for family in FAMILIES.values() for name in family.exported}

    ours = {name: labels for name, labels in seen.labels.items() if name.startswith("gridtie_")}
    assert {name: labels for name, labels in ours.items() if labels != declared[name]} == {}
    assert len(ours) > 30


def test_what_was_asked_is_found_by_queries(seen: Seen) -> None:
    values = seen.values
    answered = {labels["target"]: value for labels, value in values[QUESTIONS[0]]}
    assert set(answered) == {"here/small", "openai/gpt-5.4-mini"}
    assert sum(answered.values()) == 8
    ((fallback, count),) = values["gridtie_fallbacks_total"]
    assert (fallback["target"], fallback["answered_by"], count) == ("here/small", "openai/gpt-5.4-mini", 1)
    ((refusal, refused),) = values["gridtie_refusals_total"]
    assert (refusal["code"], refused) == ("model_not_found", 2)
    assert [value for _, value in values[QUESTIONS[3]]] == [1000 * answered["openai/gpt-5.4-mini"]]
    assert sum(value for _, value in values["gridtie_first_token_seconds_count"]) == 4
    ((_, left),) = values["gridtie_budget_left_usd"]
    assert 4.9 < left < 5


def test_the_rules_are_loaded_and_none_of_them_fails_or_fires_at_once(seen: Seen) -> None:
    assert {rule["name"] for rule in seen.rules} == {rule["alert"] for rule in ALERTS}
    assert [(rule["name"], rule.get("lastError")) for rule in seen.rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in seen.rules if rule["state"] == "firing"] == []


def test_each_panel_of_the_dashboard_has_something_to_show(seen: Seen) -> None:
    """Each of its queries is one that Prometheus takes, and finds what the router exports."""
    empty = [(panel, query) for panel, query, found in seen.panels if not found]
    assert [(panel, query) for panel, query in empty if not metrics(query) <= MAY_BE_EMPTY] == []
    assert len(seen.panels) > 30


@pytest.mark.parametrize(("panel", "expression"), expressions())
def test_the_dashboard_asks_for_what_is_exported(panel: str, expression: str) -> None:
    assert metrics(expression)
    assert metrics(expression) - EXPORTED - OTHERS == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_asks_for_what_is_exported_says_what_to_do_and_is_tested(alert: dict[str, Any]) -> None:
    assert metrics(alert["expr"]) - EXPORTED - OTHERS == set()
    assert metrics(alert["expr"])
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description"}
    assert alert["alert"] in RULES_TEST.read_text(encoding="utf-8")


def test_each_alert_fires_when_it_should_and_stays_quiet_beside_it() -> None:
    done = subprocess.run(
        [str(prometheus.TOOL), "test", "rules", RULES_TEST], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    """By what its documentation of the JSON model wants; no Grafana can be had here."""
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = document["panels"]

    assert (document["uid"], document["title"]) == ("gridtie", "Gridtie")
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["type"] for panel in panels} <= {"row", "stat", "timeseries", "bargauge"}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert len({target["refId"] for target in panel.get("targets", [])}) == len(panel.get("targets", []))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie on each other"


def test_a_scrape_every_100_ms_leaves_answers_as_they_are(tmp_path: Path) -> None:
    """Each is counted, and what is told is not older than a scrape: the last request of a series is in the next one."""

    async def scrape() -> tuple[list[float], float]:
        async with Upstream(whole()) as here, process(tmp_path, routing(here.url, use="[local]")) as router:
            target = {"targets": [f"127.0.0.1:{router.port}"], "labels": {"instance": "here"}}
            with prometheus.prometheus(tmp_path / "prometheus", [target], interval="100ms") as server:
                await asyncio.to_thread(server.wait_for, "gridtie_connections")
                counts = []
                for _ in range(3):
                    for _ in range(20):
                        wire = await router.connect()
                        await wire.send(request(chat(), port=router.port))
                        assert (await wire.answered()).status == 200
                        wire.close()
                    await asyncio.sleep(1.0)
                    ((_, count),) = await asyncio.to_thread(server.query, 'gridtie_requests_total{outcome="ok"}')
                    counts.append(count)
                ((_, scrapes),) = await asyncio.to_thread(server.query, "count_over_time(up[1m])")
                return counts, scrapes

    counts, scrapes = run(scrape, LIMIT_S)

    assert counts == [20, 40, 60]
    assert scrapes > 20
