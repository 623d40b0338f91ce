"""What tells the requests of one session, in every dialect that conversations come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

from gridtie.dialects import session
from gridtie.dialects.anthropic.facts import read as read_anthropic
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.facts import read_chat
from gridtie.dialects.openai_chat.facts import read as read_chat_completion
from gridtie.dialects.openai_completions.facts import read as read_completion
from gridtie.dialects.openai_responses.facts import read as read_response

Read = Callable[[bytes], Facts]


def facts(read: Read, **fields: Any) -> Facts:
    return read(json.dumps({"model": "coder"} | fields).encode())


def user(text: str) -> dict[str, object]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, object]:
    return {"role": "assistant", "content": text}


CLAUDE_CODE = "user_ab12_account__session_0f6e"


@pytest.mark.parametrize(
    ("read", "fields", "name"),
    [
        (read_chat_completion, {"prompt_cache_key": "s-1"}, "s-1"),
        (read_response, {"prompt_cache_key": "s-1"}, "s-1"),
        (read_anthropic, {"metadata": {"user_id": CLAUDE_CODE}}, CLAUDE_CODE),
        (read_anthropic, {"metadata": {"user_id": '{"session_id":"0f6e"}'}}, '{"session_id":"0f6e"}'),
        # A user has many sessions, and each its own prefix.
        (read_anthropic, {"metadata": {"user_id": "anna"}}, ""),
        (read_anthropic, {}, ""),
        (read_chat_completion, {"metadata": {"user_id": CLAUDE_CODE}}, ""),
        (read_chat_completion, {"prompt_cache_key": None}, ""),
        (read_chat_completion, {"prompt_cache_key": 7}, ""),
        (read_anthropic, {"metadata": {"user_id": 7}}, ""),
        (read_anthropic, {"metadata": ["session"]}, ""),
    ],
)
def test_a_body_names_its_session_in_its_dialects_own_way(read: Read, fields: dict[str, Any], name: str) -> None:
    assert session.named(facts(read, **fields)) == name


MARKED = {"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral"}}
PLAIN = {"type": "text", "text": "Fix it."}

TURNS = {
    "openai": (
        facts(read_chat_completion, messages=[{"role": "system", "content": "S"}, user("Fix it.")]),
        facts(
            read_chat_completion,
            messages=[{"role": "system", "content": "S"}, user("Fix it."), assistant("Done."), user("And that.")],
        ),
    ),
    "anthropic, its marks moved": (
        facts(read_anthropic, system="S", messages=[{"role": "user", "content": [MARKED]}]),
        facts(
            read_anthropic,
            system="S",
            messages=[{"role": "user", "content": [PLAIN]}, assistant("Done."), {"role": "user", "content": [MARKED]}],
        ),
    ),
    "ollama": (
        facts(read_chat, messages=[user("Fix it.")]),
        facts(read_chat, messages=[user("Fix it."), assistant("Done."), user("And that.")]),
    ),
    "responses": (
        facts(read_response, instructions="S", input=[user("Fix it.")]),
        facts(read_response, instructions="S", input=[user("Fix it."), assistant("Done."), user("And that.")]),
    ),
}


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
def test_a_later_turn_begins_as_the_first_did(turns: tuple[Facts, Facts]) -> None:
    first, later = map(session.opening, turns)

    assert first and first == later


@pytest.mark.parametrize("name", TURNS)
def test_another_conversation_begins_otherwise(name: str) -> None:
    """Also one that says the same under other instructions: its prefix is another."""
    openings = {
        session.opening(facts(read_chat_completion, messages=[user("Fix it.")])),
        session.opening(facts(read_chat_completion, messages=[user("Fix that.")])),
        session.opening(facts(read_anthropic, system="T", messages=[{"role": "user", "content": [PLAIN]}])),
        session.opening(TURNS[name][0]) + name.encode(),
    }

    assert len(openings) == 4


def test_a_text_is_the_same_conversation_as_a_response_without_items() -> None:
    """OpenAI's responses take either."""
    assert session.opening(facts(read_response, input="Hello")) == b'"Hello"'


@pytest.mark.parametrize(
    "odd",
    [
        facts(read_completion, prompt="def add("),
        facts(read_chat_completion),
        Facts(fields={}, dialect="ollama-generate"),
        facts(read_response),
        facts(read_chat, messages=[]),
        facts(read_chat_completion, messages=[{"role": "user", "content": None}]),
    ],
)
def test_what_is_no_conversation_has_no_session(odd: Facts) -> None:
    assert (session.named(odd), session.opening(odd)) == ("", b"")


def test_of_a_beginning_without_end_so_much_is_looked_at() -> None:
    found = session.opening(facts(read_chat_completion, messages=[user("x" * 1_000_000)]))

    assert len(found) == 65_536


@pytest.mark.parametrize("role", ["system", "user"])
def test_a_beginning_of_very_many_instructions_is_looked_at_no_further_than_counts(role: str) -> None:
    """Every other request waits as long as one is looked at: megabytes of instructions must not cost minutes."""
    many = [{"role": "system", "content": "a" * 30}] * 30_000 + [{"role": role, "content": "b"}]
    found = facts(read_chat_completion, messages=many)

    began = process_time()
    assert len(session.opening(found)) == 64 * 1024
    assert process_time() - began < 0.5
