"""A streaming chat client for the router: OpenAI chat completions over HTTP, and the router's own account of each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from gridtie.agents.endpoint import Endpoint
from gridtie.agents.schema import Schema

# A cold model may take a minute to load before the first token; the router sends signs of life meanwhile.
_READ_SECONDS = 180.0
_REQUEST_SECONDS = 600.0
_BUSY_TRIES = 4
_BUSY_WAIT_SECONDS = 15.0
# The journal is drained into the ledger by a thread, so a request may be known a moment after its last byte.
_RECORD_TRIES = 20
_RECORD_WAIT_SECONDS = 0.1

Message = Mapping[str, str]
OnText = Callable[[str], None]


class RequestFailed(Exception):
    """The endpoint could not be reached, or refused, or its answer was interrupted. The text says what was
    asked and what came.

    `request_id` is the router's, None where it gave none: what was billed until then is in its ledger.
    """

    request_id: str | None = None


@dataclass(frozen=True)
class Record:
    """What the router's ledger says about one request; None where it does not know. Money is in US dollars."""

    target: str | None
    locality: str | None
    rule: str | None
    cost_usd: float | None
    baseline_usd: float | None
    baseline_model: str | None


@dataclass(frozen=True)
class Question:
    """What an agent asks. With a schema, the answer is JSON that holds to it."""

    agent: str
    messages: Sequence[Message]
    temperature: float
    seed: int
    max_tokens: int
    schema: Schema | None = None


@dataclass(frozen=True)
class Reply:
    """One complete answer. Times are seconds since the request was sent; tokens are the engine's own count."""

    agent: str
    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    first_token: float
    duration: float
    request_id: str | None
    model: str
    target: str | None
    locality: str | None


class Client:
    """Speaks for all agents of one run: the same endpoint, model alias and environment."""

    def __init__(self, endpoint: Endpoint, model: str, environment: str, tags: Sequence[str] = ()) -> None:
        self.endpoint = endpoint
        self.model = model
        self._http = httpx.Client(
            headers={
                "authorization": f"Bearer {endpoint.key}",
                "x-gridtie-environment": environment,
                # A demonstration is nobody's work: it is in the ledger, and outside every saving.
                "x-gridtie-purpose": "demo",
                **({"x-gridtie-tags": ",".join(tags)} if tags else {}),
            },
            timeout=httpx.Timeout(10.0, read=_READ_SECONDS),
            # HTTP_PROXY is for the outside world; a router on this machine is not out there.
            trust_env=not endpoint.is_loopback,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def models(self) -> list[str]:
        """The names that the endpoint serves; raises RequestFailed with what to do when it cannot be asked."""
        url = f"{self.endpoint.base_url}/models"
        try:
            answer = self._http.get(url)
        except httpx.HTTPError as error:
            raise RequestFailed(
                f"{url} does not answer ({error}). Is the station running? See: gridtie doctor"
            ) from error
        if answer.status_code != httpx.codes.OK:
            raise RequestFailed(f"{url} answered {_refusal(answer.status_code, answer.content)}")
        return [str(entry["id"]) for entry in answer.json()["data"]]

    def body(self, question: Question) -> dict[str, Any]:
        """The request for it."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(question.messages),
            "temperature": question.temperature,
            "seed": question.seed,
            "max_tokens": question.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if question.schema is None:
            return body
        schema = {"name": f"{question.agent}_answer", "strict": True, "schema": question.schema}
        return {**body, "response_format": {"type": "json_schema", "json_schema": schema}}

    def ask(self, question: Question, on_text: OnText = lambda _text: None) -> Reply:
        """One streamed completion; `on_text` gets each piece as it arrives. Raises RequestFailed.

        A router that is busy (429, 503) is asked again after the time that it names, a few times.
        """
        agent, body = question.agent, self.body(question)
        for tries_left in range(_BUSY_TRIES - 1, -1, -1):
            try:
                return self._stream(agent, body, on_text)
            except _Busy as busy:
                if not tries_left:
                    raise RequestFailed(f"{agent}: the router stayed busy: {busy}") from None
                time.sleep(busy.wait)
        raise AssertionError("the last try returns or raises")

    def _stream(self, agent: str, body: Mapping[str, Any], on_text: OnText) -> Reply:
        url = f"{self.endpoint.base_url}/chat/completions"
        started, request_id = time.monotonic(), None
        try:
            with self._http.stream("POST", url, json=body, headers={"x-gridtie-agent": agent}) as answer:
                request_id = answer.headers.get("x-gridtie-request-id")
                _check(agent, url, answer)
                return _collect(agent, str(body["model"]), answer, started, on_text)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            failed = RequestFailed(f"{agent}: the answer of {url} was interrupted: {reason}. See: gridtie doctor")
            failed.request_id = request_id
            raise failed from error
        except RequestFailed as failed:
            failed.request_id = request_id
            raise

    def record(self, request_id: str | None) -> Record | None:
        """The router's account of a request; None where the endpoint is not a Gridtie router or does not tell."""
        if request_id is None:
            return None
        url = f"{self.endpoint.root}/gridtie/requests/{request_id}"
        for _ in range(_RECORD_TRIES):
            try:
                answer = self._http.get(url)
            except httpx.HTTPError:
                return None
            if answer.status_code == httpx.codes.OK:
                return _record(answer.json())
            if answer.status_code != httpx.codes.NOT_FOUND:
                return None
            time.sleep(_RECORD_WAIT_SECONDS)
        return None


class _Busy(Exception):
    """The router asked to come back later."""

    def __init__(self, text: str, retry_after: str | None) -> None:
        super().__init__(text)
        self.wait = min(float(retry_after), _BUSY_WAIT_SECONDS) if retry_after and retry_after.isdecimal() else 2.0


def _check(agent: str, url: str, answer: httpx.Response) -> None:
    """Raise `_Busy` or `RequestFailed` where there is no answer to read."""
    if answer.status_code == httpx.codes.OK:
        return
    content = answer.read()
    if answer.status_code in (429, 503):
        raise _Busy(_refusal(answer.status_code, content), answer.headers.get("retry-after"))
    raise RequestFailed(f"{agent}: {url} answered {_refusal(answer.status_code, content)}")


def _collect(agent: str, model: str, answer: httpx.Response, started: float, on_text: OnText) -> Reply:
    """Read one event stream to its end."""
    pieces: list[str] = []
    usage: Mapping[str, Any] = {}
    finish = ""
    first: float | None = None
    for event in _events(answer):
        now = time.monotonic() - started
        if now > _REQUEST_SECONDS:
            raise RequestFailed(f"{agent}: no end of the answer after {_REQUEST_SECONDS:g} s")
        if "error" in event:
            raise RequestFailed(f"{agent}: the stream was interrupted: {_error_text(event)}")
        usage = event.get("usage") or usage
        for choice in event.get("choices", []):
            delta = choice.get("delta", {})
            if first is None and (delta.get("content") or delta.get("reasoning_content")):
                first = now
            if delta.get("content"):
                pieces.append(delta["content"])
                on_text(delta["content"])
            finish = choice.get("finish_reason") or finish
    if not finish:
        raise RequestFailed(f"{agent}: the stream ended without a finish reason; the answer may be cut")
    duration = time.monotonic() - started
    return Reply(
        agent=agent,
        text="".join(pieces),
        finish_reason=finish,
        tokens_in=int(usage.get("prompt_tokens", 0)),
        tokens_out=int(usage.get("completion_tokens", 0)),
        first_token=duration if first is None else first,
        duration=duration,
        request_id=answer.headers.get("x-gridtie-request-id"),
        model=model,
        target=answer.headers.get("x-gridtie-target"),
        locality=answer.headers.get("x-gridtie-locality"),
    )


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The JSON payloads of a server-sent event stream, up to [DONE]; comments are signs of life and mean nothing."""
    for line in answer.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            yield json.loads(data)
        except ValueError:
            raise RequestFailed(f"the stream holds an event that is not JSON: {data[:80]!r}") from None


def _refusal(status: int, content: bytes) -> str:
    try:
        text = _error_text(json.loads(content))
    except ValueError:
        text = content[:200].decode("utf-8", "replace").strip() or "(no text)"
    return f"{status}: {text}"


def _error_text(payload: Mapping[str, Any]) -> str:
    error = payload.get("error", payload)
    return str(error.get("message", error)) if isinstance(error, Mapping) else str(error)


def _record(payload: Mapping[str, Any]) -> Record:
    return Record(
        target=payload.get("target"),
        locality=payload.get("locality"),
        rule=payload.get("rule"),
        cost_usd=payload.get("cost_usd"),
        baseline_usd=payload.get("baseline_usd"),
        baseline_model=payload.get("baseline"),
    )
