"""Ollama's refusals, in the words of v0.32.15."""

from __future__ import annotations

import json

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import Failed

CODEC = codec("openai", "ollama")

CONTEXT = {
    "error": {
        "code": 400,
        "message": "request (9083 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9083,
        "n_ctx": 4096,
    }
}


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, json.dumps(CONTEXT), Failed.CONTEXT),
        (400, json.dumps(CONTEXT) + "\nsrv send_error: task id = 0", Failed.CONTEXT),
        (500, json.dumps(CONTEXT), Failed.CONTEXT),
        (500, "the input length exceeds the context length", Failed.CONTEXT),
        (413, "the input length exceeds maximum context length", Failed.CONTEXT),
        (404, "model 'x' not found", Failed.MODEL_MISSING),
        (404, 'model "x" not found, try pulling it first', Failed.MODEL_MISSING),
        (400, '"smollm2:135m" does not support tools', Failed.CAPABILITY),
        (400, "registry.ollama.ai/library/smollm2:135m does not support tools", Failed.CAPABILITY),
        (400, '"x" does not support thinking', Failed.CAPABILITY),
        (500, json.dumps({"error": {"code": 500, "message": "image input is not supported", "type": "server_error"}}),
         Failed.CAPABILITY),
        (400, json.dumps({"error": {"code": 400, "message": "failed to parse grammar", "type": "invalid_request"}}),
         Failed.CAPABILITY),
        # llama.cpp of 2026.
        (400, "Unable to generate parser for this template. Automatic parser generation failed: \n"
         "JSON schema error at #: cannot resolve $ref #/nowhere, nowhere not found", Failed.CAPABILITY),
        (503, "server busy, please try again.  maximum pending requests exceeded", Failed.BUSY),
        (403, "ollama cloud is disabled: remote inference is unavailable", Failed.AUTH),
        (500, "llama runner process has terminated: exit status 2", Failed.BROKEN),
        (500, "model requires more system memory (9.1 GiB) than is available (3.2 GiB)", Failed.BROKEN),
        (400, "invalid image", Failed.INVALID),
        (400, "", Failed.INVALID),
    ],
)  # fmt: skip
def test_kind(status: int, text: str, kind: Failed) -> None:
    """A refusal is classified by what Ollama, or the llama-server inside it, says."""
    failure = CODEC.failure(status, {}, json.dumps({"error": text}).encode())

    assert (failure.kind, failure.status) == (kind, status)
    assert failure.message
    assert "{" not in failure.message


def test_context_counts() -> None:
    """A chat that does not fit comes with both numbers, out of the JSON inside the text."""
    failure = CODEC.failure(400, {}, json.dumps({"error": json.dumps(CONTEXT)}).encode())

    assert (failure.prompt_tokens, failure.context) == (9083, 4096)
    assert failure.message.endswith("the prompt has 9083 tokens, and 4096 fit")
    assert failure.detail.startswith("request (9083 tokens)")


def test_a_body_that_is_no_json() -> None:
    """A proxy's page in between is still told by its status."""
    assert CODEC.failure(502, {}, b"<html>bad gateway</html>").kind is Failed.BROKEN
