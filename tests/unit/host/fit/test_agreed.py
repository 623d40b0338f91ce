"""One choice for several machines: what all of them can run, and why one of them cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridtie.host.catalogue import OllamaSource, PackageSource
from gridtie.host.fit.agreed import Member, Pick, choose_agreed, decide, misfits
from gridtie.host.fit.choice import CannotChoose, choose_best
from gridtie.host.fit.judge import Wishes
from gridtie.host.fit.memory import Settings
from gridtie.host.fit.placement import Budget
from standins.settled import CATALOGUE, FULL, WISHES, budget, on_card

CODE = ("code",)
SEVEN = Pick("qwen2.5-coder:7b", 32768, CODE)


def member(name: str, gib: float, bandwidth: float | None = None, wishes: Wishes = WISHES) -> Member:
    return Member(name, budget(gib, bandwidth), wishes)


def names(*members: Member) -> list[str]:
    return [pick.name for pick in decide(CATALOGUE, members).picks]


def test_the_machine_with_the_least_memory_is_the_measure() -> None:
    strong, weak = member("server", 40), member("laptop", 7)

    decided = decide(CATALOGUE, [strong, weak])

    assert decided.measure == "laptop"
    assert decided.picks == (SEVEN,)
    assert not misfits(CATALOGUE, decided.picks, strong)


def test_of_equal_memory_the_slowest_is_the_measure_and_its_speed_counts() -> None:
    """23 GiB: at 28 GB/s the mixture of 30B answers in time, at 12 GB/s only a small model does."""
    assert names(member("one", 23, 28e9)) == ["qwen3-coder:30b"]
    assert names(member("one", 23, 28e9), member("two", 23, 12e9)) == ["qwen2.5-coder:1.5b"]


def test_the_slowest_counts_also_where_it_has_the_most_memory() -> None:
    assert names(member("small", 23, 28e9), member("large", 60, 12e9)) == ["qwen2.5-coder:1.5b"]


def test_a_card_is_as_slow_as_the_slowest_memory_of_the_group() -> None:
    card = Member("card", on_card(20), WISHES)

    assert names(card) == ["qwen2.5-coder:14b"]
    assert names(card, member("laptop", 60, 40e9)) == ["qwen2.5-coder:7b"]


def test_what_was_measured_counts_where_every_member_has_measured_it() -> None:
    fast = replace(WISHES, measured={"qwen3-coder:30b": 20.0})

    assert names(member("one", 23, 12e9, fast), member("two", 23, 12e9, fast)) == ["qwen3-coder:30b"]
    assert names(member("one", 23, 12e9, fast), member("two", 23, 12e9)) == ["qwen2.5-coder:1.5b"]


def test_what_one_cannot_reach_or_may_not_take_nobody_gets() -> None:
    pinned = replace(WISHES, pinned=frozenset({"qwen2.5-coder:1.5b", "smollm2:135m"}))
    offline = replace(WISHES, unreachable={"ollama": "the model library does not answer"})
    has_it = replace(offline, present=frozenset({"qwen2.5-coder:3b", "qwen2.5-coder:0.5b"}))

    assert names(member("one", 40), member("two", 40, wishes=pinned)) == ["qwen2.5-coder:1.5b"]
    assert names(member("one", 40), member("two", 40, wishes=offline)) == []
    assert names(member("one", 40, wishes=has_it), member("two", 40, wishes=has_it)) == ["qwen2.5-coder:0.5b"]


def test_the_smallest_limit_of_what_is_fetched_unasked_holds() -> None:
    limits = [replace(WISHES, max_download=most) for most in (0, 5_000_000_000, 40_000_000_000)]

    assert names(*(member(f"host{n}", 40, wishes=wishes) for n, wishes in enumerate(limits))) == ["qwen2.5-coder:7b"]


def test_where_the_measures_own_choice_does_not_fit_on_another_the_next_one_is_the_measure() -> None:
    """A cache of 8 bits takes half: what fits in 13 GiB with it does not in 13.5 without."""
    halved = replace(WISHES, settings=Settings(0, 1, "q8_0"))
    thrifty, usual = member("thrifty", 13, wishes=halved), member("usual", 13.5)
    assert misfits(CATALOGUE, decide(CATALOGUE, [thrifty]).picks, usual)

    assert decide(CATALOGUE, [thrifty, usual]).measure == "usual"


def test_where_nothing_fits_on_all_each_members_reason_is_told() -> None:
    with pytest.raises(CannotChoose) as told:
        decide(CATALOGUE, [member("server", 40), member("tiny", 0.1)])

    assert "tiny: " in str(told.value)
    assert "not even that of the smoke test" in str(told.value)


def test_several_purposes_are_agreed_on_at_once_and_fit_where_they_were_chosen() -> None:
    wishes = replace(WISHES, purposes=("code", "agents", "completion", "embeddings"))
    machines = [Member("card", on_card(22), wishes), Member("larger", on_card(44), wishes)]

    decided = decide(FULL, machines)

    assert decided.picks[0].purposes[0] == "code"
    assert len(decided.picks) > 1
    alone = {name: verdict.model.name for name, verdict in choose_best(FULL, on_card(22), wishes).picks.items()}
    assert {purpose: pick.name for pick in decided.picks for purpose in pick.purposes} == alone


# What each of them takes.


def test_everyone_takes_the_agreed_models_with_their_context_and_that_of_the_smoke_test() -> None:
    chosen = choose_agreed(CATALOGUE, [SEVEN], budget(40), WISHES, "chosen for the group laptops").chosen

    assert [(v.model.name, v.context) for v in chosen] == [("qwen2.5-coder:7b", 32768), ("smollm2:135m", 8192)]
    assert chosen[0].why == "chosen for the group laptops"


def test_what_was_weighed_when_it_was_decided_is_not_weighed_again() -> None:
    """Speed, the size of the download and the licence: who edits the lock has decided that."""
    slow = replace(WISHES, max_download=1)

    for name in ("qwen2.5-coder:14b", "qwen2.5-coder:3b"):
        assert (
            choose_agreed(CATALOGUE, [Pick(name, 8192, CODE)], budget(40, 1e9), slow, "").chosen[0].model.name == name
        )


@pytest.mark.parametrize(
    ("pick", "machine", "said"),
    [
        (SEVEN, member("laptop", 4), "qwen2.5-coder:7b: does not fit: 6.4 GiB at 32768 tokens"),
        (Pick("qwen9:1b", 8192, CODE), member("laptop", 4), "qwen9:1b: the catalogue has no such model"),
        (Pick("llama3:8b", 32768, CODE), member("laptop", 40), "trained for 8192 tokens"),
        (
            SEVEN,
            member("laptop", 40, wishes=replace(WISHES, unreachable={"ollama": "it does not answer"})),
            "cannot be fetched here: it does not answer",
        ),
        (SEVEN, Member("laptop", on_card(4), WISHES), "does not fit"),
    ],
    ids=["memory", "unknown", "context", "unreachable", "partly on a card"],
)
def test_what_a_machine_cannot_do_is_told(pick: Pick, machine: Member, said: str) -> None:
    assert said in "; ".join(misfits(CATALOGUE, [pick], machine))


def test_models_that_are_asked_between_questions_to_another_have_to_fit_beside_it() -> None:
    picks = [SEVEN, Pick("qwen2.5-coder:1.5b", 8192, ("completion",))]
    turns = [SEVEN, Pick("qwen2.5-coder:1.5b", 8192, ("chat",))]

    assert misfits(CATALOGUE, picks, member("laptop", 7))
    assert not misfits(CATALOGUE, picks, member("laptop", 9))
    assert not misfits(CATALOGUE, turns, member("laptop", 7))


def test_servers_of_their_own_have_to_fit_together_with_that_of_the_smoke_test() -> None:
    embedded = replace(WISHES, together=True, settings=Settings(0, engine="embedded"))
    need = sum(v.need.total for v in choose_agreed(CATALOGUE, [SEVEN], budget(40), embedded, "").chosen if v.need)

    def room(more: int) -> Member:
        return Member("ci", Budget("memory", need + more, need + more), embedded)

    assert misfits(CATALOGUE, [SEVEN], room(-1))
    assert not misfits(CATALOGUE, [SEVEN], room(0))


def test_the_smoke_tests_model_comes_from_a_package_and_the_others_from_the_library() -> None:
    """What the tests above take for granted of the catalogue."""
    assert isinstance(CATALOGUE.models["smollm2:135m"].sources[0], PackageSource)
    assert isinstance(CATALOGUE.models["qwen2.5-coder:7b"].sources[0], OllamaSource)
