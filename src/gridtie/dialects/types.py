"""What crosses between a dialect's codec and the router; pure data, no I/O."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from gridtie.dialects.facts import Facts

# Wire formats. Of the first three clients and targets speak each, of the others clients alone.
Dialect = Literal[
    "openai",
    "anthropic",
    "ollama",
    "openai-completions",
    "openai-responses",
    "openai-embeddings",
    "openai-embeddings-base64",
    "ollama-generate",
    "ollama-fill",
    "ollama-embed",
    "ollama-embeddings",
]
# What rules and the ledger call those who ask: the family of the wire format.
Surface = Literal["openai", "anthropic", "ollama"]

# An answer that is collected, or read whole, ends as broken beyond this many bytes.
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class Failed(Enum):
    """What went wrong upstream, in the terms that decide what happens next."""

    UNREACHABLE = "unreachable"  # connect, DNS, TLS, reset before content: next attempt
    TIMEOUT = "timeout"  # one of the time-outs: next attempt
    BUSY = "busy"  # 429, 503, 529: next attempt, Retry-After obeyed
    BROKEN = "broken"  # 5xx, EOF before content, an error inside a 200 stream: next attempt
    AUTH = "auth"  # 401, 403: next attempt, alert, no backoff helps
    MODEL_MISSING = "model_missing"  # re-route
    CONTEXT = "context"  # the prompt does not fit this target: re-route to a larger one
    CAPABILITY = "capability"  # tools, images, ... that this target cannot do: re-route
    POLICY = "policy"  # a provider's moderation refuses the prompt: final, and no fault of the target
    INVALID = "invalid"  # the client's own fault (400, 404, 422): final, passed on


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt.

    `message` is in our words (status, error code, counts) and may be stored. `detail` is upstream's own text, which
    may quote the prompt or a key: it is for the client of this very request alone, never for a log or the ledger.
    """

    kind: Failed
    message: str
    detail: str = ""
    status: int | None = None
    # Seconds.
    retry_after: float | None = None
    # With CONTEXT, where upstream said so.
    prompt_tokens: int | None = None
    context: int | None = None
    # With CONTEXT: what would make room, for whoever runs the station.
    advice: str = ""
    # With INVALID: upstream's own body, for the client, if it speaks the client's dialect.
    body: bytes | None = None
    # Whether the router says so itself, where upstream gave no answer that could fail.
    ours: bool = False


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one answer. `input` counts all prompt tokens, `cached` those of them read from a cache."""

    input: int
    output: int
    cached: int = 0
    # Of `input`, those written to a provider's prompt cache, where it bills them apart.
    cache_write: int = 0
    # Of `output`, those spent on reasoning, where the provider says so.
    reasoning: int = 0
    # Whether any count is ours, because upstream's was missing or made no sense.
    estimated: bool = False


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request ready to be written; `path` is relative to the target's base URL."""

    path: str
    body: bytes
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()


class RequestOptions(msgspec.Struct, frozen=True):
    """How a request is put to its target, apart from what the client said."""

    stream: bool
    # Ask for usage in a stream; false where an endpoint rejects the option.
    include_usage: bool = True
    # Tokens, written under `limit_field` (or the target's own name) where the client named none.
    output_limit: int | None = None
    limit_field: str = "max_tokens"


class AnswerOptions(msgspec.Struct, frozen=True):
    """What an answer is read by, apart from its bytes; `facts.Facts` says the same of the client's wishes."""

    # Tokens of the prompt, where upstream does not count them.
    prompt_estimate: int
    # Unix time, for dialects whose answers carry none.
    created: int = 0
    # Whether a stream's usage goes on to the client.
    wants_usage: bool = False
    choices: int = 1
    # The client takes one call an answer; it is held here where the target cannot be told.
    one_tool_call: bool = False
    # The same of a call that is demanded: an answer without one is a failure, and nothing of it passes.
    must_call: bool = False
    # What the answer is called where it can be named later, whatever upstream calls it: the request's own id.
    name: str = ""
    # The answer that it goes on from, and whether it is kept itself.
    previous: str = ""
    keeps: bool = False


class Chunk(msgspec.Struct):
    """What one read from upstream came to, for the client.

    `out` is in the client's dialect and may be empty; comments and pings are never in it. `content` is true only
    where there is content: text, reasoning, a refusal, a tool delta or a finish. That is what commits an answer and
    what the clock between tokens goes by. `unread`: the bytes passed without being looked at, as nearly all do once
    an answer is committed; `StreamDecoder.says_something` tells afterwards whether there is content in them.
    `withheld`: there was content, which may not pass yet: it commits nothing, and the clock between tokens goes by it.
    `done`: the answer is whole, by the rules of its dialect, and `out` ends it for the client.
    """

    out: bytes = b""
    frames: int = 0
    content: bool = False
    done: bool = False
    usage: Usage | None = None
    failure: Failure | None = None
    unread: bool = False
    withheld: bool = False


class Whole(msgspec.Struct):
    """A whole, unstreamed answer in the client's dialect."""

    body: bytes
    usage: Usage | None = None
    failure: Failure | None = None


class StreamDecoder(Protocol):
    """State of one answer that upstream streams; one per attempt."""

    def feed(self, data: bytes) -> Chunk:
        """Take the next bytes of the upstream body, however they are cut. Nothing comes after `done`."""
        ...

    def eof(self) -> Chunk:
        """Upstream's bytes ended, however: `done` where the answer counts as whole, else `failure`.

        `usage` is always set, as an estimate where upstream did not report it.
        """
        ...

    def whole_at_end(self) -> bool:
        """Whether the answer would count as whole if the transport broke now: its finish was seen."""
        ...

    def says_something(self, data: bytes) -> bool:
        """Whether there is content in bytes that passed `unread`."""
        ...

    def held(self) -> int:
        """Bytes that are kept until an event, a line or the answer is whole."""
        ...

    def usage(self) -> Usage:
        """What the answer came to so far, as an estimate where upstream did not report it.

        For a caller that gives up on it (the client left, a time-out): nothing of what is kept is read for that.
        """
        ...


class Codec(Protocol):
    """Between one client dialect and one target dialect.

    Where it `translates`, the target is always asked to stream; `collect` makes a whole answer of that for a client
    that wants one. Where it does not, the bytes of a whole answer pass, and `whole` reads what must be known.
    """

    translates: bool

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        """The upstream request. Raises `Untranslatable`."""
        ...

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        """A decoder for one streamed answer."""
        ...

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        """As `stream`, for a client that wants a whole answer: `out` is empty until `done`, and then that answer."""
        ...

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        """A 2xx body. A failure inside it is in `Whole.failure`; else `usage` is set."""
        ...

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        """Classify a non-2xx answer; header names in lower case. Never raises, whatever the status."""
        ...


class Untranslatable(ValueError):
    """The body asks for something the target's dialect cannot say; `needs` names the capability.

    With an empty `needs` the body itself is wrong, and wrong everywhere: the client's own fault.
    """

    def __init__(self, what: str, needs: str = "") -> None:
        super().__init__(what)
        self.needs = needs


class InvalidRequest(ValueError):
    """A body that is wrong whoever should answer it: where (a path like `messages[2].content`), what and how right.

    None of the three quotes more of the body than a short number.
    """

    def __init__(self, path: str, found: str, wanted: str) -> None:
        super().__init__(f"{path or 'the body'}: found {found}, wanted {wanted}")
        self.path = path
        self.found = found
        self.wanted = wanted
