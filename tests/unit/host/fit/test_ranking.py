"""Models that were measured on different benchmarks get one order, which says where it is not sure."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest

from gridtie.host.fit.ranking import Scale, Standing, chains_to, link_between, log_odds, percent, standings

OLD, NEW, SIDE = Scale("old", tasks=100), Scale("new", error=0.5), Scale("side", tasks=100)
SCALES = (OLD, NEW, SIDE)

# On `old` and on `new`, where the log odds are two lower: the same models, a harder benchmark.
SHARED = {
    name: {"old": old, "new": percent(log_odds(old) - 2)}
    for name, old in zip("abcde", (30, 45, 55, 70, 80), strict=True)
}


def placed(**more: dict[str, float]) -> dict[str, Standing]:
    return standings({**SHARED, **more}, SCALES)


def test_a_figure_on_the_reference_is_the_score() -> None:
    assert {name: placed()[name].score for name in SHARED} == {name: f["old"] for name, f in SHARED.items()}
    assert not any(standing.linked for standing in placed().values())


def test_a_figure_on_a_linked_benchmark_is_read_on_the_references_scale() -> None:
    found = placed(fresh={"new": percent(log_odds(90) - 2)})["fresh"]

    assert found.score == pytest.approx(90, abs=0.5)
    assert (found.place, found.linked, found.benchmark, found.shared) == (1, True, "new", 5)


def test_a_chain_leads_over_benchmarks_that_share_no_model_with_the_reference() -> None:
    between = {f"n{n}": {"new": float(n), "side": float(n + 20)} for n in (10, 20, 30, 40)}
    chain = chains_to({**SHARED, **between}, "old")["side"]

    assert [link.target for link in chain] == ["new", "old"]
    assert standings({**SHARED, **between, "far": {"side": 55.0}}, SCALES)["far"].linked


def test_the_chain_whose_thinnest_link_has_most_models_is_taken() -> None:
    """`side` has three models with `old`, of no clear relation, and six with `new`."""
    thin = {"a": {"side": 50.0}, "b": {"side": 40.0}, "c": {"side": 60.0}}
    wide = {f"n{n}": {"new": float(n), "side": float(n + 20)} for n in (10, 20, 30)}
    measured = {**{name: {**figures, **thin.get(name, {})} for name, figures in SHARED.items()}, **wide}

    assert [len(link.shared) for link in chains_to(measured, "old")["side"]] == [6, 5]


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({"a": {"old": 30.0, "new": 10.0}, "b": {"old": 60.0, "new": 40.0}}, "two models"),
        ({n: {"old": o, "new": 100 - o} for n, o in zip("abc", (30.0, 50.0, 70.0), strict=True)}, "the opposite order"),
        (
            {n: {"old": o, "new": 50.0} for n, o in zip("abc", (30.0, 50.0, 70.0), strict=True)},
            "the same figure for all",
        ),
    ],
)
def test_too_few_models_or_no_agreement_link_nothing(measured: dict[str, dict[str, float]], why: str) -> None:
    assert link_between(measured, "new", "old") is None, why
    assert "x" not in standings({**measured, "x": {"new": 90.0}}, SCALES)


def test_one_odd_model_does_not_bend_the_link_and_makes_it_less_sure() -> None:
    usual = {f"m{old}": {"old": float(old), "new": percent(log_odds(old) - 2)} for old in range(30, 80, 5)}
    straight = link_between(usual, "new", "old")
    bent = link_between({**usual, "odd": {"old": 56.0, "new": 90.0}}, "new", "old")

    assert straight and bent
    assert astuple(bent.line) == pytest.approx(astuple(straight.line), abs=0.01)
    assert straight.error < 0.01 < 0.3 < bent.error


def test_a_reading_outside_of_what_the_shared_models_reach_is_less_sure() -> None:
    scattered = {**SHARED, "odd": {"old": 56.0, "new": 30.0}}
    link = link_between(scattered, "new", "old")

    assert link
    inside, outside = (link.read(log_odds(value), 0)[1] for value in (15.0, 95.0))
    assert outside > 1.5 * inside


def test_models_of_one_benchmark_keep_its_order_whichever_other_model_is_taken_away() -> None:
    fresh = {f"f{n}": {"new": float(n), "side": float(90 - n)} for n in range(20, 60, 5)}
    measured = {**SHARED, **fresh, "odd": {"old": 56.0, "new": 30.0}}

    for gone in measured:
        found = standings({name: figures for name, figures in measured.items() if name != gone}, SCALES)
        order = [name for name in found if name in fresh]
        assert order == sorted(order, key=lambda name: -fresh[name]["new"])


def test_what_differs_by_less_than_the_figures_are_exact_cannot_be_told_apart() -> None:
    found = standings({"a": {"old": 52.0}, "b": {"old": 50.0}, "c": {"old": 80.0}}, SCALES)

    assert [(found[name].best, found[name].worst) for name in ("c", "a", "b")] == [(1, 1), (2, 3), (2, 3)]


def test_benchmarks_that_contradict_each_other_make_the_order_unsure() -> None:
    agreed = standings({"a": {"old": 80.0, "side": 60.0}, "b": {"old": 50.0, "side": 30.0}}, SCALES)
    split = standings({"a": {"old": 80.0, "side": 30.0}, "b": {"old": 50.0, "side": 60.0}}, SCALES)

    assert [(s.best, s.worst) for s in agreed.values()] == [(1, 1), (2, 2)]
    assert [(s.best, s.worst) for s in split.values()] == [(1, 2), (1, 2)]
    assert list(split) == ["a", "b"], "the preferred benchmark still gives the order"


def test_a_rank_that_could_be_many_others_is_unsure() -> None:
    crowd = {f"m{n}": {"old": 50.0 + n} for n in range(8)}
    found = standings({**crowd, "best": {"old": 95.0}}, SCALES)

    assert found["m4"].unsure and not found["best"].unsure


def test_a_link_that_leads_below_every_figure_of_the_reference_says_so() -> None:
    found = placed(weak={"new": 0.5})

    assert found["weak"].below and found["weak"].place == 6
    assert not found["a"].below


def test_what_was_measured_on_nothing_that_is_linked_has_no_standing() -> None:
    assert "unknown" not in placed(unknown={"elsewhere": 99.0})
    assert "blank" not in placed(blank={})


def test_places_are_counted_among_those_that_are_asked_for() -> None:
    found = standings(SHARED, SCALES, among=("a", "c"))

    assert {name: (s.place, s.worst) for name, s in found.items()} == {"c": (1, 1), "a": (2, 2)}


@pytest.mark.parametrize("value", [0.0, 100.0])
def test_nothing_and_everything_are_figures_like_others(value: float) -> None:
    found = placed(end={"new": value})["end"]

    assert math.isfinite(found.error) and 0 < found.score < 100


def test_the_errors_of_a_percentage_are_those_of_its_number_of_tasks() -> None:
    assert Scale("x", tasks=100).noise(50) == pytest.approx(5.0)
    assert Scale("x", error=0.5).noise(50) == 0.5
