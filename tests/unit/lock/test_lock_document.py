"""What a lock may say, and how something learned becomes part of it."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.host.fit.agreed import Pick
from gridtie.lock import Choice, Lock, LockError
from gridtie.lock.document import document, parse

A, B, C = "a" * 64, "b" * 64, "1" * 64
DEBIAN = "docker.io/library/debian:trixie-slim"
LEARNED = {
    "images": {DEBIAN: {"digest": f"sha256:{A}"}},
    "archives": {"0.32.15/rocm.tar.zst": {"sha256": C}},
    "models": {"coder:1b": {"manifest": A, "gguf": B}},
}


def test_what_a_host_learned_is_read_back_with_its_name() -> None:
    found = document(Lock().with_learned(LEARNED, "alice"))

    assert found["images"][DEBIAN] == {"digest": f"sha256:{A}", "learned_by": "alice"}
    assert document(parse(found)) == found


def test_the_first_to_learn_wins_and_a_second_opinion_names_both_digests_and_both_hosts() -> None:
    lock = Lock().with_learned(LEARNED, "alice")
    other = {"models": {"coder:1b": {"manifest": B}}}

    (conflict,) = lock.conflicts(other, "bob")
    assert all(word in str(conflict) for word in ("coder:1b", "alice", A, "bob", B))
    assert lock.with_learned(other, "bob") == lock


def test_a_host_that_learned_the_same_or_something_else_is_no_conflict() -> None:
    lock = Lock().with_learned(LEARNED, "alice")

    assert lock.conflicts(LEARNED, "bob") == []
    assert lock.conflicts({"models": {"coder:7b": {"manifest": B}, "coder:1b": {"package": C}}}, "bob") == []
    assert lock.with_learned({"models": {"coder:1b": {"package": C}}}, "bob").digests("models") == {
        "coder:1b": {"manifest": A, "gguf": B, "package": C}
    }


LAPTOPS: dict[str, Any] = {
    "for": ["code", "chat"],
    "measure": "alice",
    "models": [{"name": "coder:1b", "context": 32768, "for": ["code", "chat"]}],
}


def test_what_a_group_runs_is_read_back_beside_what_was_learned() -> None:
    by_hand = {"models": [{"name": "coder:7b", "context": 8192, "for": ["code"]}]}
    given = {"schema": 1, "choices": {"laptops": LAPTOPS, "servers": by_hand}}

    lock = parse(given).with_learned(LEARNED, "alice")

    assert document(lock)["choices"] == given["choices"]
    assert lock.choices["laptops"] == Choice((Pick("coder:1b", 32768, ("code", "chat")),), "alice", ("code", "chat"))
    assert lock.choices["servers"].measure == ""


def test_a_lock_of_before_there_were_choices_is_read() -> None:
    assert parse({"schema": 1, "choices": {}}).choices == parse({"schema": 1}).choices == {}


def choices(**changes: Any) -> dict[str, Any]:
    return {"schema": 1, "choices": {"laptops": {"models": [{**LAPTOPS["models"][0], **changes}]}}}


def entry(kind: str, **digests: Any) -> dict[str, Any]:
    return {"schema": 1, kind: {"x": digests}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schema": 2}, "newer version of Gridtie"),
        ({"schema": "1"}, "schema is '1'"),
        ({"schema": True}, "schema is True"),
        ({}, "schema is None"),
        ([], "a mapping"),
        ("text", "a mapping"),
        (entry("models", manifest="xyz"), "models.x.manifest: 64 lower-case hexadecimal"),
        (entry("models", manifest=int(C)), "in quotes"),
        (entry("models", manifest=f"sha256:{A}"), "models.x.manifest"),
        (entry("images", digest=A), "images.x.digest: sha256: and 64"),
        (entry("archives", sha256=A.upper()), "archives.x.sha256"),
        (entry("models", manifst=A), "'manifst' is no key of a lock; did you mean manifest"),
        ({"schema": 1, "modells": {}}, "did you mean models"),
        ({"schema": 1, "models": []}, None),
        ({"schema": 1, "models": [1]}, "models: a mapping"),
        ({"schema": 1, "images": {"x": A}}, "images.x: a mapping with digest"),
        ({"schema": 1, "taken_over": "alice"}, "a list of names"),
        ({"schema": 1, "choices": ["x"]}, "choices: a mapping"),
        ({"schema": 1, "choices": {"laptops": ["coder:1b"]}}, "choices.laptops: a mapping with models"),
        ({"schema": 1, "choices": {"laptops": {"models": "coder:1b"}}}, "choices.laptops.models: a list of models"),
        ({"schema": 1, "choices": {"laptops": {"models": ["coder:1b"]}}}, "choices.laptops.models[0]: a mapping"),
        ({"schema": 1, "choices": {"laptops": {"models": [], "mesure": "x"}}}, "did you mean measure"),
        ({"schema": 1, "choices": {"laptops": {"models": [], "for": "code"}}}, "choices.laptops.for: a list"),
        (choices(context="32K"), "choices.laptops.models[0].context: '32K' is of the wrong type"),
        (choices(context=True), "context: True is of the wrong type"),
        (choices(context=0), "context: a number of tokens from 1 on"),
        (choices(**{"for": []}), "for: purposes were expected"),
        (choices(**{"for": ["coding"]}), "for: purposes were expected (code, chat"),
        (choices(name=7), "name: 7 is of the wrong type"),
    ],
    ids=str,
)
def test_what_is_no_lock_is_told_in_one_sentence(given: Any, said: str | None) -> None:
    if said is None:  # An empty part is an empty part.
        assert document(parse(given)) == document(Lock())
        return
    with pytest.raises(LockError) as caught:
        parse(given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
