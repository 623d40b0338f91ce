"""A model counts once it has shown what it can; what it showed is kept for its digest on this version of the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.acceptance.processes import Process
from gridtie.host.acceptance.record import FAILED, HELD, NOT_RUN, Acceptance, Acceptances, Result
from gridtie.host.acceptance.references import reference
from gridtie.host.acceptance.run import accept, limit_of, told
from gridtie.host.router import Unreachable
from standins.model_engine import MIB, NAME, ModelEngine, serving

MODEL: dict[str, Any] = {
    "name": NAME,
    "catalogue": "coder:1b",
    "digest": "sha256:abc",
    "context": 4096,
    "parallel": 1,
    "capabilities": ["chat", "json", "tools"],
    "purposes": ["code", "agents"],
    "predicted_bytes": 300 * MIB,
    "predicted_parts": {"weights": 250 * MIB, "full attention cache": 40 * MIB, "compute": 10 * MIB},
}


@pytest.fixture
def engine() -> Iterator[ModelEngine]:
    with serving() as found:
        yield found


@pytest.fixture
def records(tmp_path: Path) -> Acceptances:
    return Acceptances(tmp_path / "accepted.json")


class Shown:
    """Asks the model and keeps the results by their names."""

    def __init__(self, engine: ModelEngine, records: Acceptances) -> None:
        self.engine, self.records = engine, records

    def __call__(self, model: Mapping[str, Any] = {}, version: str = "0.32.15", **more: Any) -> dict[str, Result]:
        more = {"process": lambda: Process(350 * MIB, 80 * MIB), **more}
        self.all: Acceptance = accept({**MODEL, **model}, self.engine.url, "ollama", version, self.records, **more)
        return {result.id: result for result in self.all.results}


@pytest.fixture
def shown(engine: ModelEngine, records: Acceptances) -> Shown:
    return Shown(engine, records)


def test_a_good_model_is_accepted_with_figures(shown: Shown) -> None:
    results = shown()

    assert shown.all.accepted and {result.outcome for result in results.values()} == {HELD}
    assert list(results) == ["answers", "schema", "tools", "context", "memory"]
    assert "10 of 10 calls well-formed with 15 tools" in results["tools"].found
    assert results["context"].figures["read"] > 0.9 * MODEL["context"]


def test_nothing_is_asked_where_the_record_is_there_and_all_where_the_engine_is_another(shown: Shown) -> None:
    shown()
    first = len(shown.engine.asked)
    shown()
    assert len(shown.engine.asked) == first

    shown(version="0.34.4")
    assert len(shown.engine.asked) == 2 * first
    shown(again=True)
    assert len(shown.engine.asked) == 3 * first


def test_another_file_or_another_context_is_another_model(shown: Shown) -> None:
    shown()
    first = len(shown.engine.asked)
    for change in ({"digest": "sha256:other"}, {"context": 2048}, {"parallel": 4}):
        shown(change)

    assert len(shown.engine.asked) > 3 * first - 3


def test_a_model_that_loses_calls_is_not_for_agents_and_named_with_what_it_showed(shown: Shown) -> None:
    shown.engine.wrong_calls = 3
    result = shown()["tools"]

    assert result.outcome == FAILED and "7 of 10 calls well-formed" in result.found
    assert "I would read the file." in result.found, "the first that was none is shown"
    assert list(shown.all.unfit) == ["agents"]
    assert "7 of 10" in shown.records.unfit("ollama", "0.32.15")["agents"]["coder:1b"]
    assert not shown.records.unfit("ollama", "0.34.4"), "another version may do better"


def test_two_lost_calls_are_forgiven(shown: Shown) -> None:
    shown.engine.wrong_calls = 2
    assert shown()["tools"].outcome == HELD


def test_a_context_that_is_cut_in_silence_fails(shown: Shown) -> None:
    shown.engine.keeps = 2048
    result = shown()["context"]

    assert result.outcome == FAILED and "some were cut" in result.found


def test_a_context_that_the_engine_does_not_have_fails(shown: Shown) -> None:
    shown.engine.context = 2048
    assert "room for 2,048 tokens" in shown()["context"].found


def test_a_model_too_weak_to_find_the_fact_still_shows_that_nothing_was_cut(shown: Shown) -> None:
    shown.engine.finds = False
    result = shown()["context"]

    assert result.outcome == HELD and "was not found (a weak model), none was cut" in result.found
    assert result.figures["found"] == 0


@pytest.mark.parametrize(("said", "outcome"), [(286, HELD), (314, HELD), (280, FAILED), (320, FAILED)])
def test_memory_is_within_five_per_cent_and_the_check_prints_its_range_and_its_parts(
    shown: Shown, said: int, outcome: str
) -> None:
    shown.engine.reserved = said * MIB
    result = shown()["memory"]

    assert result.outcome == outcome
    assert "predicted 300 MiB (weights 250, full attention cache 40, compute 10 MiB)" in result.found
    assert "reserved 285 to 315 MiB" in result.wanted
    assert "resident 150 to 587 MiB (50% of the prediction to 105% of it, 192 MiB programs, 80 MiB prompt cache)" in (
        result.wanted
    )


def test_of_two_kinds_of_cache_ollama_may_count_one_alone(shown: Shown) -> None:
    caches = {"full attention cache": 96 * MIB, "sliding-window attention cache": 22 * MIB}
    gemma = {"predicted_bytes": 457 * MIB, "predicted_parts": {"weights": 235 * MIB, **caches, "compute": 104 * MIB}}
    shown.engine.reserved = 361 * MIB
    result = shown(gemma)["memory"]

    assert result.outcome == HELD and "96 MiB less where it counts one kind of cache alone" in result.wanted
    shown.engine.reserved = 330 * MIB
    assert shown({**gemma, "digest": "sha256:other"})["memory"].outcome == FAILED


def test_a_process_that_holds_too_much_fails(shown: Shown) -> None:
    assert shown(process=lambda: Process(600 * MIB, 80 * MIB))["memory"].outcome == FAILED


def test_memory_that_cannot_be_known_is_not_judged(shown: Shown) -> None:
    assert shown({"predicted_bytes": None})["memory"].outcome == NOT_RUN


def test_a_model_without_a_template_completes_text(shown: Shown) -> None:
    results = shown({"capabilities": [], "purposes": ["completion"]})

    assert "no chat template" in results["answers"].found and "tools" not in results
    assert "/api/chat" not in shown.engine.asked


def test_the_middle_is_asked_of_models_that_have_tokens_for_it(shown: Shown) -> None:
    result = shown({"capabilities": ["chat", "fill-in-the-middle"]})["middle"]

    assert result.outcome == HELD and "'a + b'" in result.found


def test_a_schema_that_is_not_held_is_shown(shown: Shown) -> None:
    shown.engine.schema = False
    result = shown()["schema"]

    assert result.outcome == FAILED and "Kiel is a small city." in result.found


def test_a_slow_processor_leaves_out_what_there_is_no_time_for_and_says_so(shown: Shown) -> None:
    shown.engine.seconds = 0.15
    results = shown(limit_s=0.5)

    late = [result for result in results.values() if result.outcome == NOT_RUN]
    assert {result.id for result in late} >= {"tools", "context"} and shown.all.seconds < 3
    assert all("used up" in result.found or "tokens/s" in result.found for result in late)
    assert shown.all.accepted, "what was not run is not held against it"


def test_nothing_is_recorded_where_no_engine_answers(shown: Shown) -> None:
    shown.engine.url = "http://127.0.0.1:9"
    with pytest.raises(Unreachable):
        shown()
    assert shown.records.find(MODEL, "ollama", "0.32.15") is None


def test_an_answer_in_no_form_that_an_engine_has_fails_its_check_and_nothing_else(shown: Shown) -> None:
    shown.engine.answer = lambda path, body: {"message": "Hello", "models": [{"name": NAME, "size": "much"}]}  # type: ignore[method-assign]
    found = shown()

    assert {result.outcome for result in found.values()} == {FAILED}
    assert "another form than its documentation says" in found["answers"].found


def test_what_was_recorded_while_a_model_was_asked_is_kept(shown: Shown, tmp_path: Path) -> None:
    longer = Acceptances(tmp_path / "accepted.json")
    shown({"name": "gridtie/other:1b", "digest": "sha256:def"})
    accept(MODEL, shown.engine.url, "ollama", "0.32.15", longer, process=lambda: None)

    kept = json.loads((tmp_path / "accepted.json").read_text())["accepted"]
    assert sorted(row["model"] for row in kept) == [NAME, "gridtie/other:1b"]


def test_vectors_are_held_against_the_originals(shown: Shown) -> None:
    known = reference("all-minilm:22m")
    embeddings = {"catalogue": "all-minilm:22m", "capabilities": ["embeddings"], "context": 256}
    shown.engine.vectors = _Any(known[0][1]) | dict(known)
    assert shown(embeddings)["vectors"].outcome == HELD

    shown.engine.vectors[known[1][0]] = [-value for value in known[1][1]]
    assert shown({**embeddings, "digest": "sha256:other"})["vectors"].outcome == FAILED


def test_the_packed_vectors_are_the_recorded_ones() -> None:
    rows = json.loads((Path(__file__).parents[3] / "contract" / "minilm_vectors.json").read_text())
    recorded = {row["text"]: row["vector"] for row in rows}
    known = reference("all-minilm:22m")

    assert len(known) == 4
    for text, vector in known:
        original = recorded[text]
        lengths = sum(a * a for a in original) ** 0.5 * sum(b * b for b in vector) ** 0.5
        assert sum(a * b for a, b in zip(original, vector, strict=True)) / lengths > 0.9999


def test_a_damaged_record_is_asked_again(shown: Shown, tmp_path: Path) -> None:
    shown()
    path = tmp_path / "accepted.json"
    document = json.loads(path.read_text())
    assert document["schema"] == 1 and len(document["accepted"]) == 1
    document["accepted"][0].pop("results")
    path.write_text(json.dumps(document))

    assert Acceptances(path).find(MODEL, "ollama", "0.32.15") is None


def test_people_see_a_line_for_each_check(shown: Shown) -> None:
    shown.engine.wrong_calls = 5
    shown()
    text = "\n".join(told(shown.all))

    assert "ok    answers" in text and "FAIL  tools" in text


def test_the_model_of_the_smoke_test_gets_seconds() -> None:
    assert limit_of({"purposes": ["code", "smoke-test"]}) == 5
    assert limit_of({"purposes": ["code"]}) == 120
    assert limit_of({"purposes": ["code"]}, 60) == 60


class _Any(dict[str, list[float]]):
    """A vector for every text that has none of its own."""

    def __init__(self, vector: list[float]) -> None:
        super().__init__()
        self._vector = vector

    def __missing__(self, text: str) -> list[float]:
        return self._vector

    def __or__(self, other: Any) -> Any:
        self.update(other)
        return self
