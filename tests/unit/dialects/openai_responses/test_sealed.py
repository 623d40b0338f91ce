"""Reasoning that only its provider can read, through a client of OpenAI's responses and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.openai_responses import facts
from gridtie.dialects.openai_responses.kept import answered
from gridtie.dialects.types import AnswerOptions, Dialect, RequestOptions
from standins.decoded import run

# As Anthropic says it: reasoning with its signature, more of it with another, what it encrypts as a whole, reasoning
# that it signs and does not show, and the answer.
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "One.", "signature": "c2ln/MQ=="},
    {"type": "thinking", "thinking": "Two.", "signature": "c2lnMg=="},
    {"type": "redacted_thinking", "data": "ZW5j+w=="},
    {"type": "thinking", "thinking": "", "signature": "c2lnMw=="},
    {"type": "text", "text": "Hello."},
    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
]
USAGE = {"input_tokens": 3, "output_tokens": 9}
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "tool_use", "usage": USAGE,
}  # fmt: skip
# The fields that come in pieces, and the deltas that they come in.
PIECES = {"thinking": "thinking_delta", "signature": "signature_delta", "text": "text_delta"}


def event(type: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (type.encode(), json.dumps({"type": type} | fields).encode())


def streamed(blocks: list[dict[str, Any]]) -> list[bytes]:
    events = [event("message_start", message=MESSAGE | {"stop_reason": None, "content": []})]
    for index, block in enumerate(blocks):
        empty = block | {name: "" for name in PIECES if name in block}
        events.append(event("content_block_start", index=index, content_block=empty))
        events += [
            event("content_block_delta", index=index, delta={"type": kind, name: block[name]})
            for name, kind in PIECES.items()
            if block.get(name)
        ]
        events.append(event("content_block_stop", index=index))
    events.append(event("message_delta", delta={"stop_reason": "tool_use"}, usage=USAGE))
    return [*events, event("message_stop")]


def output(blocks: list[dict[str, Any]], *, streams: bool) -> list[dict[str, Any]]:
    """The items that a client of OpenAI's responses gets of such an answer."""
    made = codec("openai-responses", "anthropic")
    options = AnswerOptions(1)
    out, _ = run(made.stream(options) if streams else made.collect(options), streamed(blocks))
    found = answered(out)
    assert found is not None
    items: list[dict[str, Any]] = json.loads(b"[%b]" % found.items)
    if streams:
        done = [json.loads(data)["item"] for data in _events(out, b"response.output_item.done")]
        assert done == items
    return items


def _events(out: bytes, name: bytes) -> list[bytes]:
    frames = [frame for frame in out.split(b"\n\n") if frame.startswith(b"event: %b\n" % name)]
    return [frame.partition(b"\ndata: ")[2] for frame in frames]


def sent(items: list[dict[str, Any]], target: Dialect) -> dict[str, Any]:
    """What a target is asked when the client sends them back."""
    asked = {"model": "m", "input": [{"role": "user", "content": "go"}, *items]}
    request = codec("openai-responses", target).request(
        facts.read(json.dumps(asked).encode()), "m", RequestOptions(True)
    )
    found: dict[str, Any] = json.loads(request.body)
    return found


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
def test_anthropic_gets_its_own_reasoning_back_as_it_gave_it(*, streams: bool) -> None:
    """Each with its own signature, in order: it refuses reasoning that was changed, and reasons without it anew."""
    items = output(BLOCKS, streams=streams)
    assert [item["type"] for item in items] == [*["reasoning"] * 4, "message", "function_call"]

    assert sent(items, "anthropic")["messages"][1] == {"role": "assistant", "content": BLOCKS}


@pytest.mark.parametrize("target", ["openai", "ollama"])
def test_any_other_target_gets_what_can_be_read_of_it_alone(target: Dialect) -> None:
    body = sent(output(BLOCKS, streams=True), target)
    said = json.dumps(body)

    assert "One." in said and "Two." in said
    for block in BLOCKS[:4]:
        assert (block.get("signature") or block["data"]) not in said
    assert "anthropic" not in said and "encrypted" not in said


@pytest.mark.parametrize("encrypted", ["gAAAAABo", "anthropic.other.x", "", None])
def test_what_openai_encrypted_itself_goes_to_nobody(encrypted: str | None) -> None:
    """A conversation that began at OpenAI goes on without it."""
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"text": "hm"}], "encrypted_content": encrypted}
    for target in ("anthropic", "openai", "ollama"):
        assert str(encrypted or "gAAAAABo") not in json.dumps(sent([reasoning, BACK], target))
    assert sent([reasoning, BACK], "anthropic")["messages"][1]["content"] == [{"type": "text", "text": "Hello."}]


BACK = {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}


def test_what_is_sealed_commits_no_answer() -> None:
    """Another target may still answer: nothing has been said."""
    decoder = codec("openai-responses", "anthropic").stream(AnswerOptions(1))
    *sealed, text = streamed([BLOCKS[2], BLOCKS[3], BLOCKS[4]])[:8]

    chunks = [decoder.feed(each) for each in sealed]
    assert not any(chunk.content or chunk.out for chunk in chunks)
    assert decoder.feed(text).content


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "whole"])
def test_a_client_of_anthropics_gets_all_of_it_where_an_answer_has_to_be_told_anew(*, streams: bool) -> None:
    """A message that came whole to a request for a stream, and a stream that came to one for a message."""
    made = codec("anthropic", "anthropic")
    if streams:
        decoder = made.stream(AnswerOptions(1))
        out, _ = run(decoder, [json.dumps(MESSAGE | {"content": BLOCKS}).encode()])
        blocks: list[dict[str, Any]] = []
        for frame in _events(out, b"content_block_start"):
            blocks.append(json.loads(frame)["content_block"])
        for frame in _events(out, b"content_block_delta"):
            told = json.loads(frame)
            for name, kind in PIECES.items():
                if told["delta"]["type"] == kind:
                    blocks[told["index"]][name] += told["delta"][name]
        blocks[-1]["input"] = BLOCKS[-1]["input"]
    else:
        blocks = json.loads(made.whole(b"".join(streamed(BLOCKS)), 1).body)["content"]

    assert [block for block in blocks if block != {"type": "text", "text": ""}] == BLOCKS
