"""Which models a group runs: what the lock says, what its stations run already, or what fits on the weakest of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plugins.plugin_utils.gridtie_group_choice import Group, Host, Settled, settle, summary, told

from gridtie.host.fit.agreed import Member, Pick
from gridtie.host.models.resolve import Former
from gridtie.lock import Choice
from standins.settled import CATALOGUE, WISHES, budget

ANEW = "make site ARGS=..."
CODE = ("code",)
SEVEN, SMALLER = Pick("qwen2.5-coder:7b", 32768, CODE), Pick("qwen2.5-coder:1.5b", 32768, CODE)


def machine(name: str, gib: float) -> Member:
    return Member(name, budget(gib), WISHES)


def host(name: str, gib: float = 40, former: Pick | None = None, *, told: bool = False) -> Host:
    models = {former.name: former.context, "smollm2:135m": 8192} if former else {}
    return Host(name, machine(name, gib), Former(models, CODE, told) if former else None)


def chosen(*picks: Pick, measure: str = "alice") -> Choice:
    return Choice(picks, measure, CODE)


def settled(*hosts: Host, **changes: object) -> Settled:
    group = replace(Group("laptops", hosts, CODE), **changes)  # type: ignore[arg-type]
    return settle(group, CATALOGUE, ANEW)


def models(found: Settled) -> list[str]:
    return [pick.name for pick in found.choice.picks] if found.choice else []


def notes(found: Settled) -> str:
    return "\n".join(found.notes)


# Decided.


def test_without_a_choice_the_weakest_host_decides_and_the_lock_is_to_keep_it() -> None:
    found = settled(host("alice"), host("bob", 7))

    assert (models(found), found.new, found.lasting) == ([SEVEN.name], True, True)
    assert found.choice and found.choice.measure == "bob"
    assert "decided by bob, the weakest of them" in notes(found)


def test_what_cannot_be_had_for_a_purpose_is_told() -> None:
    wishes = replace(WISHES, purposes=("code", "embeddings"))

    found = settled(replace(host("alice", 7), machine=Member("alice", budget(7), wishes)), purposes=wishes.purposes)

    assert "embeddings: no model; the catalogue has no model for embeddings" in notes(found)


def test_where_nothing_fits_on_all_every_host_is_told_what_to_do() -> None:
    found = settled(host("alice"), host("bob", 0.1))

    assert found.choice is None and not found.lasting
    assert set(found.problems) == {"alice", "bob"}
    (problem,) = found.problems["alice"]
    assert "bob: " in problem["found"] and "gridtie_models_group" in problem["fix"]


def test_a_card_without_a_driver_is_told_where_its_host_was_the_measure() -> None:
    waiting = replace(host("bob", 7), idle="NVIDIA RTX 4090")

    assert "bob counts by its main memory, since NVIDIA RTX 4090 has no driver yet" in notes(
        settled(host("alice"), waiting)
    )
    assert "driver" not in notes(settled(host("alice", 3), waiting))


def test_where_nothing_can_be_had_today_the_next_run_decides_again() -> None:
    offline = replace(WISHES, unreachable={"ollama": "the library does not answer"})
    bare = Former({"smollm2:135m": 8192}, CODE, True)
    alice = Host("alice", Member("alice", budget(40), offline), bare)

    found = settled(alice, host("bob"))

    assert (models(found), found.lasting, dict(found.problems)) == ([], False, {})
    assert "code: no model; the nearest is" in notes(found)
    assert models(settled(replace(alice, machine=machine("alice", 40)))) == ["qwen3-coder:30b"]


# Taken from what is there.


def test_what_all_stations_run_already_is_the_groups_choice_and_todays_is_offered() -> None:
    found = settled(host("alice", former=SMALLER), host("bob", former=SMALLER), host("carol"))

    assert (models(found), found.lasting, dict(found.problems)) == ([SMALLER.name], True, {})
    assert f"today qwen3-coder:30b with 32768 tokens would be chosen: {ANEW}" in notes(found)


def test_stations_that_differ_keep_what_they_have_and_the_others_get_what_is_decided() -> None:
    found = settled(host("alice", former=SMALLER), host("bob", former=SEVEN), host("carol", 15))

    assert models(found) == ["qwen2.5-coder:14b"]
    assert not found.problems
    assert "alice keeps what it chose for itself (qwen2.5-coder:1.5b and smollm2:135m)" in notes(found)
    assert "-e gridtie_models_choose_again=true --limit bob" in notes(found)


def test_what_stations_run_is_no_choice_for_a_host_that_cannot() -> None:
    found = settled(host("alice", former=SEVEN), host("bob", 3))

    assert models(found) == [SMALLER.name]


# The lock's.


def test_the_locks_choice_stays_whoever_joins_and_is_not_written_again() -> None:
    found = settled(host("alice"), host("bob", 15), known=chosen(SMALLER))

    assert (models(found), found.new, found.lasting) == ([SMALLER.name], False, False)


def test_a_host_that_runs_it_already_is_not_looked_at_again() -> None:
    """A browser took the memory."""
    found = settled(host("alice", 1, SEVEN, told=True), known=chosen(SEVEN))

    assert not found.problems
    assert told([found], CATALOGUE) == ""


def test_a_host_for_which_it_does_not_fit_gets_one_list_and_the_others_go_on() -> None:
    found = settled(host("alice"), host("bob", 3), known=chosen(SEVEN))

    assert list(found.problems) == ["bob"]
    (problem,) = found.problems["bob"]
    assert "qwen2.5-coder:7b: does not fit" in problem["found"]
    assert all(word in problem["fix"] for word in ("gridtie_models)", "gridtie_models_group", ANEW))
    assert "By itself it would get qwen2.5-coder:1.5b with 32768" in problem["fix"]


def test_what_a_station_was_told_before_is_followed_when_the_lock_says_something_else() -> None:
    found = settled(host("alice", 3, SMALLER, told=True), host("bob", 40, SMALLER, told=True), known=chosen(SEVEN))

    assert list(found.problems) == ["alice"]


def test_what_a_station_chose_for_itself_outlasts_the_locks() -> None:
    found = settled(host("alice", 3, SMALLER), known=chosen(SEVEN))

    assert not found.problems
    assert "alice keeps what it chose for itself" in notes(found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purposes": ("code", "agents")}, "was made for code, and gridtie_models_purposes is code and agents"),
        ({"profile": machine("the profile x.json", 3)}, "is by alice, not by the profile x.json"),
    ],
    ids=["purposes", "profile"],
)
def test_what_was_declared_since_is_told_and_changes_nothing_by_itself(changes: dict[str, object], said: str) -> None:
    found = settled(host("alice"), known=chosen(SEVEN), **changes)

    assert models(found) == [SEVEN.name]
    assert said in notes(found) and ANEW in notes(found)


# Chosen anew, and hosts that were not looked at.


def test_chosen_anew_nothing_of_before_counts() -> None:
    found = settled(host("alice", 15, SEVEN), host("bob", 15, SMALLER, told=True), known=chosen(SEVEN), again=True)

    assert (models(found), found.new, found.lasting) == (["qwen2.5-coder:14b"], True, True)
    assert "keeps" not in notes(found)


def test_a_part_of_the_group_does_not_choose_anew_for_the_rest() -> None:
    found = settled(host("alice", 40, SMALLER), Host("bob", absent=True), known=chosen(SEVEN), again=True)

    assert (models(found), found.new) == ([SEVEN.name], False)
    assert "not chosen anew: bob would not be counted" in notes(found)


def test_a_part_of_the_group_decides_for_itself_alone_and_a_profile_for_all() -> None:
    part = (host("alice", 15), Host("bob", absent=True))

    assert (settled(*part).new, settled(*part).lasting) == (True, False)
    declared = settled(*part, profile=machine("the profile x.json", 7))
    assert (models(declared), declared.lasting) == ([SEVEN.name], True)


def test_a_host_at_hand_that_is_weaker_than_the_profile_is_told() -> None:
    found = settled(host("alice", 3), profile=machine("the profile x.json", 7))

    assert list(found.problems) == ["alice"]


def test_those_that_are_off_are_named_and_keep_nobody_waiting() -> None:
    found = settled(host("alice", 15), Host("bob"), Host("carol"))

    assert found.lasting
    assert "decided without bob and carol" in notes(found)


# What is told.


def test_the_table_has_every_host_with_its_models_room_speed_and_download() -> None:
    quick = Member("bob", budget(7, 64e9), WISHES)
    found = settled(replace(host("alice"), here=frozenset({SEVEN.name})), replace(host("bob"), machine=quick))

    lines = told([found], CATALOGUE).splitlines()

    assert lines[0].split()[:4] == ["host", "group", "model", "for"]
    rows = [line.split("  ") for line in lines[2:4]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0] == ["alice", "laptops", SEVEN.name, "code", "32768", "6.4 GiB", "40.0 GiB", "-"]
    assert cells[1][:7] == ["bob", "laptops", SEVEN.name, "code", "32768", "6.4 GiB", "7.0 GiB"]
    assert float(cells[1][7]) > 8 and cells[1][8:] == ["4.7 GB", "the measure"]
    assert lines[-1] == "laptops: decided by bob, the weakest of them"


def test_hosts_that_take_no_part_or_stay_as_they_are_have_their_line() -> None:
    found = settled(host("alice"), host("bob", 40, SMALLER), host("carol", 40, SEVEN), Host("dave", absent=True))
    said = told([found], CATALOGUE)

    lines = {line.split()[0]: line for line in said.splitlines()}
    assert lines["dave"].endswith("takes no part")
    assert "its own choice" in next(line for line in said.splitlines() if line.startswith("bob"))


def test_one_line_says_what_each_group_runs() -> None:
    lone = settled(host("ci", 0.5), known=chosen())

    assert summary(
        [settled(host("alice"), known=chosen(SEVEN)), replace(lone, group=replace(lone.group, name="ci"))]
    ) == ("laptops: qwen2.5-coder:7b with 32768 tokens; ci: the smoke test's model alone")
