"""What is kept of an answer, and a request that goes on from it."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest

from gridtie.dialects.openai_responses import facts
from gridtie.dialects.openai_responses.kept import Earlier, answered, asked, going_on, items, shown, together
from gridtie.dialects.types import InvalidRequest

EARLIER = Earlier(b'{"role":"user","content":"a"},{"role":"assistant","content":"b"}')


def recall(id: str) -> Earlier:
    assert id == "resp_1"
    return EARLIER


def read(**fields: Any) -> facts.Facts:
    body = {"model": "m", "previous_response_id": "resp_1"} | fields
    return facts.read(json.dumps(body).encode(), recall)


@pytest.mark.parametrize(
    ("given", "last"),
    [
        ({"input": "c"}, [{"type": "message", "role": "user", "content": "c"}]),
        ({"input": [{"role": "user", "content": "c"}]}, [{"role": "user", "content": "c"}]),
        ({"input": []}, []),
        ({"input": None}, []),
        ({}, []),
    ],
)
def test_the_items_of_before_come_before_those_of_the_request(given: dict[str, Any], last: list[Any]) -> None:
    found = read(**given)

    assert json.loads(bytes(found.fields["input"])) == [*json.loads(b"[%b]" % EARLIER.items), *last]
    assert found.messages == 2 + len(last)
    assert "previous_response_id" not in found.fields
    assert (found.previous, found.keeps, found.private) == ("resp_1", True, False)


def test_what_went_before_counts_for_size_and_money() -> None:
    """Rules on the size of prompts, budgets: as if the client had sent it again."""
    sent = facts.read(json.dumps({"input": [*json.loads(b"[%b]" % EARLIER.items), {"content": "c"}]}).encode())
    found = read(input=[{"content": "c"}])

    assert (found.text_bytes, found.messages) == (sent.text_bytes, sent.messages)


def test_what_was_private_stays_private() -> None:
    found = facts.read(b'{"previous_response_id":"x","input":"c"}', lambda _: Earlier(b"{}", private=True))

    assert found.private


@pytest.mark.parametrize("store", [None, True, "yes"])
def test_an_answer_is_kept_unless_the_client_forbids_it(store: object) -> None:
    assert read(input="c", store=store).keeps
    assert not read(input="c", store=False).keeps
    assert not facts.read(b'{"input":"c","store":true}').keeps


@pytest.mark.parametrize("given", [{"a": 1}, 7, True])
def test_an_input_of_a_wrong_type_is_refused_as_ever(given: object) -> None:
    with pytest.raises(InvalidRequest, match="input"):
        read(input=given)


def test_an_id_that_is_none_is_refused_before_anything_is_recalled() -> None:
    with pytest.raises(InvalidRequest, match=r"previous_response_id: found a number, wanted an answer's id"):
        read(previous_response_id=7)


def test_where_nothing_is_kept_the_setting_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"responses\.keep: true"):
        facts.read(b'{"previous_response_id":"resp_1","input":"c"}')


def test_a_null_asks_for_nothing() -> None:
    assert facts.read(b'{"previous_response_id":null,"input":"c"}').previous == ""


OUTPUT = [{"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "é\n"}]}]


def event(type: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (type.encode(), json.dumps({"type": type} | fields).encode())


ANSWER = {"id": "resp_2", "output": OUTPUT}


@pytest.mark.parametrize(
    "last",
    [
        json.dumps(ANSWER).encode(),
        event("response.output_text.delta", delta="x") + event("response.completed", response=ANSWER),
        event("response.incomplete", response=ANSWER),
    ],
)
def test_an_answer_is_its_id_and_its_items(last: bytes) -> None:
    found = answered(last)

    assert found is not None
    assert (found.id, json.loads(b"[%b]" % found.items)) == ("resp_2", OUTPUT)


@pytest.mark.parametrize("put", [b"", b'{"role":"user","content":"a"}'])
def test_a_kept_answer_is_shown_as_its_client_got_it(put: bytes) -> None:
    """With no item of it twice in memory."""
    found = answered(json.dumps(ANSWER | {"usage": {"input_tokens": 3}}).encode())
    assert found is not None
    earlier = found.earlier(put, private=True, stays=False)

    assert json.loads(shown(earlier)) == ANSWER | {"usage": {"input_tokens": 3}}
    assert b"output_text" not in earlier.response
    assert earlier.size == len(earlier.items) + len(earlier.response)
    assert earlier.private


def test_items_that_were_asked_have_ids_and_texts_in_parts() -> None:
    """Their client's own id where that is a text that can be found; the answer is not among them."""
    put = b",".join(
        (
            b'{"role":"user","content":"a"}',
            b'{"id":"own","type":"message","role":"assistant","content":"b"}',
            b'{"id":null,"type":"function_call_output","call_id":"c","output":"5"}',
            b'{"id":7,"role":"user","content":[{"type":"input_text","text":"d"}]}',
        )
    )
    found = answered(json.dumps(ANSWER).encode())
    assert found is not None
    earlier = found.earlier(put, private=False, stays=False)
    listed = json.loads(msgspec.json.encode([each.listed() for each in asked(earlier, "resp_2")]))

    assert [item["id"] for item in listed] == ["in_2_0", "own", "in_2_2", "in_2_3"]
    assert [item["type"] for item in listed] == ["message", "message", "function_call_output", "message"]
    assert listed[0]["content"] == [{"type": "input_text", "text": "a"}]
    assert listed[1]["content"] == [{"type": "output_text", "annotations": [], "text": "b"}]
    assert listed[2]["output"] == "5"
    assert listed[3]["content"] == [{"type": "input_text", "text": "d"}]


def test_items_are_not_read_before_they_are_shown() -> None:
    """The event loop does it, and a page is a hundred of perhaps hundreds of thousands: not all are held as objects."""
    item = b'{"type":"message","role":"user","content":"a"}'
    earlier = Earlier(b",".join([item] * 20_000), put=20_000 * (len(item) + 1) - 1)

    tracemalloc.start()
    try:
        found = asked(earlier, "resp_2")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (len(found), found[-1].id) == (20_000, "in_2_19999")
    assert most < 10 * earlier.size


@pytest.mark.parametrize(
    "last",
    [
        b"",
        b"{}",
        b"[]",
        b"event: response.completed\ndata: {",
        json.dumps({"id": "resp_2", "output": []}).encode(),
        json.dumps({"id": 7, "output": OUTPUT}).encode(),
        json.dumps({"output": OUTPUT}).encode(),
    ],
)
def test_what_is_no_whole_answer_is_not_kept(last: bytes) -> None:
    assert answered(last) is None


def test_items_are_kept_as_they_were_sent() -> None:
    """A prompt's cache knows it by its beginning, which must not change from turn to turn."""
    first = msgspec.Raw(b'[ {"b": 1,  "a" : "\\u00e9"} ]')
    kept = Earlier(together(items(first), b'{"c":2}'))

    assert bytes(going_on(kept, msgspec.Raw(b"[]"))) == b'[{"b": 1,  "a" : "\\u00e9"},{"c":2}]'
