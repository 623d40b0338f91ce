"""Every target's answer for every client: the events that a reader tells are those that a writer was given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from gridtie.dialects.answer import Finish, MakeWriter, ToolCall
from gridtie.dialects.codecs import PACKAGES, codec
from gridtie.dialects.package import Package, Translated
from gridtie.dialects.types import AnswerOptions, Dialect, Failed, Usage
from standins.decoded import run

OPTIONS = AnswerOptions(prompt_estimate=7, created=1_800_000_000, wants_usage=True)
USAGE = Usage(input=40, output=9)
BY_NAME = {package.name: package for package in PACKAGES}

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(st.text("ab", min_size=1, max_size=2), st.integers(0, 9), max_size=2)
SAID = st.tuples(
    st.lists(WORDS, max_size=2),
    st.lists(WORDS, min_size=1, max_size=3),
    st.lists(ARGUMENTS, max_size=3),
)


def quoted(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


def written(make: MakeWriter, thoughts: list[str], texts: list[str], calls: list[dict[str, int]]) -> bytes:
    """An answer in a dialect: reasoning, text, calls whose arguments come in two pieces."""
    writer = make("id_1", 1_800_000_000, "m", OPTIONS)
    out = [writer.start()]
    out += [writer.reasoning(quoted(text)) for text in thoughts]
    out += [writer.content(quoted(text)) for text in texts]
    for index, arguments in enumerate(calls):
        text = json.dumps(arguments)
        out.append(writer.call(index, ToolCall(f"call_{index}", "add", "")))
        out += [writer.arguments(index, quoted(text[:3])), writer.arguments(index, quoted(text[3:]))]
    finish: Finish = "tool_calls" if calls else "stop"
    out.append(writer.end(finish, USAGE, wants_usage=True))
    return b"".join(out)


def understood(name: str, body: bytes) -> tuple[str, str, list[Any], bool]:
    """(reasoning, text, arguments of calls, whether it ended with calls) of a whole answer, by its dialect's SDK."""
    if name == "openai":
        choice = ChatCompletion.model_validate_json(body).choices[0]
        message = choice.message
        arguments = [
            json.loads(call.function.arguments) for call in message.tool_calls or [] if call.type == "function"
        ]
        thought = getattr(message, "reasoning_content", None) or ""
        return thought, message.content or "", arguments, choice.finish_reason == "tool_calls"
    if name == "anthropic":
        found = Message.model_validate_json(body)
        thought = "".join(block.thinking for block in found.content if block.type == "thinking")
        text = "".join(block.text for block in found.content if block.type == "text")
        arguments = [block.input for block in found.content if block.type == "tool_use"]
        return thought, text, arguments, found.stop_reason == "tool_use"
    native = json.loads(body)
    calls = native["message"].get("tool_calls", [])
    arguments = [call["function"]["arguments"] for call in calls]
    return native["message"].get("thinking", ""), native["message"]["content"], arguments, bool(calls)


PAIRS = pytest.mark.parametrize(
    ("client", "target"), [(client, target) for client in BY_NAME for target in BY_NAME if client != target]
)


@PAIRS
@given(said=SAID)
def test_an_answer_survives_every_pair(
    client: str, target: str, said: tuple[list[str], list[str], list[dict[str, int]]]
) -> None:
    """Reasoning, text, parallel calls and usage, from a stream of the target to a whole answer of the client."""
    pair = Translated(package(client), package(target))
    stream = written(package(target).streamed, *said)

    out, chunks = run(pair.collect(OPTIONS), [stream])

    thoughts, texts, calls = said
    assert understood(client, out) == ("".join(thoughts), "".join(texts), calls, bool(calls))
    assert chunks[-1].usage == USAGE


@PAIRS
@given(said=SAID, at=st.integers(0, 400))
def test_an_answer_can_be_cut_anywhere(
    client: str, target: str, said: tuple[list[str], list[str], list[dict[str, int]]], at: int
) -> None:
    """A stream that is translated and read again is the same, wherever its bytes were cut; and none is lost."""
    pair = Translated(package(client), package(target))
    stream = written(package(target).streamed, *said)

    whole, _ = run(pair.stream(OPTIONS), [stream])
    cut, chunks = run(pair.stream(OPTIONS), [stream[:at], stream[at:]])

    assert whole == cut
    assert any(chunk.done for chunk in chunks)


@pytest.mark.parametrize("client", BY_NAME)
@pytest.mark.parametrize("target", BY_NAME)
def test_what_an_answer_came_to_can_be_asked_at_any_time(client: str, target: str) -> None:
    """Whoever gives up on one asks, and reads no more of it for that; asking changes nothing about the answer."""
    stream = written(package(target).streamed, ["hm"], ["one ", "two"], [{"a": 1}])
    pieces = [stream[at : at + 40] for at in range(0, len(stream), 40)]
    unasked, _ = run(codec(package(client).name, package(target).name).stream(OPTIONS), pieces)

    decoder = codec(package(client).name, package(target).name).stream(OPTIONS)
    out, counts = b"", []
    for piece in pieces:
        out += decoder.feed(piece).out
        counts.append(decoder.usage())

    assert out + decoder.eof().out == unasked
    assert counts[0].estimated
    assert [count.output for count in counts] == sorted(count.output for count in counts)
    assert counts[-1] == USAGE


@PAIRS
def test_what_breaks_off_is_a_failure(client: str, target: str) -> None:
    """Text that came is passed on, and no end after it."""
    stream = written(package(target).streamed, [], ["one", "two"], [])
    units = stream.split(b"\n" if target == "ollama" else b"\n\n")
    end = b"\n" if target == "ollama" else b"\n\n"
    first = end.join(units[:2] if target == "ollama" else units[:3]) + end

    out, chunks = run(Translated(package(client), package(target)).stream(OPTIONS), [first])

    assert b"one" in out
    assert chunks[-1].failure is not None
    assert chunks[-1].failure.kind is Failed.BROKEN
    assert not any(chunk.done for chunk in chunks)


@pytest.mark.parametrize("client", ["anthropic", "ollama"])
def test_arguments_that_are_no_object_end_an_answer(client: str) -> None:
    """These clients are given an object, and a whole answer cannot be made of anything else."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "not json"}}
    frame = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    stream = f"data: {json.dumps(frame)}\n\ndata: [DONE]\n\n".encode()

    _, chunks = run(Translated(package(client), package("openai")).collect(OPTIONS), [stream])

    assert [chunk.failure.kind for chunk in chunks if chunk.failure] == [Failed.BROKEN]


def package(name: str) -> Package:
    return BY_NAME[name]  # type: ignore[index]


def call_piece(index: int, **fields: Any) -> bytes:
    """A frame of OpenAI's with a piece of a call."""
    delta = {"tool_calls": [{"index": index, **fields}]}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return b"data: " + json.dumps({"id": "chatcmpl-1", "choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize("client", ["anthropic", "openai-responses"])
def test_calls_whose_pieces_are_mixed_are_no_answer(client: Dialect) -> None:
    """A client acts on a call where it ends: Codex and Claude Code ran the first without its arguments."""
    pieces = [
        call_piece(0, id="a", function={"name": "f", "arguments": ""}),
        call_piece(1, id="b", function={"name": "g", "arguments": ""}),
        call_piece(0, function={"arguments": '{"x": 1}'}),
        b"data: [DONE]\n\n",
    ]

    _, chunks = run(codec(client, "openai").stream(OPTIONS), pieces)

    assert [chunk.failure.kind for chunk in chunks if chunk.failure is not None] == [Failed.BROKEN]


def test_calls_without_an_id_get_one_that_no_other_answer_has() -> None:
    """An id that a conversation has twice is refused by Anthropic, and tells no result from another elsewhere."""
    pieces = [call_piece(0, function={"name": "f", "arguments": "{}"}), b"data: [DONE]\n\n"]

    out, _ = run(codec("anthropic", "openai").collect(OPTIONS), pieces)

    assert json.loads(out)["content"][0]["id"] == "call_1_0"
