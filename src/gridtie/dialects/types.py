"""What crosses between a dialect codec and the executor; pure data, no I/O."""

from __future__ import annotations

from enum import Enum
from typing import Literal, Protocol

import msgspec

Dialect = Literal["openai", "anthropic", "ollama"]


class Failed(Enum):
    """What went wrong upstream, in the terms that decide what happens next."""

    UNREACHABLE = "unreachable"  # connect, DNS, TLS, reset before content: next attempt
    TIMEOUT = "timeout"  # one of the four time-outs: next attempt
    BUSY = "busy"  # 429, 503, 529: next attempt, Retry-After obeyed
    BROKEN = "broken"  # 5xx, EOF before content, an error inside a 200 stream: next attempt
    AUTH = "auth"  # 401, 403: next attempt, alert, no backoff helps
    MODEL_MISSING = "model_missing"  # re-route
    CONTEXT = "context"  # the prompt does not fit this target: re-route to a larger one
    CAPABILITY = "capability"  # tools, images, ... that this target cannot do: re-route
    INVALID = "invalid"  # the client's own fault (400, 404, 422): final, passed on


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    kind: Failed
    message: str
    status: int | None = None
    retry_after: float | None = None
    # With CONTEXT, where upstream said so.
    prompt_tokens: int | None = None
    context: int | None = None
    # With INVALID: upstream's own body, for the client, if it speaks the client's dialect.
    body: bytes | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one answer. `input` counts all prompt tokens, `cached` those of them read from a cache."""

    input: int
    output: int
    cached: int = 0
    # Of `input`, those written to a provider's prompt cache, where it bills them apart.
    cache_write: int = 0
    # Of `output`, those spent on reasoning, where the provider says so.
    reasoning: int = 0
    estimated: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream request, ready to be written; `path` is relative to the target's base URL."""

    path: str
    body: bytes
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()


class Chunk(msgspec.Struct):
    """What one read from upstream came to, for the client.

    `out` is in the client's dialect and may be empty. `content` is true once text, reasoning, a
    refusal or a tool delta is among it, or a clean finish: that is what commits the answer.
    """

    out: bytes = b""
    frames: int = 0
    content: bool = False
    done: bool = False
    usage: Usage | None = None
    failure: Failure | None = None


class Whole(msgspec.Struct):
    """A whole, unstreamed answer in the client's dialect."""

    body: bytes
    usage: Usage | None = None
    failure: Failure | None = None


class StreamDecoder(Protocol):
    """State of one streamed answer; one per attempt."""

    def feed(self, data: bytes) -> Chunk:
        """Take the next bytes of the upstream body, however they are cut."""
        ...

    def eof(self) -> Chunk:
        """Upstream ended: `failure` is set unless the dialect's own end was seen.

        `usage` is always set, as an estimate where upstream did not report it. So a caller that gives up on
        an answer (the client left, a time-out) calls this too, for what has to be metered, and drops the rest.
        """
        ...


class Codec(Protocol):
    """Between one client dialect and one target dialect."""

    def call(self, body: bytes, model: str, *, stream: bool, include_usage: bool) -> Call:
        """The upstream request for a client's body. Raises `Untranslatable`.

        `include_usage`: ask upstream for usage in a stream (false where an endpoint rejects the option).
        """
        ...

    def stream(self, *, client_wants_usage: bool, prompt_estimate: int, created: int = 0) -> StreamDecoder:
        """A decoder for one answer. `created`: Unix time, for dialects whose answers carry no time."""
        ...

    def whole(self, body: bytes, *, prompt_estimate: int, created: int = 0) -> Whole:
        """A 2xx body. A failure inside it (Ollama, some proxies) is in `Whole.failure`; else `usage` is set."""
        ...

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        """Classify a non-2xx answer; header names in lower case."""
        ...


class Untranslatable(ValueError):
    """The body asks for something the target's dialect cannot say; `needs` names the capability.

    With an empty `needs` the body itself is wrong, and wrong everywhere: the client's own fault.
    """

    def __init__(self, what: str, needs: str = "") -> None:
        super().__init__(what)
        self.needs = needs
