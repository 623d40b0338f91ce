"""What acceptance asks of an engine, in Ollama's words and in those of llama.cpp's own server."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Protocol, Sequence

from ..router import Answer, Unreachable, send

# Seconds for a question about the engine itself.
_LOOK_S = 10.0

Messages = Sequence[Mapping[str, Any]]


class Refused(Exception):
    """The engine answered with an error; the message is its own."""


class OutOfTime(Exception):
    """The time for a model is used up."""


class Clock:
    """The seconds that there are for a model."""

    def __init__(self, limit_s: float) -> None:
        self._begun = time.monotonic()
        self.limit_s = limit_s

    @property
    def used(self) -> float:
        return time.monotonic() - self._begun

    @property
    def left(self) -> float:
        return self.limit_s - self.used


@dataclass(frozen=True)
class Said:
    """An answer: its text (what it thought, where it said nothing else), its calls with their arguments, tokens of the
    prompt as the engine counted them (cached ones as well), and the seconds that all of it took.
    """

    text: str
    calls: Sequence[tuple[str, Any]]
    prompt_tokens: int
    seconds: float


class Engine(Protocol):
    """One model at one engine. Everything is greedy. Raises Refused, OutOfTime, Unreachable."""

    def chat(
        self,
        messages: Messages,
        most: int,
        schema: Optional[Mapping[str, Any]] = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Said: ...

    def complete(self, text: str, most: int, schema: Optional[Mapping[str, Any]] = None) -> Said:
        """Go on with a text, without a template."""
        ...

    def middle(self, before: str, after: str, most: int) -> Said:
        """Fill in between two texts."""
        ...

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """A vector for each text, and the tokens of all."""
        ...

    def context(self) -> int:
        """Tokens that there is room for in one conversation."""
        ...

    def reserved(self) -> Optional[int]:
        """Bytes that the engine says it took for the model; None where it does not say."""
        ...


class _Http:
    def __init__(self, url: str, name: str, clock: Clock, reasons: bool) -> None:
        """`reasons`: it thinks before it answers, unless it is told not to."""
        self._url, self._name, self._clock, self._reasons = url, name, clock, reasons

    def _ask(self, method: str, path: str, body: Optional[Any] = None) -> tuple[Any, float]:
        """The document, and the seconds until it was there. What needs no thinking is answered also when time is up."""
        left = max(self._clock.left, _LOOK_S if method == "GET" else 0.0)
        if left <= 0:
            raise OutOfTime
        begun = time.monotonic()
        try:
            answer = send(method, self._url + path, body=body, timeout=left)
        except Unreachable:
            if self._clock.left <= 0:
                raise OutOfTime from None
            raise
        content = answer.json()
        if answer.status != 200 or not isinstance(content, dict):
            raise Refused(_error(answer, content))
        return content, time.monotonic() - begun


class OllamaEngine(_Http):
    """Ollama's native API, which cuts nothing where it is told so."""

    def chat(
        self,
        messages: Messages,
        most: int,
        schema: Optional[Mapping[str, Any]] = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Said:
        body = {**self._body(most, schema), "messages": messages, "truncate": False, "shift": False}
        # Ollama refuses the field for models that do not think.
        body.update({"tools": tools} if tools else {})
        body.update({"think": False} if self._reasons else {})
        content, seconds = self._ask("POST", "/api/chat", body)
        message = content.get("message") or {}
        calls = [_call(each) for each in message.get("tool_calls") or ()]
        text = str(message.get("content") or message.get("thinking") or "")
        return Said(text, calls, int(content.get("prompt_eval_count") or 0), seconds)

    def complete(self, text: str, most: int, schema: Optional[Mapping[str, Any]] = None) -> Said:
        return self._generate({**self._body(most, schema), "prompt": text, "raw": True})

    def middle(self, before: str, after: str, most: int) -> Said:
        return self._generate({**self._body(most), "prompt": before, "suffix": after})

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        body = {"model": self._name, "input": texts, "truncate": False}
        content, _ = self._ask("POST", "/api/embed", body)
        return content["embeddings"], int(content.get("prompt_eval_count") or 0)

    def context(self) -> int:
        return int(self._loaded().get("context_length") or 0)

    def reserved(self) -> Optional[int]:
        return int(self._loaded().get("size") or 0) or None

    def _loaded(self) -> Mapping[str, Any]:
        content, _ = self._ask("GET", "/api/ps")
        return next((each for each in content.get("models") or () if each.get("name") == self._name), {})

    def _generate(self, body: Mapping[str, Any]) -> Said:
        content, seconds = self._ask("POST", "/api/generate", body)
        return Said(str(content.get("response") or ""), (), int(content.get("prompt_eval_count") or 0), seconds)

    def _body(self, most: int, schema: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        options = {"num_predict": most, "temperature": 0, "seed": 1}
        body = {"model": self._name, "stream": False, "options": options}
        return {**body, "format": schema} if schema else body


class LlamaServer(_Http):
    """The embedded engine: llama.cpp's server, one for each model."""

    def chat(
        self,
        messages: Messages,
        most: int,
        schema: Optional[Mapping[str, Any]] = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Said:
        body: dict[str, Any] = {"messages": messages, "max_tokens": most, "temperature": 0, "seed": 1}
        if schema:
            form = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if tools:
            body["tools"] = tools
        if self._reasons:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        content, seconds = self._ask("POST", "/v1/chat/completions", body)
        message = content["choices"][0]["message"]
        calls = [_call(each) for each in message.get("tool_calls") or ()]
        count = int((content.get("usage") or {}).get("prompt_tokens") or 0)
        return Said(str(message.get("content") or message.get("reasoning_content") or ""), calls, count, seconds)

    def complete(self, text: str, most: int, schema: Optional[Mapping[str, Any]] = None) -> Said:
        body = {"prompt": text, **self._settings(most)}
        return self._completed("/completion", {**body, "json_schema": schema} if schema else body)

    def middle(self, before: str, after: str, most: int) -> Said:
        return self._completed("/infill", {"input_prefix": before, "input_suffix": after, **self._settings(most)})

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        content, _ = self._ask("POST", "/v1/embeddings", {"model": self._name, "input": texts})
        rows = sorted(content["data"], key=lambda each: each["index"])
        return [each["embedding"] for each in rows], int((content.get("usage") or {}).get("total_tokens") or 0)

    def context(self) -> int:
        content, _ = self._ask("GET", "/props")
        return int((content.get("default_generation_settings") or {}).get("n_ctx") or 0)

    def reserved(self) -> Optional[int]:
        return None

    def _completed(self, path: str, body: Mapping[str, Any]) -> Said:
        content, seconds = self._ask("POST", path, body)
        return Said(str(content.get("content") or ""), (), int(content.get("tokens_evaluated") or 0), seconds)

    @staticmethod
    def _settings(most: int) -> dict[str, Any]:
        return {"n_predict": most, "temperature": 0, "seed": 1}


class Vllm(LlamaServer):
    """vLLM, which completes in OpenAI's dialect, fills no gaps, and says its context in its listing."""

    def complete(self, text: str, most: int, schema: Optional[Mapping[str, Any]] = None) -> Said:
        body: dict[str, Any] = {"model": self._name, "prompt": text, "max_tokens": most, "temperature": 0, "seed": 1}
        if schema:
            form = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        content, seconds = self._ask("POST", "/v1/completions", body)
        count = int((content.get("usage") or {}).get("prompt_tokens") or 0)
        return Said(str(content["choices"][0].get("text") or ""), (), count, seconds)

    def middle(self, before: str, after: str, most: int) -> Said:
        raise Refused("vLLM fills no gaps in a text")

    def context(self) -> int:
        content, _ = self._ask("GET", "/v1/models")
        return next((int(each["max_model_len"]) for each in content["data"] if each["id"] == self._name), 0)


def engine_of(kind: str, url: str, name: str, clock: Clock, reasons: bool) -> Engine:
    """The engine's language, by its name in station.json."""
    if kind == "ollama":
        return OllamaEngine(url, name, clock, reasons)
    return (Vllm if kind == "vllm" else LlamaServer)(url, name, clock, reasons)


def _call(raw: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and arguments; Ollama gives them as an object, OpenAI's dialect as text that may be no JSON."""
    function = raw.get("function") or {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = None
    return str(function.get("name") or ""), arguments


def _error(answer: Answer, content: Any) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return str(text or answer.body[:200].decode("utf-8", "replace").strip() or f"status {answer.status}")
