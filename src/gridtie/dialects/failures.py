"""What an upstream's refusal means, as far as HTTP itself says it; dialects refine it by their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from gridtie.dialects.types import Failed

# What reading a peer's JSON may raise: not JSON or of another shape, not UTF-8, nested beyond all reason.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# A message for people, from a peer of any size: enough to see the cause, bounded for logs and headers.
MAX_MESSAGE = 2000

_BY_STATUS = {
    401: Failed.AUTH,
    402: Failed.AUTH,  # billing: like a wrong key, only the operator can help
    403: Failed.AUTH,
    # The router chose both path and model, so a 404 is never the client's doing.
    404: Failed.MODEL_MISSING,
    408: Failed.TIMEOUT,
    413: Failed.CONTEXT,
    429: Failed.BUSY,
    501: Failed.CAPABILITY,
    503: Failed.BUSY,
    504: Failed.TIMEOUT,
    529: Failed.BUSY,  # Anthropic's own: overloaded
    # Not in the registry. Rate limits at some hosts; the rest are proxies' about themselves or a departed peer.
    420: Failed.BUSY,
    430: Failed.BUSY,
    **dict.fromkeys((407, 421, 425, 440, 444, 460, 463, *range(494, 500)), Failed.BROKEN),
}

# vLLM's about tools without a parser, and about pictures. The last line is llama.cpp's, about a schema that it cannot
# turn into a grammar: another server may be able to.
_UNSUPPORTED = re.compile(
    r"(do(es)?|is|are) not support(ed)?\b|\bunsupported\b|\bnot supported\b"
    r"|requires --(enable-auto-tool-choice|tool-call-parser)\b|is not a multimodal model"
    r"|schema conversion failed|json schema error at|failed to (parse|initialize) (grammar|samplers)",
    re.IGNORECASE,
)

# OpenAI: "maximum context length is 8192 tokens. However, your messages resulted in 9083 tokens";
# vLLM: "... However, you requested 9083 tokens".
_OPENAI_CONTEXT = re.compile(
    r"maximum context length is (?P<context>\d+) tokens.*?(?:resulted in|requested|contains at least) (?P<prompt>\d+)",
    re.IGNORECASE | re.DOTALL,
)
# Anthropic: "prompt is too long: 215104 tokens > 200000 maximum".
_ANTHROPIC_CONTEXT = re.compile(r"too long: (?P<prompt>\d+) tokens > (?P<context>\d+)", re.IGNORECASE)
# The same without both counts: llama.cpp, Ollama and Anthropic; xAI; Google; Mistral; vLLM, of an answer that is asked
# for.
_TOO_LONG = re.compile(
    r"exceeds? (the )?((available|maximum|model's) )*context|exceed context limit|prompt is too long"
    r"|maximum prompt length is \d+ but"
    r"|input token count \S* ?exceeds the maximum"
    r"|too large for model with \d+ maximum context"
    r"|max_tokens=\d+ cannot be greater than max_model_len",
    re.IGNORECASE,
)
# What a status means that leaves it to the words: a server may answer 500 to a prompt that it has no room for.
_SAYS_LITTLE = (Failed.INVALID, Failed.BROKEN)

# What providers call a refusal by their moderation: OpenAI, Azure, OpenRouter, Mistral's and xAI's gateways.
_POLICY_NAMES = {
    "content_policy_violation",
    "content_filter",
    "content_filtered",
    "moderation_blocked",
    "responsibleaipolicyviolation",
    "content_policy",
    "content_moderation",
    "invalid_prompt",
}
_POLICY_TEXT = re.compile(
    r"content[ _](management )?polic|usage (polic|guideline)|\bmoderation\b|\bflagged\b|safety (system|check)",
    re.IGNORECASE,
)
# A name as error codes and types are written: nothing that could be a sentence of a prompt.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,63}")


def by_status(status: int) -> Failed:
    """What a status alone says; a 4xx that says nothing more is the client's own fault. Takes any number."""
    if kind := _BY_STATUS.get(status):
        return kind
    return Failed.INVALID if 400 <= status < 500 else Failed.BROKEN


def says_unsupported(message: str) -> bool:
    """Whether a refusal reads as "this model or server cannot do that"."""
    return _UNSUPPORTED.search(message) is not None


def says_too_long(kind: Failed, message: str) -> bool:
    """Whether a refusal that is of this kind so far reads as "the prompt does not fit"."""
    return kind in _SAYS_LITTLE and (context_counts(message) is not None or _TOO_LONG.search(message) is not None)


def names_policy(names: Iterable[object]) -> bool:
    """Whether a refusal is a provider's moderation, by its codes and types."""
    return any(isinstance(name, str) and name.lower() in _POLICY_NAMES for name in names)


def says_policy(status: int | None, text: str) -> bool:
    """Whether it reads as one, at a status that can mean it; for providers that give no code."""
    return status in (400, 403, 451) and _POLICY_TEXT.search(text) is not None


def describe(
    status: int | None,
    names: Iterable[object] = (),
    counts: tuple[int, int] | None = None,
    who: str = "the upstream",
) -> str:
    """A failure in our words: nothing of upstream's own text, which may quote the prompt or the key."""
    said = f"{who} answered {status}" if status is not None else f"{who} reported an error inside its answer"
    known = dict.fromkeys(name for name in names if isinstance(name, str) and _NAME.fullmatch(name))
    if known:
        said += f" ({', '.join(known)})"
    return said if counts is None else f"{said}: the prompt has {counts[0]} tokens, and {counts[1]} fit"


def context_counts(message: str) -> tuple[int, int] | None:
    """(prompt tokens, context) where the text of a refusal states both."""
    found = _OPENAI_CONTEXT.search(message) or _ANTHROPIC_CONTEXT.search(message)
    return (int(found["prompt"]), int(found["context"])) if found else None


def retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds to wait, from `retry-after-ms` (OpenAI, Azure) or `Retry-After` (seconds or a date)."""
    milliseconds = _seconds(headers.get(b"retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get(b"retry-after")
    seconds = _seconds(value)
    if seconds is None and value is not None:
        seconds = _until(value, headers.get(b"date"))
    return seconds


def shorten(message: str) -> str:
    """A message within bounds, on one line."""
    return " ".join(message[:MAX_MESSAGE].split())


def _seconds(value: bytes | None) -> float | None:
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    # `nan`, `inf` and negative numbers parse as floats, and are no waiting time.
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _until(value: bytes, date: bytes | None) -> float | None:
    """Seconds from the answer's own Date to an HTTP date: the peer's clock against itself."""
    then, now = _http_date(value), _http_date(date)
    return max(0.0, (then - now).total_seconds()) if then and now else None


def _http_date(value: bytes | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value.decode("ascii")) if value else None
    except ValueError:
        return None
    # RFC 9110: an HTTP date is GMT, whether or not its zone could be read.
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None
