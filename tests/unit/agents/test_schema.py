"""Answers are held to the schema that was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.agents import planner, reviewer, tester
from gridtie.agents.schema import BOOLEAN, SENTENCE, SchemaMismatch, array, choice, integer, parse, record, text
from gridtie.agents.tasks import TASKS

SHAPE = record(names=array(text("^[a-z]+$"), 1, 2), count=integer(0, 9), kind=choice("a", "b"), on=BOOLEAN)
GOOD: dict[str, Any] = {"names": ["x"], "count": 3, "kind": "a", "on": True}


def test_an_answer_that_holds_comes_back_as_values() -> None:
    """A right answer is returned as it is."""
    assert parse(json.dumps(GOOD), SHAPE) == GOOD


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"names": []}, "answer.names"),
        ({"names": ["x", "y", "z"]}, "answer.names"),
        ({"names": ["X"]}, "answer.names[0]"),
        ({"names": "x"}, "answer.names"),
        ({"count": 10}, "answer.count"),
        ({"count": True}, "answer.count"),
        ({"kind": "c"}, "answer.kind"),
        ({"on": 1}, "answer.on"),
        ({"extra": 1}, "answer:"),
    ],
)
def test_a_mismatch_names_its_place(change: dict[str, Any], place: str) -> None:
    """Each departure from the schema is refused, with the path to it."""
    with pytest.raises(SchemaMismatch) as caught:
        parse(json.dumps(GOOD | change), SHAPE)

    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_fields_come_in_alphabetical_order(task: Any) -> None:
    """An engine that sorts fields writes them in the order in which they make sense."""
    for shape in (planner.SCHEMA, reviewer.SCHEMA, tester.schema_for(task)["properties"]["cases"]["items"]):
        assert shape["required"] == sorted(shape["required"])


def test_an_answer_that_was_cut_off_is_refused() -> None:
    """JSON that ends in the middle is not an answer."""
    with pytest.raises(SchemaMismatch, match="not complete JSON"):
        parse('{"names": ["x', SHAPE)


@pytest.mark.parametrize(
    ("sentence", "fits"),
    [
        ("Return the largest number of the list.", True),
        ("Compare (start, end) with the last one.", True),
        ("return the largest number.", False),
        ("Yes.", False),
        ("One " + "word " * 20 + "too many.", False),
        ("No full stop at the end", False),
    ],
)
def test_a_sentence_is_short_and_complete(sentence: str, fits: bool) -> None:
    """The pattern lets short complete sentences through and nothing else."""
    schema = record(s=text(SENTENCE))

    if fits:
        assert parse(json.dumps({"s": sentence}), schema)["s"] == sentence
    else:
        with pytest.raises(SchemaMismatch):
            parse(json.dumps({"s": sentence}), schema)


def test_the_worked_examples_hold_to_the_schemas_they_illustrate() -> None:
    """What agents are shown as a model answer is one."""
    assert parse(planner._EXAMPLE, planner.SCHEMA)
    assert parse(reviewer._EXAMPLE, reviewer.SCHEMA)
    assert parse(tester._EXAMPLE, tester.EXAMPLE_SCHEMA)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_test_case_schemas_forbid_unknown_fields(task: Any) -> None:
    """Strict modes refuse a schema whose objects are open or have optional fields."""
    case = tester.schema_for(task)["properties"]["cases"]["items"]

    assert case["additionalProperties"] is False
    assert case["required"] == [*task.parameters, "wanted"]
