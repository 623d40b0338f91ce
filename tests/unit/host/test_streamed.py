"""A streamed answer reaches the terminal piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gridtie.host.router import Declined, Unreachable
from gridtie.host.streamed import chat
from standins.httpd import Httpd, serving

ASKED = [{"role": "user", "content": "Hello?"}]
STREAM = (
    b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n'
    b': a comment\n\ndata: {"choices": [{"index": 0, "delta": {"content": "Gu"}}]}\n\n'
    b'data: {"choices": [{"index": 0, "delta": {"content": "ten Tag"}}]}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\ndata: [DONE]\n\n'
)


@pytest.fixture
def router() -> Iterator[Httpd]:
    with serving() as server:
        yield server


def test_its_text_is_what_was_streamed(router: Httpd) -> None:
    router.answers["/v1/chat/completions"] = (200, STREAM)

    assert list(chat(router.url, "gt-key", "coder", ASKED)) == ["Gu", "ten Tag"]
    assert router.asked[0].body == {"model": "coder", "stream": True, "messages": ASKED}
    assert router.asked[0].headers["authorization"] == "Bearer gt-key"


def test_a_refusal_is_the_routers_sentence(router: Httpd) -> None:
    router.answers["/v1/chat/completions"] = (404, {"error": {"code": "model_not_found", "message": "there is none"}})

    with pytest.raises(Declined, match="there is none"):
        list(chat(router.url, "gt-key", "coder", ASKED))


def test_an_error_within_the_stream_ends_it(router: Httpd) -> None:
    broken = STREAM.partition(b'data: {"choices": [], "usage"')[0] + b'data: {"error": {"message": "cut off"}}\n\n'
    router.answers["/v1/chat/completions"] = (200, broken)
    answer = chat(router.url, "gt-key", "coder", ASKED)

    assert [next(answer), next(answer)] == ["Gu", "ten Tag"]
    with pytest.raises(Declined, match="cut off"):
        next(answer)


def test_nobody_there_is_said() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        list(chat("http://127.0.0.1:9", "gt-key", "coder", ASKED))
