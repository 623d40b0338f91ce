"""The catalogue's own scores become one order, and say from whom they are."""

from __future__ import annotations

from gridtie.host.catalogue import Catalogue
from gridtie.host.fit.score import standings_of
from standins.settled import FULL


def test_a_score_is_the_published_one_or_read_from_another_benchmark_or_none() -> None:
    standings = standings_of(FULL)

    assert (standings["qwen2.5-coder:7b"].score, standings["qwen2.5-coder:7b"].linked) == (57.9, False)
    assert standings["codellama:7b"].linked and standings["codellama:7b"].score > 0
    assert "llama3.2:1b" not in standings


def test_no_model_without_which_the_scales_are_linked_anew_turns_an_order_that_is_sure() -> None:
    """Of the real catalogue: each model and each reference is left out once."""
    full = standings_of(FULL)
    sure = [(a, b) for a in full for b in full if full[a].worst < full[b].best]
    assert len(sure) > 200

    for gone in (*FULL.models, *FULL.references):
        models = {name: model for name, model in FULL.models.items() if name != gone}
        references = {name: scores for name, scores in FULL.references.items() if name != gone}
        left = standings_of(Catalogue(models, references))
        assert not [(a, b) for a, b in sure if a in left and b in left and left[a].place > left[b].place], gone


def test_every_score_of_the_catalogue_says_when_and_from_whom() -> None:
    for scores in (*(m.scores for m in FULL.models.values()), *FULL.references.values()):
        assert all(score.date and score.source for score in scores)
