"""What `gridtie_models: auto` takes, and the reason that every other model gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.catalogue import load
from gridtie.host.catalogue import Catalogue, Score
from gridtie.host.fit import choice as rules
from gridtie.host.fit.choice import CannotChoose, Verdict, Wishes, choose_best, choose_named, coding_score, judge
from gridtie.host.fit.memory import GIB, Settings
from gridtie.host.fit.placement import Budget, Device

CATALOGUE = load(Path(__file__).parents[4] / "config" / "models.yaml")
WISHES = Wishes(settings=Settings(0))


def budget(gib: float, bandwidth: float | None = None) -> Budget:
    return Budget("memory", int(gib * GIB), int(gib * GIB), bandwidth, "given")


def chosen(gib: float, bandwidth: float | None = None, wishes: Wishes = WISHES) -> list[str]:
    return [v.model.name for v in choose_best(CATALOGUE, budget(gib, bandwidth), wishes).chosen]


def verdict(name: str, gib: float = 1000, bandwidth: float | None = None, wishes: Wishes = WISHES) -> Verdict:
    return judge(CATALOGUE.models[name], budget(gib, bandwidth), wishes)


@pytest.mark.parametrize(
    ("gib", "best"),
    [
        (1.2, "qwen2.5-coder:0.5b"),
        (3, "qwen2.5-coder:1.5b"),
        (7, "qwen2.5-coder:7b"),
        (15, "qwen2.5-coder:14b"),
        (23, "qwen3-coder:30b"),
        (40, "qwen2.5-coder:32b"),
    ],
)
def test_auto_takes_the_best_coding_score_that_fits_with_32k(gib: float, best: str) -> None:
    assert chosen(gib) == [best, "smollm2:135m"]


def test_a_slow_machine_gets_a_model_that_answers_in_time() -> None:
    assert chosen(23, bandwidth=28e9) == ["qwen3-coder:30b", "smollm2:135m"]
    assert chosen(23, bandwidth=12e9) == ["qwen2.5-coder:1.5b", "smollm2:135m"]


def test_a_better_score_does_not_make_up_for_a_short_context() -> None:
    """With 11 GiB the 14b model (69.2) has room for 8K only, the 7b one (57.9) for 32K."""
    assert verdict("qwen2.5-coder:14b", 11).context == 8192

    assert chosen(11)[0] == "qwen2.5-coder:7b"


def test_a_much_better_score_does() -> None:
    """With 6.3 GiB, as an 8 GB card has, the 1.5b model (31.6) has room for 32K, the 7b one (57.9) for 16K."""
    best = choose_best(CATALOGUE, budget(6.3), WISHES).chosen[0]

    assert (best.model.name, best.context) == ("qwen2.5-coder:7b", 16384)
    assert "qwen2.5-coder:1.5b would have 32768, but scores 31.6" in best.why


def on_card(gib: float, behind: float = 32) -> Budget:
    card = Device("card", int(gib * GIB), int(gib * GIB), 500e9)
    return Budget(
        "card", card.total, card.available, 500e9, cards=(card,), behind=Device("memory", 0, int(behind * GIB))
    )


def test_auto_never_takes_a_model_that_lies_partly_in_main_memory_and_says_how_much_would_fit() -> None:
    found = judge(CATALOGUE.models["qwen2.5-coder:14b"], on_card(6), WISHES)

    assert "of 49 layers would, the rest on the processor, at an unknown speed" in found.refusals[0]
    assert "name it in gridtie_models to have it so" in found.refusals[0]


def test_a_person_may_name_a_model_that_lies_partly_in_main_memory() -> None:
    found = choose_named(CATALOGUE, ["qwen2.5-coder:14b"], on_card(6), WISHES).chosen[0]

    assert "layers on card and the rest on the processor" in found.why


def test_a_named_model_that_even_main_memory_cannot_take_is_refused() -> None:
    with pytest.raises(CannotChoose, match=r"llama3\.3:70b: does not fit"):
        choose_named(CATALOGUE, ["llama3.3:70b"], on_card(6, behind=8), WISHES)


def test_memory_that_other_programs_hold_is_named_where_it_would_help() -> None:
    crowded = replace(budget(4), in_use=8 * GIB)

    assert "other programs hold 8.0 GiB" in judge(CATALOGUE.models["qwen2.5-coder:7b"], crowded, WISHES).refusals[0]
    assert "other programs" not in judge(CATALOGUE.models["llama3.3:70b"], crowded, WISHES).refusals[0]


def test_the_most_requests_at_once_are_those_that_fit_with_the_context() -> None:
    """4.4 GiB of weights and 0.7 of compute leave room for six caches of 1.75."""
    found = verdict("qwen2.5-coder:7b", 16)

    assert (found.context, found.largest_parallel) == (32768, 6)


def test_models_with_less_context_are_taken_where_nothing_has_the_wanted_one() -> None:
    unheard_of = replace(WISHES, contexts=(1_000_000, 8192), max_download=int(4.8e9))

    assert chosen(7, wishes=unheard_of)[0] == "qwen2.5-coder:7b"


def test_the_probe_is_all_there_is_where_nothing_else_can_be_fetched() -> None:
    sealed = replace(WISHES, unreachable={"ollama": "the library does not answer"})
    found = choose_best(CATALOGUE, budget(100), sealed)

    assert [(v.model.name, v.why) for v in found.chosen] == [("smollm2:135m", "the only model that can be used here")]


def test_a_model_that_is_already_there_needs_no_source() -> None:
    sealed = replace(WISHES, unreachable={"ollama": "no"}, present=frozenset({"qwen2.5-coder:7b"}))

    assert chosen(100, wishes=sealed) == ["qwen2.5-coder:7b", "smollm2:135m"]


def test_not_even_the_probe_fitting_is_an_error_with_the_reason() -> None:
    with pytest.raises(CannotChoose, match=r"not even the probe \(smollm2:135m\): does not fit: 0\.3 GiB"):
        choose_best(CATALOGUE, budget(0.1), WISHES)


def test_servers_that_run_side_by_side_have_to_fit_together() -> None:
    one = verdict("qwen2.5-coder:7b").need
    assert one is not None
    barely = budget(one.total / GIB + 0.01)
    alone, beside = (choose_best(CATALOGUE, barely, replace(WISHES, together=flag)).chosen[0] for flag in (False, True))

    assert (alone.model.name, alone.context) == ("qwen2.5-coder:7b", 32768)
    assert (beside.model.name, beside.context) == ("qwen2.5-coder:7b", 16384)


@pytest.mark.parametrize(
    ("gib", "best"), [(3, "llama3.2:1b"), (6, "llama3.2:3b"), (10, "llama3.1:8b"), (60, "llama3.3:70b")]
)
def test_for_chats_the_largest_model_made_for_them_is_taken(gib: float, best: str) -> None:
    assert chosen(gib, wishes=replace(WISHES, purposes=("chat",)))[0] == best


def test_each_purpose_gets_its_model_and_one_that_serves_both_is_taken_once() -> None:
    both = replace(WISHES, purposes=("code", "chat"))

    assert chosen(10, wishes=both) == ["qwen2.5-coder:7b", "llama3.1:8b", "smollm2:135m"]
    assert chosen(0.9, wishes=both) == ["qwen2.5-coder:0.5b", "smollm2:135m"]


def test_models_of_two_purposes_share_the_room_where_they_run_side_by_side() -> None:
    both = replace(WISHES, purposes=("code", "chat"), together=True)
    coder, chat = verdict("qwen2.5-coder:7b").need, verdict("llama3.1:8b").need
    assert coder and chat and coder.total < 9 * GIB and chat.total < 10 * GIB < coder.total + chat.total

    assert "llama3.1:8b" not in chosen(10, wishes=both)


@pytest.mark.parametrize("purposes", [("code",), ("chat",), ("chat", "code")])
@pytest.mark.parametrize("gib", [1, 2, 3, 4, 5, 6, 8, 12, 24, 48, 96])
def test_auto_never_takes_a_licence_that_forbids_commercial_use(gib: float, purposes: tuple[str, ...]) -> None:
    """Also where such a model would be the best by far."""
    models = {
        name: replace(model, scores=(Score("aider-edit", 99.0, "here"),)) if not model.license.commercial else model
        for name, model in CATALOGUE.models.items()
    }
    tempting = replace(models["qwen2.5-coder:3b"], purposes=("chat", "code"))
    catalogue = Catalogue({**models, tempting.name: tempting})
    found = choose_best(catalogue, budget(gib), replace(WISHES, purposes=purposes)).chosen

    assert all(each.model.license.commercial for each in found)


def test_every_model_has_a_verdict_with_a_reason() -> None:
    found = choose_best(CATALOGUE, budget(23), WISHES).verdicts

    assert [v.model.name for v in found] == list(CATALOGUE.models)
    assert all(v.refusals or v.why for v in found)


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


def test_a_named_model_comes_with_the_probe() -> None:
    found = choose_named(CATALOGUE, ["codellama:7b"], budget(20), WISHES)

    assert [v.model.name for v in found.chosen] == ["codellama:7b", "smollm2:135m"]


def test_a_model_whose_architecture_is_unknown_is_refused_with_its_name() -> None:
    known = CATALOGUE.models["qwen2.5-coder:7b"]
    strange = replace(known, shape=replace(known.shape, architecture="shiny-new"))
    found = judge(strange, budget(1000), WISHES)

    assert "'shiny-new' cannot be predicted" in found.refusals[0]
    assert (found.need, found.placement, found.speed) == (None, None, None)


def test_a_model_with_linear_attention_is_judged_by_its_state_as_well() -> None:
    found = judge(CATALOGUE.models["qwen3-coder-next:latest"], budget(1000), WISHES)

    assert found.need
    assert found.need.state
    assert found.largest_context == 262144


def test_licence_size_and_speed_are_the_persons_own_decision() -> None:
    found = choose_named(CATALOGUE, ["qwen2.5-coder:3b"], budget(20, bandwidth=1e9), replace(WISHES, max_download=1))

    assert "qwen2.5-coder:3b" in [v.model.name for v in found.chosen]


def test_all_that_is_wrong_with_named_models_is_told_at_once() -> None:
    with pytest.raises(CannotChoose) as caught:
        choose_named(CATALOGUE, ["lama3:8b", "llama3.3:70b", "qwen3-coder-next:latest"], budget(20), WISHES)

    lines = str(caught.value).splitlines()
    assert "did you mean llama3:8b" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["llama3.3", "qwen3-coder-next"]


def test_scores_measured_by_aider_come_before_mapped_ones() -> None:
    assert coding_score(CATALOGUE.models["qwen2.5-coder:7b"]) == (57.9, False)
    assert coding_score(CATALOGUE.models["deepseek-coder:6.7b"]) == (42.4, True)
    assert coding_score(CATALOGUE.models["llama3.2:1b"]) == (None, False)


def test_the_map_from_humaneval_is_the_least_squares_line_of_the_catalogue() -> None:
    pairs = [(m.score("humaneval"), m.score("aider-edit")) for m in CATALOGUE.models.values()]
    points = [(h.value, a.value) for h, a in pairs if h and a]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)

    assert pytest.approx(slope, abs=0.001) == rules.HUMANEVAL_SLOPE
    assert pytest.approx(mean_y - slope * mean_x, abs=0.05) == rules.HUMANEVAL_OFFSET
