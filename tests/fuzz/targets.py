"""What is fuzzed, and what must hold for every input. The only file here that knows the code under test.

A target takes the pieces in which an input arrives, and raises where something is wrong: an exception that the code
does not document, or a result that depends on how the input was cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fuzz import corpus
from gridtie.config.load import parse as parse_routing
from gridtie.config.problems import ConfigError
from gridtie.config.schema import Limits
from gridtie.dialects.anthropic.facts import read as read_messages
from gridtie.dialects.codecs import CODECS, codec
from gridtie.dialects.embeddings.facts import read_embed, read_embeddings, read_openai
from gridtie.dialects.facts import Facts
from gridtie.dialects.ndjson import LineSplitter
from gridtie.dialects.ollama.facts import read_chat, read_generate
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.openai_completions.facts import read as read_completions
from gridtie.dialects.openai_responses.facts import read as read_responses
from gridtie.dialects.sse import EventSplitter
from gridtie.dialects.sse import parse as parse_event
from gridtie.dialects.types import AnswerOptions, Dialect, InvalidRequest, RequestOptions, StreamDecoder, Untranslatable
from gridtie.gateway.client_connection import ClientConnection
from gridtie.gateway.exchange import Exchange
from gridtie.host.fit.header import Cut, GgufError, Header, parse_header
from gridtie.host.fit.memory import Settings, need_of_file
from gridtie.routing.held_bytes import HeldBytes
from gridtie.upstream.connection import Connection
from gridtie.upstream.errors import Broken


def _json(data: bytes) -> Any:
    """Text passes as the bytes that it came in, so it may be no UTF-8 where it was none."""
    return json.loads(data.decode("utf-8", "replace"))


def read_and_translate(body: bytes, target: Dialect, *, stream: bool) -> bytes | None:
    """What a target of a dialect is sent for a client's body; None where it is refused in a documented way."""
    try:
        facts = read(body)
        return codec("openai", target).request(facts, "target-model", RequestOptions(stream)).body
    except (InvalidRequest, Untranslatable):
        return None


# Every reader of a client's body.
READERS: dict[str, Callable[[bytes], Facts]] = {
    "chat": read,
    "responses": read_responses,
    "completions": read_completions,
    "embeddings": read_openai,
    "messages": read_messages,
    "ollama chat": read_chat,
    "ollama generate": read_generate,
    "ollama embed": read_embed,
    "ollama embeddings": read_embeddings,
}


def any_body(reader: str, body: bytes) -> None:
    """Refused in a documented way, or made into a request of every target's that is JSON."""
    for target in ("openai", "ollama", "anthropic"):
        try:
            facts = READERS[reader](body)
            _json(CODECS[facts.dialect, target].request(facts, "m", RequestOptions(facts.stream)).body)
        except (InvalidRequest, Untranslatable):
            continue


class Target(NamedTuple):
    """Something that reads bytes."""

    name: str
    corpus: Sequence[bytes]
    words: Sequence[bytes]
    check: Callable[[list[bytes]], None]
    # Of a thousand inputs of a long run; what is slow gets fewer.
    share: int


# -- HTTP from clients -----------------------------------------------------------------------------------------------


class _Loop:
    """Runs what is put off when it is told to."""

    def __init__(self) -> None:
        self._later: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def call_soon(self, work: Callable[..., object], *arguments: Any) -> None:
        self._later.append((work, arguments))

    def run(self) -> None:
        while self._later:
            work, arguments = self._later.pop(0)
            work(*arguments)


class _Transport:
    """Notes what is written."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.sent += data

    def writelines(self, pieces: Sequence[bytes]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


class _Service:
    """Admits everything and answers at once, as `/healthz` does."""

    limits = Limits(max_body_bytes=4096, max_header_bytes=2048, max_headers=20)
    date_line = b"date: Sun, 29 Nov 2026 12:00:00 GMT\r\n"
    draining = False
    loaded: object = None
    patience = 60.0

    def __init__(self) -> None:
        self.held = HeldBytes(1 << 20)
        self.handled: list[tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes]] = []
        self.refused: list[int] = []
        self._count = 0

    def request_id(self) -> str:
        self._count += 1
        return f"fuzz-{self._count}"

    def opened(self, connection: ClientConnection) -> bool:
        return True

    def closed(self, connection: ClientConnection) -> None:
        pass

    def admit(self, exchange: Exchange) -> bool:
        exchange.head.loaded = self.loaded  # type: ignore[assignment]
        return True

    def handle(self, exchange: Exchange) -> None:
        head = exchange.head
        self.handled.append((head.method, head.url, tuple(sorted(head.headers.items())), bytes(exchange.body)))
        exchange.respond(200, b"", b"ok")

    def refuse(self, exchange: Exchange, status: int, code: str, message: str, *more: Any) -> None:
        self.refused.append(status)
        exchange.respond(status, b"", message.encode("latin-1", "replace"))


def _served(arriving: Sequence[bytes]) -> tuple[list[Any], list[int]]:
    loop, service, transport = _Loop(), _Service(), _Transport()
    connection = ClientConnection(service, loop)  # type: ignore[arg-type]
    connection.connection_made(transport)  # type: ignore[arg-type]
    for piece in arriving:
        if transport.closed:
            break
        connection.data_received(piece)
        loop.run()
    connection.connection_lost(None)
    loop.run()
    _assert_answers(bytes(transport.sent))
    return service.handled, service.refused


def _assert_answers(sent: bytes) -> None:
    """What was written is whole answers, one after another."""
    while sent:
        head, blank, rest = sent.partition(b"\r\n\r\n")
        assert blank and head.startswith(b"HTTP/1.1 "), f"written was {sent[:80]!r}"
        if head.startswith(b"HTTP/1.1 100"):
            sent = rest
            continue
        (length,) = (line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        size = int(length.split(b" ")[1])
        # The answer to HEAD has a length and no body.
        sent = rest[size:] if rest[:size] and not rest.startswith(b"HTTP/1.1 ") else rest


def client_connection(arriving: list[bytes]) -> None:
    """No exception; the same requests handled and refused however they arrive.

    But for two things: of what cannot be read after a request that still waits for its turn, the client is told by the
    end of the connection alone; and of a head that is too large and malformed, what is seen first is told.
    """
    (whole, whole_refused), (cut, cut_refused) = _served([b"".join(arriving)]), _served(arriving)
    assert whole == cut, f"whole: {whole!r}; cut: {cut!r}"
    either = {*whole_refused, *cut_refused} == {400, 431} and len(whole_refused) == len(cut_refused)
    assert whole_refused == cut_refused or whole or either, f"refused whole: {whole_refused}; cut: {cut_refused}"


# -- HTTP from upstream ----------------------------------------------------------------------------------------------


class _Owner:
    def idle(self, connection: Connection) -> None:
        self.kept = True

    def gone(self, connection: Connection) -> None:
        pass


class _Receiver:
    """Holds the order of its calls, and notes what they said."""

    def __init__(self) -> None:
        self.status = -1
        self.body = bytearray()
        self.ended = ""

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        assert self.status < 0 and not self.ended, "a second head"
        assert not 100 <= status < 200, f"an interim answer is handed on as the answer: {status}"
        self.status = status

    def on_body(self, data: bytes, last: bool) -> None:
        assert self.status >= 0 and not self.ended, "a body without a head, or after the end"
        self.body += data
        self.ended = "whole" if last else ""

    def on_error(self, error: Broken) -> None:
        assert not self.ended, "an error after the end"
        self.ended = "broken"


def _received(arriving: Sequence[bytes]) -> tuple[str, int, bytes]:
    receiver, transport = _Receiver(), _Transport()
    connection = Connection(_Owner())
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.send(b"POST / HTTP/1.1\r\n\r\n", b"", receiver)
    for piece in arriving:
        if transport.closed:
            break
        connection.data_received(piece)
    connection.connection_lost(None)
    assert receiver.ended, "the receiver never hears of the end"
    return (receiver.ended, receiver.status, bytes(receiver.body)) if receiver.ended == "whole" else ("broken", 0, b"")


def upstream_connection(arriving: list[bytes]) -> None:
    """No exception, calls in order, an end in any case; the same answer however it arrives."""
    whole, cut = _received([b"".join(arriving)]), _received(arriving)
    assert whole == cut, f"whole: {whole!r}; cut: {cut!r}"


# -- streams ---------------------------------------------------------------------------------------------------------


def _events(arriving: Sequence[bytes]) -> list[tuple[str, bytes]]:
    splitter = EventSplitter()
    found = [frame for piece in arriving for frame in splitter.feed(piece)]
    last = splitter.flush()
    assert b"".join(found) + last == b"".join(arriving), "bytes are lost or added"
    return [(event.name, event.data) for frame in [*found, last] if (event := parse_event(frame)) is not None]


def sse(arriving: list[bytes]) -> None:
    """The same events however they arrive."""
    whole, cut = _events([b"".join(arriving)]), _events(arriving)
    assert whole == cut, f"whole: {whole!r}; cut: {cut!r}"


def _lines(arriving: Sequence[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    found = [line for piece in arriving for line in splitter.feed(piece)]
    return [*found, *filter(None, [splitter.flush()])]


def ndjson(arriving: list[bytes]) -> None:
    """The same lines however they arrive."""
    whole, cut = _lines([b"".join(arriving)]), _lines(arriving)
    assert whole == cut, f"whole: {whole!r}; cut: {cut!r}"


class _Decoded(NamedTuple):
    """What a client gets of a stream."""

    events: list[tuple[str, bytes]]
    done: bool
    failed: str
    usage: Any


def _decoded(decoder: StreamDecoder, arriving: Sequence[bytes]) -> _Decoded:
    """As whoever passes a stream on reads it: to the first end or failure, and nothing without content."""
    out, content, last = bytearray(), False, None
    for piece in arriving:
        last = decoder.feed(piece)
        out += last.out
        content = content or last.content
        if last.done or last.failure is not None:
            break
    else:
        last = decoder.eof()
        out += last.out
        content = content or last.content
    failed = last.failure.kind.value if last.failure is not None else ""
    usage = None if last.usage is None or last.usage.estimated else last.usage
    return _Decoded(_events([bytes(out)]) if content else [], last.done, failed, usage)


def _stream(target: Dialect, arriving: Sequence[bytes], *, wants_usage: bool = True) -> _Decoded:
    decoder = codec("openai", target).stream(AnswerOptions(10, wants_usage=wants_usage, created=1))
    found = _decoded(decoder, arriving)
    assert not (found.done and found.failed), "whole and failed at once"
    return found


def openai_stream(arriving: list[bytes]) -> None:
    """No exception. What passes unread may be judged later than what is read, so only sound streams are compared."""
    _stream("openai", arriving)
    _stream("openai", [b"".join(arriving)], wants_usage=False)


def sound_openai_stream(arriving: list[bytes]) -> None:
    """The same events however they arrive, of a stream whose every frame is sound."""
    whole, cut = _stream("openai", [b"".join(arriving)]), _stream("openai", arriving)
    assert whole == cut, f"whole: {whole!r}; cut: {cut!r}"


def _translated_stream(target: Dialect, arriving: list[bytes]) -> None:
    """No exception; the same events however they arrive; each of them JSON or the end mark."""
    whole, cut = _stream(target, [b"".join(arriving)]), _stream(target, arriving)
    assert whole == cut, f"whole: {whole!r}; cut: {cut!r}"
    for _, data in whole.events:
        assert data == b"[DONE]" or isinstance(_json(data), dict)


def ollama_stream(arriving: list[bytes]) -> None:
    _translated_stream("ollama", arriving)


def anthropic_stream(arriving: list[bytes]) -> None:
    _translated_stream("anthropic", arriving)


def whole_answers(arriving: list[bytes]) -> None:
    """Any body of any dialect, as an answer and as an error, comes to something that is said."""
    body = b"".join(arriving)
    for dialect in ("openai", "ollama", "anthropic"):
        between = codec("openai", dialect)
        if between.translates:
            answer = _decoded(between.collect(AnswerOptions(10, created=1)), [body])
            assert answer.done != bool(answer.failed), "neither an answer nor a failure, or both"
        else:
            whole = between.whole(body, 10)
            assert (whole.failure is None) == bool(whole.body), "neither an answer nor a failure"
            assert whole.failure is not None or whole.usage is not None, "an answer without a count"
        for status in (400, 429, 500):
            assert between.failure(status, {b"retry-after": body[:40]}, body).message


# -- requests --------------------------------------------------------------------------------------------------------


def bodies(arriving: list[bytes]) -> None:
    """A body is refused in a documented way, or becomes JSON for each dialect, for the model that was chosen."""
    body = b"".join(arriving)
    for dialect in ("openai", "ollama", "anthropic"):
        translated = read_and_translate(body, dialect, stream=len(body) % 2 == 0)
        if translated is not None:
            assert _json(translated)["model"] == "target-model"


# -- the routing file ------------------------------------------------------------------------------------------------


def routing(arriving: list[bytes]) -> None:
    """A routing file holds, or everything that is wrong with it is told."""
    raw = b"".join(arriving)
    try:
        parse_routing(raw, "llm_routing.yaml")
    except ConfigError as error:
        assert error.problems and str(error)


# -- GGUF headers -----------------------------------------------------------------------------------------------------

_SETTINGS = (
    Settings(4096),
    Settings(3000, 4, "q8_0", build=11549),
    Settings(8192, 2, flash_attention=False, unified=True, batch=512),
)


def _header(data: bytes) -> Header | GgufError:
    try:
        return parse_header(data, "m.gguf")
    except GgufError as error:
        assert "\n" not in str(error)
        return error


def gguf_header(arriving: list[bytes]) -> None:
    """Read, or refused in one sentence; the beginning alone says the same, or how much more it takes.

    What was read has a memory that is a number, or is refused in a documented way.
    """
    data = b"".join(arriving)
    whole = _header(data)
    beginning = _header(data[: len(arriving[0])] if arriving else b"")
    if isinstance(beginning, Cut):
        assert beginning.wanted > len(arriving[0])
    elif isinstance(beginning, GgufError):
        assert isinstance(whole, GgufError), f"the beginning: {beginning}; the whole: {whole!r:.200}"
    else:
        assert beginning == whole or repr(beginning) == repr(whole)
    if isinstance(whole, GgufError):
        return
    for settings in _SETTINGS:
        try:
            found = need_of_file(whole, settings)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert min(found.weights, found.kv, found.state, found.compute) >= 0, found
            assert all(isinstance(part, int) for part in (found.weights, found.kv, found.state, found.compute)), found


TARGETS = {
    target.name: target
    for target in (
        Target("client connection", corpus.REQUESTS, corpus.REQUEST_WORDS, client_connection, 200),
        Target("upstream connection", corpus.RESPONSES, corpus.RESPONSE_WORDS, upstream_connection, 200),
        Target("SSE", corpus.STREAMS["openai"] + corpus.STREAMS["anthropic"], corpus.STREAM_WORDS, sse, 150),
        Target("NDJSON", corpus.STREAMS["ollama"], corpus.STREAM_WORDS, ndjson, 100),
        Target("OpenAI stream", corpus.STREAMS["openai"], corpus.STREAM_WORDS, openai_stream, 100),
        Target("Ollama stream", corpus.STREAMS["ollama"], corpus.STREAM_WORDS, ollama_stream, 80),
        Target("Anthropic stream", corpus.STREAMS["anthropic"], corpus.STREAM_WORDS, anthropic_stream, 80),
        Target(
            "whole answers",
            [each for found in (corpus.WHOLES, corpus.ERRORS) for each in sum(found.values(), ())],
            corpus.STREAM_WORDS,
            whole_answers,
            40,
        ),
        Target("request bodies", corpus.BODIES, corpus.BODY_WORDS, bodies, 48),
        Target("GGUF header", corpus.GGUFS, corpus.GGUF_WORDS, gguf_header, 60),
        Target("routing file", corpus.ROUTING, corpus.ROUTING_WORDS, routing, 2),
    )
}
