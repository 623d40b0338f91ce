"""What HTTP itself says about a refusal."""

from __future__ import annotations

import pytest

from gridtie.dialects.failures import by_status, context_counts, retry_after, says_unsupported
from gridtie.dialects.types import Failed

DATE = b"Sun, 22 Nov 2026 14:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"0.5"}, 0.5),
        ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, 1.5),
        ({b"retry-after": b"Sun, 22 Nov 2026 14:00:30 GMT", b"date": DATE}, 30.0),
        ({b"retry-after": b"Sun, 22 Nov 2026 13:00:00 GMT", b"date": DATE}, 0.0),
        ({b"retry-after": b"Sun, 22 Nov 2026 14:00:30 GMT"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"-3"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"\xff\xfe"}, None),
    ],
)
def test_retry_after(headers: dict[bytes, bytes], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are read; nonsense is no waiting time."""
    assert seconds == retry_after(headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Failed.INVALID),
        (401, Failed.AUTH),
        (403, Failed.AUTH),
        (404, Failed.MODEL_MISSING),
        (408, Failed.TIMEOUT),
        (413, Failed.CONTEXT),
        (422, Failed.INVALID),
        (429, Failed.BUSY),
        (500, Failed.BROKEN),
        (502, Failed.BROKEN),
        (503, Failed.BUSY),
        (529, Failed.BUSY),
        (302, Failed.BROKEN),
    ],
)
def test_by_status(status: int, kind: Failed) -> None:
    """Only a 4xx that says nothing more is the client's own fault."""
    assert kind is by_status(status)


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9083 tokens.",
            (9083, 8192),
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the"
            " messages, 1000 in the completion).",
            (5000, 4096),
        ),
        ("prompt is too long: 215104 tokens > 200000 maximum", (215104, 200000)),
        ("the prompt is too long", None),
    ],
)
def test_context_counts(message: str, counts: tuple[int, int] | None) -> None:
    """Token counts are read from the messages of OpenAI, vLLM and Anthropic."""
    assert counts == context_counts(message)


@pytest.mark.parametrize(
    ("message", "unsupported"),
    [
        ('"smollm2:135m" does not support tools', True),
        ("image input is not supported - hint: provide the mmproj", True),
        ("Unsupported value: 'temperature'", True),
        ("messages must not be empty", False),
    ],
)
def test_says_unsupported(message: str, unsupported: bool) -> None:
    """A gap of the model is told from a mistake of the client."""
    assert unsupported is says_unsupported(message)
