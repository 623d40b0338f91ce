"""What `gridtie_models: auto` takes, and the reason that every other model gets."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gridtie.host.catalogue import Catalogue, Model, Score
from gridtie.host.fit.choice import (
    UNASKED,
    CannotChoose,
    choose_best,
    choose_named,
    side_by_side,
    unasked_download,
)
from gridtie.host.fit.judge import Verdict, Wishes, judge
from gridtie.host.fit.memory import GIB
from gridtie.host.fit.placement import Budget, Device
from gridtie.host.fit.purposes import CHOOSABLE, PURPOSES
from standins.settled import CATALOGUE, CODE, FULL, LONG, WISHES, budget, made, on_card, verdict


def chosen(gib: float, bandwidth: float | None = None, wishes: Wishes = WISHES) -> list[str]:
    return [v.model.name for v in choose_best(CATALOGUE, budget(gib, bandwidth), wishes).chosen]


@pytest.mark.parametrize(
    ("gib", "best"),
    [
        (1.2, "qwen2.5-coder:0.5b"),
        (3, "qwen2.5-coder:1.5b"),
        (7, "qwen2.5-coder:7b"),
        (15, "qwen2.5-coder:14b"),
        (23, "qwen3-coder:30b"),
        (40, "qwen3-coder:30b"),
    ],
)
def test_auto_takes_the_best_coding_score_that_fits_with_32k(gib: float, best: str) -> None:
    assert chosen(gib) == [best, "smollm2:135m"]


def test_a_slow_machine_gets_a_model_that_answers_in_time() -> None:
    assert chosen(23, bandwidth=28e9) == ["qwen3-coder:30b", "smollm2:135m"]
    assert chosen(23, bandwidth=12e9) == ["qwen2.5-coder:1.5b", "smollm2:135m"]


def test_what_was_measured_counts_instead_of_the_estimate() -> None:
    slow, fast = replace(WISHES, measured={"qwen3-coder:30b": 3.0}), replace(WISHES, measured={"qwen3-coder:30b": 12.0})

    assert chosen(23, bandwidth=28e9, wishes=slow)[0] != "qwen3-coder:30b"
    assert "too slow: measured 3.0 tokens/s" in verdict("qwen3-coder:30b", 23, 28e9, slow).refusals[0]
    assert chosen(23, bandwidth=12e9, wishes=fast)[0] == "qwen3-coder:30b"


def test_a_measurement_says_nothing_about_a_model_that_no_longer_lies_where_it_did() -> None:
    measured = replace(WISHES, measured={"qwen2.5-coder:14b": 40.0})

    assert judge(CATALOGUE.models["qwen2.5-coder:14b"], on_card(6), measured).speed_measured is False


def test_a_model_that_was_chosen_stays_where_a_figure_is_a_little_lower_than_before() -> None:
    """At 8 tokens/s a new one is taken or not; the one that is there has a fifth to spare."""
    needed = 8.0 * 28e9 / (verdict("qwen3-coder:30b", 23, 28e9).speed or 0)
    kept = replace(WISHES, kept=frozenset({"qwen3-coder:30b"}))

    for share, wishes, best in ((1.01, WISHES, True), (0.99, WISHES, False), (0.81, kept, True), (0.79, kept, False)):
        assert (chosen(23, bandwidth=share * needed, wishes=wishes)[0] == "qwen3-coder:30b") is best


def test_a_better_score_does_not_make_up_for_a_short_context() -> None:
    """With 11 GiB the 14b model (69.2) has room for 8K only, the 7b one (57.9) for 32K."""
    assert verdict("qwen2.5-coder:14b", 11).context == 8192

    assert chosen(11)[0] == "qwen2.5-coder:7b"


def test_a_much_better_score_does() -> None:
    """With 6.3 GiB, as an 8 GB card has, the 1.5b model (31.6) has room for 32K, the 7b one (57.9) for 16K."""
    best = choose_best(CATALOGUE, budget(6.3), WISHES).chosen[0]

    assert (best.model.name, best.context) == ("qwen2.5-coder:7b", 16384)
    assert "qwen2.5-coder:1.5b would have 32768, but scores 31.6" in best.why


def test_auto_never_takes_a_model_that_lies_partly_in_main_memory_and_says_how_much_would_fit() -> None:
    found = judge(CATALOGUE.models["qwen2.5-coder:14b"], on_card(6), WISHES, CODE)

    assert "of 49 layers would, the rest on the processor, at an unknown speed" in found.refusals[0]
    assert "name it in gridtie_models to have it so" in found.refusals[0]


def test_a_person_may_name_a_model_that_lies_partly_in_main_memory() -> None:
    found = choose_named(CATALOGUE, ["qwen2.5-coder:14b"], on_card(6), WISHES).chosen[0]

    assert "layers on card and the rest on the processor" in found.why


def test_a_named_model_that_even_main_memory_cannot_take_is_refused() -> None:
    with pytest.raises(CannotChoose, match=r"llama3\.3:70b: does not fit"):
        choose_named(CATALOGUE, ["llama3.3:70b"], on_card(6, behind=8), WISHES)


def test_models_with_less_context_are_taken_where_nothing_has_the_wanted_one() -> None:
    unheard_of = replace(WISHES, contexts=(1_000_000, 8192), max_download=int(4.8e9))

    assert chosen(7, wishes=unheard_of)[0] == "qwen2.5-coder:7b"


def test_the_model_of_the_smoke_test_is_all_there_is_where_nothing_else_can_be_fetched() -> None:
    sealed = replace(WISHES, unreachable={"ollama": "the library does not answer"})
    found = choose_best(CATALOGUE, budget(100), sealed)

    assert [(v.model.name, v.why) for v in found.chosen] == [("smollm2:135m", "the only model that can be used here")]


def test_a_model_that_is_already_there_needs_no_source() -> None:
    sealed = replace(WISHES, unreachable={"ollama": "no"}, present=frozenset({"qwen2.5-coder:7b"}))

    assert chosen(100, wishes=sealed) == ["qwen2.5-coder:7b", "smollm2:135m"]


def test_not_even_the_model_of_the_smoke_test_fitting_is_an_error_with_the_reason() -> None:
    with pytest.raises(CannotChoose, match=r"not even that of the smoke test \(smollm2:135m\): does not fit: 0\.3 GiB"):
        choose_best(CATALOGUE, budget(0.1), WISHES)


def test_servers_that_run_side_by_side_have_to_fit_together() -> None:
    one = verdict("qwen2.5-coder:7b").need
    assert one is not None
    barely = budget(one.total / GIB + 0.01)
    alone, beside = (choose_best(CATALOGUE, barely, replace(WISHES, together=flag)).chosen[0] for flag in (False, True))

    assert (alone.model.name, alone.context) == ("qwen2.5-coder:7b", 32768)
    assert (beside.model.name, beside.context) == ("qwen2.5-coder:7b", 16384)


@pytest.mark.parametrize(("gib", "best"), [(6, "llama3.2:3b"), (10, "llama3.1:8b"), (60, "llama3.3:70b")])
def test_for_chats_the_best_model_made_for_them_is_taken(gib: float, best: str) -> None:
    assert chosen(gib, wishes=replace(WISHES, purposes=("chat",)))[0] == best


def test_each_purpose_gets_its_model_and_one_that_serves_both_is_taken_once() -> None:
    both = replace(WISHES, purposes=("code", "chat"))

    assert chosen(10, wishes=both) == ["qwen2.5-coder:7b", "llama3.1:8b", "smollm2:135m"]
    assert chosen(0.9, wishes=both) == ["qwen2.5-coder:0.5b", "smollm2:135m"]
    best = choose_best(CATALOGUE, budget(0.9), both).chosen[0]
    assert best.purposes == ("code", "chat") and best.why.startswith("the best for code and chat that fits")


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


def test_a_named_model_comes_with_the_one_of_the_smoke_test() -> None:
    found = choose_named(CATALOGUE, ["codellama:7b"], budget(20), WISHES)

    assert [v.model.name for v in found.chosen] == ["codellama:7b", "smollm2:135m"]


def test_licence_size_and_speed_are_the_persons_own_decision() -> None:
    found = choose_named(CATALOGUE, ["qwen2.5-coder:3b"], budget(20, bandwidth=1e9), replace(WISHES, max_download=1))

    assert "qwen2.5-coder:3b" in [v.model.name for v in found.chosen]


def test_all_that_is_wrong_with_named_models_is_told_at_once() -> None:
    with pytest.raises(CannotChoose) as caught:
        choose_named(CATALOGUE, ["lama3:8b", "llama3.3:70b", "codellama:13b"], budget(12), WISHES)

    lines = str(caught.value).splitlines()
    assert "did you mean llama3:8b" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["llama3.3", "codellama"]


def test_a_context_that_was_named_is_taken_as_it_is() -> None:
    names = ["qwen2.5-coder:7b", "llama3.1:8b"]
    found = choose_named(CATALOGUE, names, budget(24), WISHES, {"qwen2.5-coder:7b": 12000, "smollm2:135m": 2048})

    assert [(v.model.name, v.context) for v in found.chosen] == [
        ("qwen2.5-coder:7b", 12000),
        ("llama3.1:8b", 32768),
        ("smollm2:135m", 2048),
    ]


def test_a_context_beyond_the_training_is_refused_and_not_cut() -> None:
    with pytest.raises(CannotChoose) as caught:
        choose_named(CATALOGUE, ["qwen2.5-coder:7b"], budget(24), WISHES, {"qwen2.5-coder:7b": 65536})

    assert str(caught.value) == (
        "qwen2.5-coder:7b was trained for 32768 tokens of context, found 65536: set its context to at most 32768"
    )


def test_a_context_that_does_not_fit_names_the_setting_with_one_that_does() -> None:
    with pytest.raises(CannotChoose) as caught:
        choose_named(CATALOGUE, ["llama3.1:8b"], budget(9), WISHES, {"llama3.1:8b": 131072})

    found = re.search(r"it fits as gridtie_models: \[\{name: llama3\.1:8b, context: (\d+)\}\]$", str(caught.value))
    assert found
    context = int(found[1])
    chosen = choose_named(CATALOGUE, ["llama3.1:8b"], budget(9), WISHES, {"llama3.1:8b": context}).chosen[0]
    assert chosen.context == context > 8192


def test_a_model_without_a_score_never_comes_before_one_that_has_one() -> None:
    blank = replace(CATALOGUE.models["qwen2.5-coder:7b"], name="blank:7b", scores=())
    catalogue = Catalogue({**CATALOGUE.models, blank.name: blank}, CATALOGUE.references)
    found = choose_best(catalogue, budget(7), WISHES)

    assert found.chosen[0].model.name == "qwen2.5-coder:7b"
    verdict_of_it = next(v for v in found.verdicts if v.model.name == "blank:7b")
    assert verdict_of_it.why == "fits, but is not scored; qwen2.5-coder:7b is"


def among(*models: Model, gib: float = 100, wishes: Wishes = WISHES, room: Budget | None = None) -> dict[str, Verdict]:
    """What is chosen of these models and the one of the smoke test, by purpose."""
    catalogue = Catalogue({m.name: m for m in (*models, CATALOGUE.models["smollm2:135m"])}, CATALOGUE.references)
    found = choose_best(catalogue, room or budget(gib), wishes).chosen
    return {purpose: verdict for verdict in found for purpose in verdict.purposes}


AGENTS = replace(WISHES, purposes=("agents",))


def test_agents_get_a_model_with_tools_and_64k_or_none() -> None:
    plain = replace(LONG, name="plain:8b", capabilities=("chat",), purposes=("chat", "code"))

    assert among(LONG, plain, wishes=AGENTS)["agents"].context == 65536
    assert "agents" not in among(plain, wishes=AGENTS)
    assert "agents" not in among(LONG, gib=12, wishes=AGENTS), "64K do not fit"


def test_a_purpose_that_no_model_serves_says_why_the_nearest_does_not() -> None:
    found = choose_best(Catalogue({**CATALOGUE.models, LONG.name: LONG}), budget(12), AGENTS)

    assert found.missing["agents"].startswith("the nearest is llama3.1:8b: does not fit")
    assert choose_best(CATALOGUE, budget(12), replace(WISHES, purposes=("embeddings",))).missing == {
        "embeddings": "the catalogue has no model for embeddings"
    }


COMPLETION = replace(WISHES, purposes=("code", "completion"))
CODERS = tuple(CATALOGUE.models[f"qwen2.5-coder:{size}b"] for size in ("0.5", "1.5", "7", "14", "32"))


def test_completion_gets_a_fast_model_that_fills_in_the_middle_beside_the_other() -> None:
    """Ollama would have to load it anew for every line that is typed, were there no room for both."""
    room = replace(on_card(21), cards=(Device("card", 21 * GIB, 21 * GIB, 300e9),))
    found = among(*CODERS, room=room, wishes=COMPLETION)

    assert found["code"].model.name == "qwen2.5-coder:14b"
    assert found["completion"].model.name == "qwen2.5-coder:7b"
    assert (
        among(*CODERS, room=replace(room, cards=(replace(room.cards[0], available=16 * GIB),)), wishes=COMPLETION)[
            "completion"
        ].model.name
        == "qwen2.5-coder:1.5b"
    ), "what the other leaves is too little for 7B"
    assert side_by_side(list({v.model.name: v for v in found.values()}.values()), room)
    assert judge(LONG, room, WISHES, PURPOSES["completion"]).refusals[0] == (
        "not for completion: it has no fill in the middle"
    )


def test_completion_is_fast_or_is_not() -> None:
    slow = among(*CODERS, room=budget(21, bandwidth=120e9), wishes=replace(WISHES, purposes=("completion",)))

    assert slow["completion"].model.name == "qwen2.5-coder:1.5b"


def test_a_model_beside_another_takes_no_more_than_its_share_of_the_memory() -> None:
    """Of 34 GiB a quarter, though 19 are left."""
    room = replace(on_card(34), cards=(Device("card", 34 * GIB, 34 * GIB, 900e9),))
    big = made("big:14b", "qwen2.5-coder:14b", scores=(Score("aider-edit", 72.0, "here"),), purposes=("completion",))
    small = made("small:7b", "qwen2.5-coder:7b", purposes=("completion",))
    coder = made("coder:14b", "qwen2.5-coder:14b", purposes=("code",))

    assert among(coder, big, small, room=room, wishes=COMPLETION)["completion"].model.name == "small:7b"
    assert (
        among(coder, big, small, room=room, wishes=replace(WISHES, purposes=("completion",)))["completion"].model.name
        == "big:14b"
    ), "with nothing beside it, it may have all"


def test_a_much_faster_model_is_named_beside_a_slow_one() -> None:
    quick = made("quick:30b", "qwen3-coder:30b", scores=(Score("aider-edit", 60.0, "here"),))
    catalogue = Catalogue(
        {m.name: m for m in (CATALOGUE.models["qwen2.5-coder:32b"], quick, CATALOGUE.models["smollm2:135m"])}
    )
    slow, fast = (choose_best(catalogue, budget(40, bandwidth), WISHES) for bandwidth in (400e9, 4000e9))

    assert slow.chosen[0].model.name == "qwen2.5-coder:32b"
    assert slow.faster["code"].model.name == "quick:30b"
    assert not fast.faster


def test_models_that_take_turns_may_be_larger_than_the_memory_together() -> None:
    found = among(CODERS[2], LONG, gib=9.5, wishes=replace(WISHES, purposes=("code", "chat")))

    assert {purpose: v.model.name for purpose, v in found.items() if purpose != "smoke-test"} == {
        "code": "qwen2.5-coder:7b",
        "chat": "llama3.1:8b",
    }
    assert not side_by_side(list(found.values()), budget(9.5))


def test_embeddings_are_ranked_by_their_own_benchmark() -> None:
    def embeds(name: str, value: float) -> Model:
        scores = (Score("mteb-multilingual", value, "maker"), Score("aider-edit", 99 - value, "here"))
        return made(name, "llama3.2:1b", capabilities=("embeddings",), purposes=("embeddings",), scores=scores)

    found = among(embeds("a:1b", 60.0), embeds("b:1b", 70.0), wishes=replace(WISHES, purposes=("embeddings",)))

    assert found["embeddings"].model.name == "b:1b"


def test_one_model_for_two_purposes_has_the_longer_context_of_both() -> None:
    found = among(LONG, gib=20, wishes=replace(WISHES, purposes=("code", "agents")))

    assert found["code"].context == found["agents"].context == 65536


@pytest.mark.parametrize("gib", [9.5, 14, 60])
def test_a_cache_never_outgrows_half_of_the_weights_for_a_context_that_nobody_asked_for(gib: float) -> None:
    """4.6 GiB of weights, and 8 GiB of cache at 64K."""
    assert among(LONG, room=on_card(gib))["code"].context == 32768


def test_a_card_with_room_left_gets_a_longer_context() -> None:
    lean = replace(LONG, shape=replace(LONG.shape, head_count_kv=1))

    assert among(lean, room=on_card(60))["code"].context == 131072
    needed = among(lean, room=on_card(60))["code"].need
    assert needed
    barely = (needed.total + GIB // 2) / GIB
    assert among(lean, room=on_card(barely))["code"].context == 65536, "a gibibyte stays free"
    assert among(lean, gib=60)["code"].context == 32768, "main memory is for other programs as well"
    assert among(lean, room=on_card(60), wishes=replace(WISHES, contexts=(8192,)))["code"].context == 8192


def test_what_is_fetched_unasked_follows_the_card() -> None:
    assert unasked_download(budget(60)) == UNASKED
    assert unasked_download(on_card(24)) == 24 * GIB
    assert unasked_download(on_card(4)) == UNASKED


def test_every_purpose_of_the_catalogue_is_one_that_the_model_can_serve() -> None:
    for model in FULL.models.values():
        for name in model.purposes:
            if name in CHOOSABLE:
                assert PURPOSES[name].capability in model.capabilities, (model.name, name)


def test_a_model_without_a_purpose_is_for_tests_and_for_whoever_names_it() -> None:
    found = judge(FULL.models["smollm2-tools:135m"], budget(23), WISHES, PURPOSES["agents"])

    assert found.refusals == ("not for agents: it is for tests",)
    assert choose_named(FULL, ["smollm2-tools:135m"], budget(23), WISHES).chosen[0].context == 32768
