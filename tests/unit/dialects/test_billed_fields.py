"""Fields that a host may bill otherwise, on every surface whose bytes may pass to one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from gridtie.dialects.anthropic.facts import read as read_messages
from gridtie.dialects.embeddings.facts import read_openai as read_embeddings
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.facts import read as read_chat
from gridtie.dialects.openai_completions.facts import read as read_completion

READERS = {"chat": read_chat, "completion": read_completion, "embeddings": read_embeddings, "messages": read_messages}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("models", ["dearer"]),
        ("provider", {"order": ["x"]}),
        ("plugins", [{"id": "web"}]),
        ("service_tier", "priority"),
    ],
)
def test_what_a_host_bills_otherwise_is_known(read: Callable[[bytes], Facts], field: str, value: object) -> None:
    """A budget refuses it in a chat; through another surface it passed."""
    facts = read(json.dumps({"model": "m", "input": "x", "prompt": "x", field: value}).encode())

    assert facts.extras == {field}
