"""Everything that reads what others wrote, with inputs of any kind, cut at every byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.wire import WIRES, Wire
from fuzz import corpus, targets
from fuzz.__main__ import BATCH, Failures, run_batch
from fuzz.strategies import EXAMPLES, INPUTS, arriving, bounded, cut_anywhere
from fuzz.targets import TARGETS

# A YAML parser in Python takes some milliseconds for a file.
_SLOW = {"routing file": 20}


@pytest.mark.parametrize("name", TARGETS)
def test_ten_thousand_inputs_are_read_in_a_documented_way_however_they_arrive(name: str) -> None:
    """The first inputs of `make fuzz` with the seed 1; each kind of failure is told with an input that is at fault."""
    failures = Failures("1", keep_going=True)
    for batch in range(max(1, INPUTS // BATCH // _SLOW.get(name, 1))):
        run_batch(TARGETS[name], "1", batch, failures)

    assert not failures.kinds


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_read_in_a_documented_way_however_it_arrives(name: str) -> None:
    """Fewer inputs, and of one that is at fault the smallest."""
    target = TARGETS[name]

    @bounded(EXAMPLES)
    @given(arriving(target))
    def holds(pieces: list[bytes]) -> None:
        target.check(pieces)

    holds()


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_stream_cut_at_each_of_its_bytes_in_turn_says_the_same(wire: Wire) -> None:
    """Two pieces, for every place where a stream of the corpus can be cut."""
    check = getattr(targets, f"{wire.name}_stream")
    for stream in corpus.STREAMS[wire.name]:
        for place in range(1, len(stream)):
            check([stream[:place], stream[place:]])


@bounded(EXAMPLES)
@given(
    cut_anywhere(
        st.tuples(
            st.lists(
                st.one_of(
                    st.text(max_size=20).map(lambda text: WIRES[0].content(text)),
                    st.sampled_from([WIRES[0].ping(), WIRES[0].role(), b"\n", b"event: message\n", b"id: 7\n"]),
                ),
                max_size=8,
            ).map(b"".join),
            st.sampled_from([WIRES[0].finish(), WIRES[0].finish("none"), b"", WIRES[0].error_event()]),
            st.sampled_from([WIRES[0].end(), b"data: [DONE]", b""]),
        ).map(b"".join)
    )
)
def test_a_sound_openai_stream_says_the_same_however_it_arrives(pieces: list[bytes]) -> None:
    targets.sound_openai_stream(pieces)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    [
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "stop", "seed"),
        *("temperature", "tools", "tool_choice", "response_format", "user", "metadata", "logit_bias", "prediction"),
        *("web_search_options", "service_tier", "modalities", "audio", "parallel_tool_calls", "keep_alive"),
    ]
)


@bounded(EXAMPLES)
@given(st.dictionaries(_FIELDS, _JSON, max_size=6), st.booleans())
def test_a_field_of_any_type_is_refused_in_a_documented_way_or_translated(
    fields: dict[str, object], chat: bool
) -> None:
    """JSON of any shape under every name that means something."""
    base = {"model": "coder", "messages": [{"role": "user", "content": "hi"}]} if chat else {}
    targets.bodies([json.dumps({**base, **fields}).encode()])


# Where a body of any dialect can hold something, with what makes it be read further.
_TYPES = (
    *("text", "image", "image_url", "tool_use", "tool_result", "thinking", "input_text", "input_image"),
    *("function", "function_call", "function_call_output", "reasoning", "message", "namespace", "odd"),
)
_IN_A_PART = (
    *("text", "content", "source", "image_url", "input", "id", "name", "thinking", "signature", "role", "tools"),
    *("arguments", "output", "summary", "function", "tool_use_id", "call_id", "input_schema", "cache_control"),
)
_PARTS = st.fixed_dictionaries({"type": st.sampled_from(_TYPES)}, optional=dict.fromkeys(_IN_A_PART, _JSON))
_MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool", "robot"]),
        "content": st.one_of(_JSON, st.lists(_PARTS, max_size=3)),
    },
    optional={
        name: st.one_of(_JSON, st.lists(_PARTS, max_size=2))
        for name in ("tool_calls", "images", "tool_call_id", "tool_name", "thinking", "name", "odd")
    },
)
_ANY_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "model",
                "stream",
                "max_tokens",
                "max_output_tokens",
                "tools",
                "tool_choice",
                "format",
                "text",
                "options",
            ),
            *("system", "instructions", "suffix", "raw", "images", "n", "best_of", "stop", "stop_sequences", "think"),
            *("thinking", "output_config", "dimensions", "encoding_format", "context", "template", "odd", "reasoning"),
            *("options", "metadata"),
        ]
    ),
    st.one_of(_JSON, st.lists(_PARTS, max_size=2)),
    max_size=4,
)


@pytest.mark.parametrize("reader", targets.READERS)
def test_a_body_of_any_shape_is_refused_in_a_documented_way_or_translated(reader: str) -> None:
    """Of every surface's clients, for every kind of target."""
    holder = "input" if reader in ("responses", "embeddings", "ollama embed") else "messages"
    holder = "prompt" if reader in ("completions", "ollama generate", "ollama embeddings") else holder

    @bounded(max(1, EXAMPLES // 5))
    @given(st.one_of(_JSON, st.lists(st.one_of(_MESSAGE, _PARTS), max_size=3)), _ANY_FIELDS)
    def holds(said: object, fields: dict[str, object]) -> None:
        targets.any_body(reader, json.dumps({"model": "coder", holder: said} | fields).encode())

    holds()
