"""What is kept of a client's request: everything but its texts."""

from __future__ import annotations

from clients.filler import filled, headers

ASKED = {
    "model": "coder",
    "messages": [
        {"role": "user", "content": "What is in a.txt, café?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.txt", "n": 5}'}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "private words"}]},
    ],
    "tools": [{"type": "function", "function": {
        "name": "read", "description": "Reads.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string", "description": "which"}},
                       "required": ["path"]},
    }}],
    "temperature": 0.5,
}  # fmt: skip


def test_texts_become_filler_of_their_length_and_everything_else_stays() -> None:
    found = filled(ASKED)
    asked, called, result = found["messages"]

    assert found["model"] == "MODEL"
    assert asked == {"role": "user", "content": "filler filler filler fil"}
    assert called["tool_calls"][0]["function"] == {"name": "read", "arguments": '{"path": "fille", "n": 5}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "filler filler"}]}
    function = found["tools"][0]["function"]
    assert function["description"] == "filler"
    assert function["parameters"]["required"] == ["path"]
    assert found["temperature"] == 0.5


def test_no_key_and_no_name_of_a_session_is_among_the_headers() -> None:
    sent = {"host": "h", "authorization": "Bearer gt-x", "x-session-id": "ses_1234", "accept": "*/*"}

    assert headers(sent) == {"authorization": "Bearer KEY", "x-session-id": "filler-f", "accept": "*/*"}
    assert headers({"x-api-key": "gt-x"}) == {"x-api-key": "KEY"}
