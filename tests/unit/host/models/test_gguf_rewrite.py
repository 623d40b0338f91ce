"""A GGUF under another header: what is changed is changed, all else stays byte by byte, by another reader's account."""

from __future__ import annotations

import contextlib
import io
import json
import struct
from pathlib import Path
from typing import Any

import gguf
import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.host.models.gguf_rewrite import RewriteError, rewrite
from gridtie.host.models.gguf_write import ARRAY, STRING, UINT32, Key
from gridtie.host.models.tools_model import CONTEXT, TEMPLATE, TRAINED, with_tools

WEIGHTS = {"a.weight": np.arange(96, dtype=np.float32).reshape(3, 32), "b.bias": np.arange(5, dtype=np.float32)}


def small(path: Path, alignment: int = 32) -> bytes:
    """A file with every kind of metadata."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    writer.add_context_length(TRAINED)
    writer.add_rope_freq_base(100000.0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list(["a", "b\u2581", ""])
    writer.add_token_scores([0.5, -1.0, 2.0])
    writer.add_array("general.nested", [[1, 2], [3]])
    for name, values in WEIGHTS.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def rewritten(content: bytes, *changes: Key) -> bytes:
    target = io.BytesIO()
    rewrite(io.BytesIO(content), target, changes)
    return target.getvalue()


def read(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata and tensors."""
    path.write_bytes(content)
    reader = gguf.GGUFReader(path)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return keys, {each.name: np.array(each.data) for each in reader.tensors}


@pytest.mark.parametrize("alignment", [32, 128])
def test_keys_are_replaced_and_added_and_all_else_stays(tmp_path: Path, alignment: int) -> None:
    content = small(tmp_path / "old.gguf", alignment)
    before, _ = read(tmp_path / "old.gguf", content)
    added = Key("x.list", ARRAY, ["one", "zwei\u00e9"], STRING)
    after, tensors = read(
        tmp_path / "new.gguf", rewritten(content, Key("llama.context_length", UINT32, CONTEXT), added)
    )

    assert after == {**before, "llama.context_length": CONTEXT, "x.list": ["one", "zwei\u00e9"]}
    for name, values in WEIGHTS.items():
        np.testing.assert_array_equal(tensors[name], values)


def test_without_a_change_it_is_the_same_file(tmp_path: Path) -> None:
    content = small(tmp_path / "old.gguf")

    assert rewritten(content) == content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cut short"),
        (b"ZIP!" + bytes(40), "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "1099511627776 keys"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 50), "claims more than"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"k", 77), "unknown kind 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sIIQ", 1, b"k", 9, 4, 1 << 60), "claims more than"),
    ],
    ids=["empty", "another format", "another version", "many keys", "long name", "odd kind", "long array"],
)
def test_what_is_no_such_file_is_refused_with_what_was_found(content: bytes, says: str) -> None:
    with pytest.raises(RewriteError, match=says):
        rewritten(content)


@given(cut=st.integers(0, 400), flip=st.integers(4, 400), value=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_copied_and_nothing_else_happens(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, value: int
) -> None:
    content = bytearray(small(tmp_path_factory.mktemp("gguf") / "old.gguf"))
    content[flip] = value
    with contextlib.suppress(RewriteError):
        rewritten(bytes(content[: len(content) - cut]))


def test_the_model_for_agents_protocols_says_32k_stretched_from_8k(tmp_path: Path) -> None:
    target = io.BytesIO()
    with_tools(io.BytesIO(small(tmp_path / "old.gguf")), target)
    keys, _ = read(tmp_path / "new.gguf", target.getvalue())

    assert (keys["llama.context_length"], keys["llama.rope.scaling.original_context_length"]) == (32768, 8192)
    assert (keys["llama.rope.scaling.type"], keys["llama.rope.scaling.factor"]) == ("yarn", 4.0)
    assert keys["tokenizer.chat_template"] == TEMPLATE


CALL = {"function": {"name": "read_file", "arguments": {"path": "a"}}}
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}]


def said(**given: Any) -> str:
    return jinja2.Environment(autoescape=False).from_string(TEMPLATE).render(add_generation_prompt=True, **given)


def test_its_template_shows_tools_calls_and_results() -> None:
    text = said(
        tools=TOOLS,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Read a."},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "hello"},
        ],
    )

    assert text.startswith("<|im_start|>system\nBe brief.\n\n")
    assert f"<tools>\n{json.dumps(TOOLS[0], sort_keys=True)}\n</tools>" in text
    assert '<tool_call>\n{"name": "read_file", "arguments": {"path": "a"}}\n</tool_call><|im_end|>\n' in text
    assert text.endswith("<tool_response>\nhello\n</tool_response><|im_end|>\n<|im_start|>assistant\n")


def test_without_tools_it_says_what_the_models_own_template_says() -> None:
    own = (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )

    assert said(messages=[{"role": "user", "content": "Hi"}]) == own
