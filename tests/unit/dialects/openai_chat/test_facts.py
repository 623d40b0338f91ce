"""Reading the facts of an OpenAI chat request."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.facts import read, read_each
from gridtie.dialects.openai_chat.numbers import NUMBERS
from gridtie.dialects.types import InvalidRequest

LEAST = b'{"model":"m","messages":[]}'
USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"image_url": {}}}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 300_000}}


def facts(**fields: Any) -> Facts:
    return read(json.dumps({"model": "coder", "messages": [USER]} | fields).encode())


def wrong(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        read(body)
    return raised.value


def test_the_least_request() -> None:
    """Two letters of text, and nothing asked for."""
    found = facts()

    assert (found.model, found.stream, found.messages, found.text_bytes) == ("coder", False, 1, 2)
    assert (found.max_output, found.choices, found.needs, found.extras) == (None, 1, frozenset(), frozenset())
    assert found.fields.keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 7),
        ({"max_tokens": None}, None),
        ({"max_tokens": 100.0}, 100),
        ({"max_tokens": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_the_limit_is_the_largest_that_is_named(fields: dict[str, object], limit: int | None) -> None:
    """Upstream may go by either, so what can be billed is the larger."""
    assert facts(**fields).max_output == limit


def test_a_whole_number_is_written_as_one() -> None:
    """Some languages know no integers; typed servers do."""
    assert bytes(facts(max_tokens=100.0).fields["max_tokens"]) == b"100"


NOT_A_LIMIT = ["-1000000", "-1", "0", "100.5", "true", '"100"', "[]", "{}", "1e400", "9" * 400, "-0", "2147483648"]


@pytest.mark.parametrize("name", sorted(NUMBERS))
@pytest.mark.parametrize("value", ["true", '"1"', "[1]", "{}", "1e400", "9" * 400, "-" + "9" * 400, "-9e99"])
def test_a_number_that_is_none_is_refused_by_its_name(name: str, value: str) -> None:
    """Whatever stands there, the field is named, and a long number is not repeated."""
    error = wrong(f'{{"messages":[],"{name}":{value}}}'.encode())

    assert error.path == name
    assert "from" in error.wanted
    assert len(str(error)) < 200


@pytest.mark.parametrize("value", NOT_A_LIMIT)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_is_a_positive_integer(name: str, value: str) -> None:
    """A negative one would give a spent budget credit."""
    assert wrong(f'{{"messages":[],"{name}":{value}}}'.encode()).path == name


@pytest.mark.parametrize("value", ["0", "-1", "129", "1000", "1.5"])
def test_choices_are_1_to_128(value: str) -> None:
    """Each answer is billed."""
    assert wrong(f'{{"messages":[],"n":{value}}}'.encode()).path == "n"
    assert facts(n=128).choices == 128


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        (b"", "", "nothing"),
        (b"[]", "", "a list"),
        (b'"x"', "", "a string"),
        (b"{", "", "no JSON"),
        (b'{"messages":[}', "", "no JSON"),
        (b'{"temperature":NaN}', "", "no JSON"),
        (b'{"temperature":Infinity}', "", "no JSON"),
        ('{"messages":[]}'.encode("utf-16"), "", "UTF-16"),
        ('{"messages":[]}'.encode("utf-16-le"), "", "UTF-16"),
        (b'{"a":' + b"[" * 100_000, "", "nested too deep"),
        (b'{"model":5}', "model", "a number"),
        (b'{"model":"\xff"}', "model", "no UTF-8"),
        (b'{"model":"' + b"x" * 257 + b'"}', "model", "257 characters"),
        (b'{"model":"' + b"x" * 7_500_000 + b'"}', "model", "7500002 bytes"),
        (b'{"model":"a\\u0000b"}', "model", "cannot be printed"),
        (b'{"model":"a\\nb"}', "model", "cannot be printed"),
        (b'{"stream":"yes"}', "stream", "a string"),
        (b'{"stream":1}', "stream", "a number"),
        (b'{"stream_options":true}', "stream_options", "true or false"),
        (b'{"stream_options":{"include_usage":"yes"}}', "stream_options", "a string"),
        (b'{"messages":"hi"}', "messages", "a string"),
        (b'{"messages":[{"role":"user","content":"hi"},"hi"]}', "messages[1]", "a string"),
        (b'{"messages":[{"role":"user","content":["hi"]},5]}', "messages[1]", "a number"),
        (b'{"messages":[{"content":["hi",{"type":5}]}]}', "messages[0].content[1].type", "a number"),
        (b'{"tools":{}}', "tools", "an object"),
        (b'{"tools":[5]}', "tools", "a number"),
        (b'{"response_format":"json"}', "response_format", "a string"),
        (b'{"service_tier":5}', "service_tier", "a number"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(body: bytes, path: str, found: str) -> None:
    """Where, what was found, and what would be right."""
    error = wrong(body)

    assert error.path == path
    assert found in error.found
    assert error.wanted


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"SECRET"},"SECRET"]}',
        b'{"messages":"SECRET"}',
        b'{"model":"SECRET\\n' + b"x" * 300 + b'"}',
        b'{"max_tokens":"SECRET"}',
        b'{"messages":[{"role":"user","content":"SECRET"}',
        b'{"response_format":["SECRET"]}',
        b'{"SECRET":tru}',
    ],
)
def test_an_error_quotes_nothing(body: bytes) -> None:
    """Errors are stored, prompts are not."""
    assert "SECRET" not in str(wrong(body))


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"model":"m","messages":[]}', bytearray(b'{"model":"m","messages":[]}')]
)
def test_a_byte_order_mark_and_a_buffer_are_taken(body: bytes | bytearray) -> None:
    """Windows' editors and PowerShell write the mark; a body that comes in pieces is read into a buffer."""
    assert read(body).model == "m"


def test_a_doubled_key_is_one() -> None:
    """The last counts, for us as for whoever gets the rewritten body."""
    found = read(b'{"max_tokens":5,"model":"a","messages":[],"mod\\u0065l":"b","max_tokens":9}')

    assert (found.model, found.max_output, sorted(found.fields)) == ("b", 9, ["max_tokens", "messages", "model"])


def test_a_picture_is_no_text() -> None:
    """300 KB of base64 are one picture, and the words beside it are the text."""
    found = facts(messages=[{"role": "user", "content": [{"type": "text", "text": "what?"}, PICTURE]}])

    assert (found.images, found.text_bytes, found.needs) == (1, 5, {"vision"})
    assert found.image_bytes > 300_000


def test_a_parameter_called_image_url_is_no_picture() -> None:
    """Needs come from what the request says, not from its bytes."""
    found = facts(
        tools=[TOOL], messages=[{"role": "user", "content": 'an "image_url", in words: {"type":"image_url"}'}]
    )

    assert (found.needs, found.images) == ({"tools"}, 0)


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": None}, set()),
        ({"tools": [TOOL], "tool_choice": "none"}, set()),
        ({"tool_choice": "none", "tools": [TOOL]}, set()),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"functions": [{"name": "f"}], "function_call": "none"}, set()),
        ({"response_format": {"type": "json_object"}}, {"json"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, {"json", "tools"}),
    ],
)
def test_needs(fields: dict[str, object], needs: set[str]) -> None:
    """What the target has to be able to do."""
    assert facts(**fields).needs == needs


@pytest.mark.parametrize(
    ("fields", "extras"),
    [
        ({"web_search_options": {}}, {"web_search_options"}),
        ({"service_tier": "priority"}, {"service_tier"}),
        ({"service_tier": "flex"}, set()),
        ({"modalities": ["text"]}, set()),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, {"audio"}),
        ({"tools": [TOOL, {"type": "web_search"}]}, {"server-side tools"}),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, set()),
        ({"models": ["a", "b"]}, {"models"}),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA"}}]}]},
         {"input_audio"}),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, {"file"}),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, {"content parts of an unknown type"}),
    ],
)  # fmt: skip
def test_what_is_billed_apart(fields: dict[str, object], extras: set[str]) -> None:
    """Nobody can say beforehand what these cost."""
    assert facts(**fields).extras == extras


def test_a_type_that_is_spelled_with_escapes_is_the_same_type() -> None:
    """However a client writes it, audio is audio."""
    body = rb'{"messages":[{"role":"user","content":[{"type":"input\u005faudio","input_audio":{}}]}]}'

    assert read(body).extras == {"input_audio"}


def test_all_text_counts() -> None:
    """Names, calls, reasoning, tools, schemas and a prediction are billed as input too."""
    bare = facts().text_bytes
    for fields in (
        {"tools": [TOOL]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"description": "d" * 50}}}},
        {"prediction": {"type": "content", "content": "p" * 50}},
        {"functions": [{"name": "f" * 50}]},
        {"messages": [USER | {"name": "n" * 200}]},
        {"messages": [USER, {"role": "assistant", "reasoning_content": "r" * 200}]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"function": {"arguments": "a" * 200}}]}]},
        {"messages": [USER | {"unheard_of": "u" * 200}]},
    ):
        assert facts(**fields).text_bytes >= bare + 50, fields


def test_a_text_behind_a_doubled_key_counts() -> None:
    """Whichever of the two upstream reads, it bills it."""
    body = b'{"messages":[{"role":"user","content":"' + b"x" * 10_000 + b'","content":"y"}]}'

    assert read(body).text_bytes > 9_800


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"extra_headers": {"x-gridtie-tags": "private"}}, "extra_headers.x-gridtie-tags"),
        ({"extra_headers": {"Accept": "*/*", "X_GridTie_Agent": "a"}}, "extra_headers.X_GridTie_Agent"),
        ({"extra_headers": [["x-gridtie-tags", "private"]]}, "extra_headers"),
        ({"extra_headers": "x-gridtie-tags: private"}, "extra_headers"),
        ({"headers": {"x-gridtie-tags": "private"}}, "headers.x-gridtie-tags"),
        ({"default_headers": {"x-gridtie-tags": "private"}}, "default_headers.x-gridtie-tags"),
        ({"extra_body": {"x-gridtie-tags": "private"}}, "extra_body.x-gridtie-tags"),
        ({"extra_body": {"extra_headers": {"x-gridtie-tags": "p"}}}, "extra_body.extra_headers.x-gridtie-tags"),
        ({"x-gridtie-tags": "private"}, "x-gridtie-tags"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_instruction_that_stands_in_the_body_is_no_instruction_and_told(fields: dict[str, Any], path: str) -> None:
    """What is passed over may be what keeps a prompt here."""
    error = wrong(json.dumps({"model": "m", "messages": [USER], **fields}).encode())

    assert error.path == path
    assert "send it as a header" in str(error)
    assert "private" not in str(error)


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"x-gridtie-tags": "private", "gridtie": "yes"}},
        {"extra_headers": {"User-Agent": "gridtie-client"}},
        {"extra_headers": None},
        {"extra_body": {"top_k": 5, "metadata": {"gridtie": "yes"}}},
        {"extra_body": 3},
    ],
)
def test_what_only_mentions_the_router_passes(fields: dict[str, Any]) -> None:
    assert facts(**fields).fields.keys() == {"model", "messages", *fields}


def test_marks_for_a_prompt_cache_are_noticed() -> None:
    """Writing a cache costs more than reading a prompt."""
    mark = {"cache_control": {"type": "ephemeral"}}

    assert not facts().caches
    assert facts(messages=[USER | mark, {"role": "user", "content": []}]).caches
    assert facts(messages=[{"role": "user", "content": [{"type": "text", "text": "a"} | mark]}]).caches
    assert facts(tools=[TOOL | mark]).caches


@given(st.text(), st.lists(st.text(), max_size=4))
def test_text_is_measured_as_it_stands(first: str, others: list[str]) -> None:
    """As many bytes as its JSON has, whether it comes as one string, as parts, or among lists."""
    texts = [first, *others]
    size = sum(len(json.dumps(text)) - 2 for text in texts)
    plain = facts(messages=[{"role": "user", "content": text} for text in texts])
    parts = facts(messages=[{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}])

    assert (plain.text_bytes, parts.text_bytes) == (size, size)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    """Facts, or an error that says why not."""
    try:
        read(body)
    except InvalidRequest as error:
        assert str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KNOWN = [
    *NUMBERS,
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "functions",
    "response_format",
    "modalities",
]


finite = st.floats(allow_nan=False, allow_infinity=False)
odd_texts = st.none() | st.text() | st.text(min_size=100, max_size=300)
plain_messages = st.fixed_dictionaries(
    {"role": st.text(max_size=9)},
    optional={"content": odd_texts, "name": odd_texts, "cache_control": st.none() | st.just({})},
)
plain_bodies = st.fixed_dictionaries(
    {"messages": st.lists(plain_messages, max_size=4)},
    optional={
        "model": st.none() | st.text(),
        "stream": st.none() | st.booleans(),
        "n": st.none() | st.integers(-1, 130),
        "max_tokens": st.none() | st.integers() | finite,
        "max_completion_tokens": st.integers(1, 9),
        "temperature": finite,
        "stream_options": st.none() | st.just({"include_usage": True}),
        "user": st.text(),
    },
)


@given(plain_bodies)
def test_the_short_way_and_the_long_one_agree(fields: dict[str, object]) -> None:
    """Most bodies are read in fewer steps, to the same facts."""
    body = json.dumps(fields).encode()
    try:
        found = read(body)
    except InvalidRequest as error:
        with pytest.raises(InvalidRequest, match=re.escape(str(error))):
            read_each(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    else:
        assert found == read_each(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))


@given(st.dictionaries(st.sampled_from(KNOWN), json_values))
def test_no_value_of_a_known_field_breaks_the_reader(fields: dict[str, object]) -> None:
    """Whatever stands in it: facts within their bounds, or an error that names the field."""
    try:
        found = read(json.dumps(fields).encode())
    except InvalidRequest as error:
        assert error.path.split("[")[0].split(".")[0] in {"", *fields}
    else:
        assert 1 <= found.choices <= 128
        assert found.max_output is None or 1 <= found.max_output < 2**31
        assert found.text_bytes >= 0
