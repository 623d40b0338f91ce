"""One table says which host serves which model how fast, and what is off the prediction."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.bench.fleet import Host, Ran, page, table_of, text

MODEL = "gridtie/qwen:7b"
MODELS = [{"name": MODEL, "catalogue": "qwen:7b", "predicted_bytes": 6 << 30}]
NOW = 1_795_356_000.0


def line(
    concurrency: int = 1, speed: tuple[float, float, float] = (40.0, 38.0, 42.0), **changes: Any
) -> dict[str, Any]:
    """A row of `gridtie bench --json`; `speed` is the middle with its interval."""
    value, low, high = speed
    return {
        "profile": "chat", "phase": None, "concurrency": concurrency, "beside": False, "answers": 20, "errors": {},
        "measures": {
            "first-token": {
                "p50": {"value": 0.4, "low": 0.3, "high": 0.5, "n": 20},
                "tail": {"value": 0.9, "low": 0.8, "high": None, "n": 20},
            },
            "answer-rate": {
                "p50": {"value": value, "low": low, "high": high, "n": 20},
                "tail": {"value": low, "low": None, "high": low, "n": 20},
            },
        },
        "throughput": {"value": value * concurrency, "low": None, "high": None, "n": 20},
        "resident_bytes": 5 << 30,
        **changes,
    }  # fmt: skip


def document(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "run": {"profiles": [{"name": "chat"}], "started": "2026-11-29T10:00:00+00:00", "machine": {"cores": 8}},
        "facts": {"engine": "ollama", "engine_version": "0.32.14", "digest": "sha256:ab"},
        "unfinished": None,
        "rows": list(rows),
        **changes,
    }


def host(
    *rows: dict[str, Any], speed: float | None = 42.0, ok: bool | None = True, name: str = "alice", **changes: Any
) -> Host:
    """A host whose `gridtie fit` estimates this speed, and whose doctor says this of memory."""
    return Host(
        name,
        models=MODELS,
        runs=[Ran(MODEL, document(*rows, **changes))],
        predicted={"models": [{"name": "qwen:7b", "estimated_tokens_per_second": speed}]},
        examined={
            "checks": [{"id": "memory.fit", "ok": ok, "found": "resident 9000 MiB", "wanted": "5000 to 7000 MiB"}]
        },
    )


def only(*hosts: Host) -> dict[str, Any]:
    (row,) = table_of(hosts, NOW)["rows"]
    return dict(row)


def test_a_row_has_speed_alone_and_together_the_prediction_and_memory() -> None:
    row = only(host(line(), line(4, (15.0, 14.0, 16.0)), line(beside=True), line(phase="again")))

    assert row["alone"]["answer_rate"]["value"] == 40.0
    assert row["together"] == {
        "tokens_per_second": {"value": 60.0, "low": None, "high": None, "n": 20},
        "concurrency": 4,
    }
    assert (row["predicted_tokens_per_second"], row["memory"]["predicted_bytes"]) == (42.0, 6 << 30)
    assert (row["off"], row["problem"], row["engine"]) == ([], "", "ollama 0.32.14")


@pytest.mark.parametrize(
    ("speed", "off"),
    [
        ((40.0, 38.0, 42.0), False),
        # Half of the prediction lies within the interval.
        ((20.0, 18.0, 22.0), False),
        ((18.0, 17.0, 19.0), True),
        ((90.0, 88.0, 92.0), True),
    ],
)
def test_speed_is_off_where_its_interval_is_beyond_half_or_double_of_the_prediction(
    speed: tuple[float, float, float], off: bool
) -> None:
    assert bool(only(host(line(speed=speed)))["off"]) is off


def test_memory_is_off_where_the_doctor_says_so() -> None:
    assert only(host(line(), ok=False))["off"] == ["memory: resident 9000 MiB; wanted: 5000 to 7000 MiB"]


def test_without_a_prediction_nobody_says_that_it_holds() -> None:
    found = table_of([host(line(), speed=None)], NOW)

    assert "not known" in text(found)


def test_requests_that_failed_and_a_run_that_broke_off_are_told() -> None:
    row = only(host(line(errors={"504: busy": 3}), unfinished="2 of 8 blocks are measured"))

    assert row["off"] == ["3 failed at 1 at once: 504: busy", "not finished: 2 of 8 blocks are measured"]


def test_a_host_that_told_nothing_and_a_model_that_could_not_be_measured_are_lines_with_the_reason() -> None:
    broken = Host("bob", models=MODELS, runs=[Ran(MODEL, {}, "there is no target of that name")])

    found = table_of([Host("carol", why="it cannot be reached: no route"), broken, host(line())], NOW)

    assert [(row["host"], row["problem"]) for row in found["rows"]] == [
        ("carol", "it cannot be reached: no route"),
        ("bob", "there is no target of that name"),
        ("alice", ""),
    ]
    assert all(why in told for why in ("no route", "no target of that name") for told in (text(found), page(found)))


def test_a_host_with_no_model_to_time_is_a_line_all_the_same() -> None:
    row = only(Host("shelf", models=[{**MODELS[0], "purposes": ["embeddings"]}]))

    assert (row["host"], row["problem"]) == (
        "shelf",
        "it has no model of its own that answers: embeddings alone, or none",
    )


def test_a_page_of_nothing_odd_has_no_list_of_it() -> None:
    assert "What was not measured" not in page(table_of([host(line())], NOW))
