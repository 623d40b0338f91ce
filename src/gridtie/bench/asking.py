"""One request on the wire, timed: the project's own connections and translators, so that both ways are asked alike.

A *way* is the router, or the engine beside it. What is timed is seen from here: from the request's beginning, a new
connection included, to the first content read, the gaps between pieces, and the end. Empty first chunks and roles are
no content.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import msgspec

from gridtie.dialects.codecs import codec
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.types import AnswerOptions, Chunk, Dialect, RequestOptions, Usage
from gridtie.upstream.connection_pool import ConnectionPool
from gridtie.upstream.endpoint import Endpoint, Headers
from gridtie.upstream.errors import Broken, ConnectFailed, UpstreamError

CONNECT_S = 10.0
# One answer, a cold load of a large model and a queue before it included.
REQUEST_S = 900.0
_ERROR_BYTES = 64 * 1024
_NO_HEADERS: Headers = ()


class Delta(msgspec.Struct, frozen=True):
    """Where content stands in an event of a stream."""

    content: str | None = None
    refusal: str | None = None
    # Two names for one thing: DeepSeek's and llama.cpp's, and vLLM's since 0.11.
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Any] | None = None


class Choice(msgspec.Struct, frozen=True):
    delta: Delta = Delta()
    finish_reason: str | None = None


class Timings(msgspec.Struct, frozen=True):
    """What llama.cpp's server says of its own work; Ollama's server says the same in nanoseconds."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class Event(msgspec.Struct, frozen=True):
    choices: list[Choice] = []
    timings: Timings | None = None


class _Durations(msgspec.Struct, frozen=True):
    """The last line of an answer of Ollama's."""

    done: bool = False
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class Engine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The engine's own account: tokens that it read and wrote, and the seconds for them; loading stands apart."""

    prompt_tokens: int = 0
    prompt_s: float = 0.0
    answer_tokens: int = 0
    answer_s: float = 0.0
    load_s: float = 0.0


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One whole answer. Seconds since the request was begun; tokens as the engine counts them."""

    first_token: float
    # Until the first piece that is no reasoning; None where all of it is.
    first_answer: float | None = None
    end: float
    # The longest wait between two pieces.
    longest_gap: float = 0.0
    pieces: int = 0
    tokens_in: int
    tokens_out: int
    cached: int = 0
    reasoning: int = 0
    # Whether the counts are ours, because nobody else counted.
    estimated: bool = False
    finish: str = ""
    engine: Engine | None = None
    target: str = ""
    locality: str = ""
    request_id: str = ""

    @property
    def between_tokens(self) -> float | None:
        """Mean seconds from token to token after the first; None where there are too few to tell."""
        return (self.end - self.first_token) / (self.tokens_out - 1) if self.tokens_out >= LEAST_TOKENS else None


# Fewer tokens say nothing about the time between them: the clock has steps, and a read may hold several.
LEAST_TOKENS = 8


class Failed(Exception):
    """No whole answer. `unreachable`: nobody listens; `busy`: refused for now, which says nothing about the target."""

    def __init__(self, message: str, *, status: int = 0, code: str = "", unreachable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.unreachable = unreachable

    @property
    def busy(self) -> bool:
        return self.status in (429, 503) or self.code in ("busy", "overloaded", "queue_full")


class Way:
    """A way to the target: an address, its dialect, and what is sent with every request."""

    def __init__(
        self,
        pool: ConnectionPool,
        base_url: str,
        headers: Headers,
        *,
        model: str,
        dialect: Dialect = "openai",
        ca_file: str | None = None,
    ) -> None:
        """Raises ValueError for an address that cannot be used."""
        self.model = model
        self._dialect: Dialect = dialect
        self._codec = codec("openai", dialect)
        self._endpoint = Endpoint(pool, base_url, headers, ca_file=ca_file)

    async def connect(self) -> None:
        """See whether anybody listens; the connection is kept for the first request. Raises `Failed`."""
        pool = self._endpoint.pool
        try:
            pool.idle(await pool.open(CONNECT_S))
        except UpstreamError as error:
            raise Failed(str(error), unreachable=True) from None

    async def ask(self, body: dict[str, Any], seconds: float = REQUEST_S) -> Answer:
        """One streamed chat. Raises `Failed`."""
        facts = read(msgspec.json.encode({**body, "model": self.model, "stream": True, **_WITH_USAGE}))
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(facts)
        except TimeoutError:
            raise Failed(f"no whole answer within {seconds:g} s") from None
        except ConnectFailed as error:
            raise Failed(str(error), unreachable=True) from None
        except UpstreamError as error:
            raise Failed(str(error)) from None

    async def _ask(self, facts: Facts) -> Answer:
        message = self._codec.request(facts, self.model, RequestOptions(stream=True))
        head = self._endpoint.head(message.method, message.path, (*_NO_HEADERS, *message.headers), len(message.body))
        pool = self._endpoint.pool
        while True:
            # The router's way to the engine has its connecting in it, too.
            started = monotonic()
            connection = pool.take() or await pool.open(CONNECT_S)
            reading = _Reading(self._codec.stream(_options(facts)), self._dialect, started)
            connection.send(head, message.body, reading)
            try:
                return await reading.answer()
            except Broken as error:
                if not (error.unanswered and connection.served):
                    raise
                # A server that had closed an idle connection: nothing was asked yet, and the clock starts anew.
            finally:
                if not reading.over:
                    connection.abort()


_WITH_USAGE = {"stream_options": {"include_usage": True}}


def _options(facts: Facts) -> AnswerOptions:
    return AnswerOptions(facts.text_bytes // 4, wants_usage=True)


class _Reading:
    """A connection's receiver: notes when what came, and makes an `Answer` of it."""

    def __init__(self, decoder: Any, dialect: Dialect, started: float) -> None:
        """`started`: when the request was begun (monotonic)."""
        self._decoder = decoder
        self._native = dialect == "ollama"
        self._events = EventSplitter()
        self._sent = started
        self._first: float | None = None
        self._first_answer: float | None = None
        self._last = self._done = 0.0
        self._gap = 0.0
        self._pieces = 0
        self._finish = ""
        self._usage: Usage | None = None
        self._engine: Engine | None = None
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._error_body = bytearray()
        self._result: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # Whether the connection has been given back or closed.
        self.over = False

    async def answer(self) -> Answer:
        """Raises `Failed`, `Broken`."""
        return await self._result

    # Receiver

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status, self._headers = status, headers

    def on_body(self, data: bytes, last: bool) -> None:
        self.over = last
        if self._status != 200:
            self._error_body += data[: _ERROR_BYTES - len(self._error_body)]
            if last:
                self._end(_refusal(self._status, bytes(self._error_body)))
            return
        if self._native and b'"eval_duration"' in data:
            self._engine = _ollama_account(data) or self._engine
        self._take(self._decoder.feed(data))
        if last and not self._result.done():
            self._take(self._decoder.eof())
            if not self._result.done():
                self._end(self._whole())

    def on_error(self, error: Broken) -> None:
        self.over = True
        self._end(error)

    # ours

    def _take(self, chunk: Chunk) -> None:
        now = monotonic() - self._sent
        for frame in self._events.feed(chunk.out) if chunk.out else ():
            event = parse(frame)
            if event is not None and event.data != b"[DONE]":
                self._note(event.data, now)
        self._usage = chunk.usage or self._usage
        if chunk.done:
            self._done = now
        if chunk.failure is not None:
            self._end(Failed(chunk.failure.message, status=chunk.failure.status or 0))

    def _note(self, data: bytes, now: float) -> None:
        try:
            event = _event(data)
        except msgspec.DecodeError:
            return
        if event.timings is not None:
            self._engine = _llama_account(event.timings)
        for choice in event.choices:
            delta = choice.delta
            self._finish = choice.finish_reason or self._finish
            answers = bool(delta.content or delta.refusal or delta.tool_calls)
            if answers or delta.reasoning_content or delta.reasoning:
                self._piece(now, answers)

    def _piece(self, now: float, answers: bool) -> None:
        if self._first is None:
            self._first = now
        else:
            self._gap = max(self._gap, now - self._last)
        if answers and self._first_answer is None:
            self._first_answer = now
        self._last = now
        self._pieces += 1

    def _whole(self) -> Answer | Failed:
        usage = self._usage
        if self._first is None or usage is None:
            return Failed("the answer was empty")
        return Answer(
            first_token=self._first,
            first_answer=self._first_answer,
            end=self._done or monotonic() - self._sent,
            longest_gap=self._gap,
            pieces=self._pieces,
            tokens_in=usage.input,
            tokens_out=usage.output,
            cached=usage.cached,
            reasoning=usage.reasoning,
            estimated=usage.estimated,
            finish=self._finish,
            engine=self._engine,
            target=self._header(b"x-gridtie-target"),
            locality=self._header(b"x-gridtie-locality"),
            request_id=self._header(b"x-gridtie-request-id"),
        )

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    def _end(self, result: Answer | Exception) -> None:
        if self._result.done():
            return
        if isinstance(result, Answer):
            self._result.set_result(result)
        else:
            self._result.set_exception(result)


_event = msgspec.json.Decoder(Event).decode
_durations = msgspec.json.Decoder(_Durations).decode


def _llama_account(told: Timings) -> Engine:
    return Engine(told.prompt_n, told.prompt_ms / 1e3, told.predicted_n, told.predicted_ms / 1e3)


def _ollama_account(data: bytes) -> Engine | None:
    for line in data.splitlines():
        if b'"eval_duration"' in line:
            try:
                told = _durations(line)
            except msgspec.DecodeError:
                return None
            return Engine(
                told.prompt_eval_count,
                told.prompt_eval_duration / 1e9,
                told.eval_count,
                told.eval_duration / 1e9,
                told.load_duration / 1e9,
            )
    return None


def _refusal(status: int, body: bytes) -> Failed:
    """What an error's body says, cut: a provider's message may be long, and is not ours."""
    try:
        error = msgspec.json.decode(body)["error"]
        code, message = (
            (str(error.get("code") or ""), str(error.get("message") or ""))
            if isinstance(error, dict)
            else ("", str(error))
        )
    except (msgspec.DecodeError, KeyError, TypeError):
        code, message = "", body[:200].decode("utf-8", "replace").strip()
    return Failed(f"{status}: {message[:300] or '(no text)'}", status=status, code=code)
