"""What a target says, in the wire format of its dialect; written out here, and not by the code under test."""

from __future__ import annotations

import json
from typing import Any

# What every answer costs, so that the ledger can be held against it.
INPUT, OUTPUT = 7, 3

# Words for the same kinds of error. `policy` is what a moderation says, which only OpenAI's dialect has a code for.
KINDS = ("rate_limit", "server", "overloaded", "authentication", "permission", "not_found", "context", "invalid")


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


class Wire:
    """One dialect. A stream is `role`, `content`..., `finish`, `end`."""

    name: str
    stream_type: str
    path: str

    def error(self, kind: str, message: str) -> bytes:
        raise NotImplementedError

    def whole(self, text: str, usage: str = "counted") -> bytes:
        raise NotImplementedError

    def role(self) -> bytes:
        raise NotImplementedError

    def content(self, text: str) -> bytes:
        raise NotImplementedError

    def finish(self, usage: str = "counted") -> bytes:
        """That the answer is whole, with what it took, as the protocol says it."""
        raise NotImplementedError

    def end(self) -> bytes:
        """What follows the finish, where the protocol has anything there."""
        return b""

    def error_event(self) -> bytes:
        raise NotImplementedError

    def ping(self) -> bytes:
        """Something that says nothing."""
        raise NotImplementedError

    def garbage(self) -> bytes:
        return b"data: {{{{ \x00\xff\xfe ]]]\n\n{{{\n"


class OpenAI(Wire):
    name, stream_type, path = "openai", "text/event-stream", "/v1/chat/completions"

    _ERRORS = {
        "rate_limit": ("requests", "rate_limit_exceeded"),
        "server": ("server_error", None),
        "overloaded": ("server_error", None),
        "authentication": ("invalid_request_error", "invalid_api_key"),
        "permission": ("permission_error", None),
        "not_found": ("invalid_request_error", "model_not_found"),
        "context": ("invalid_request_error", "context_length_exceeded"),
        "invalid": ("invalid_request_error", None),
        "policy": ("invalid_request_error", "content_policy_violation"),
    }

    def error(self, kind: str, message: str) -> bytes:
        type, code = self._ERRORS[kind]
        return dumped({"error": {"message": message, "type": type, "param": None, "code": code}})

    def whole(self, text: str, usage: str = "counted", **more: Any) -> bytes:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return dumped({**self._base("chat.completion"), "choices": [choice], **self._usage(usage), **more})

    def role(self) -> bytes:
        return self._delta({"role": "assistant", "content": ""})

    def content(self, text: str) -> bytes:
        return self._delta({"content": text})

    def finish(self, usage: str = "counted") -> bytes:
        last = self._delta({}, "stop")
        counted = self._usage(usage)
        return last + (self._event({"choices": [], **counted}) if counted else b"")

    def end(self) -> bytes:
        return b"data: [DONE]\n\n"

    def error_event(self) -> bytes:
        return b"data: " + self.error("server", "The server had an error while processing.") + b"\n\n"

    def ping(self) -> bytes:
        return b": OPENROUTER PROCESSING\n\n"

    def _base(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-fault", "object": kind, "created": 1795356000, "model": "fault"}

    def _event(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + dumped({**self._base("chat.completion.chunk"), **fields}) + b"\n\n"

    def _delta(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _usage(self, usage: str) -> dict[str, Any]:
        return {
            "counted": {"usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}},
            "none": {},
            "null": {"usage": None},
            "empty": {"usage": {}},
            "odd": {"usage": {"prompt_tokens": "7", "completion_tokens": [3], "prompt_tokens_details": []}},
        }[usage]


class Ollama(Wire):
    name, stream_type, path = "ollama", "application/x-ndjson", "/api/chat"

    def error(self, kind: str, message: str) -> bytes:
        if kind == "context":
            inner = {"code": 400, "message": "request (9083 tokens) exceeds the available context size (8192 tokens)"}
            inner |= {"type": "exceed_context_size_error", "n_prompt_tokens": 9083, "n_ctx": 8192}
            message = dumped({"error": inner}).decode()
        elif kind == "not_found":
            message = 'model "fault" not found, try pulling it first'
        return dumped({"error": message})

    def whole(self, text: str, usage: str = "counted") -> bytes:
        return self._line(text, done=True, done_reason="stop", **self._usage(usage))

    def role(self) -> bytes:
        return self._line("")

    def content(self, text: str) -> bytes:
        return self._line(text)

    def finish(self, usage: str = "counted") -> bytes:
        return self._line("", done=True, done_reason="stop", **self._usage(usage))

    def error_event(self) -> bytes:
        return self.error("server", "an error was encountered while running the model: exit status 2") + b"\n"

    def ping(self) -> bytes:
        return self._line("")

    def garbage(self) -> bytes:
        return b"{{{{ \x00\xff\xfe ]]]\n{{{\n"

    def _line(self, text: str, *, done: bool = False, **more: Any) -> bytes:
        message = {"role": "assistant", "content": text}
        line = {"model": "fault", "created_at": "2026-11-22T14:00:00.000001Z", "message": message, "done": done}
        return dumped({**line, **more}) + b"\n"

    def _usage(self, usage: str) -> dict[str, Any]:
        return {
            "counted": {"total_duration": 5, "prompt_eval_count": INPUT, "eval_count": OUTPUT},
            "none": {},
            "null": {"prompt_eval_count": None, "eval_count": None},
            "empty": {"total_duration": 5},
            "odd": {"prompt_eval_count": "7", "eval_count": [3]},
        }[usage]


class Anthropic(Wire):
    name, stream_type, path = "anthropic", "text/event-stream", "/v1/messages"

    _ERRORS = {
        "rate_limit": "rate_limit_error",
        "server": "api_error",
        "overloaded": "overloaded_error",
        "authentication": "authentication_error",
        "permission": "permission_error",
        "not_found": "not_found_error",
        "context": "invalid_request_error",
        "invalid": "invalid_request_error",
    }

    def error(self, kind: str, message: str) -> bytes:
        if kind == "context":
            message = "prompt is too long: 9083 tokens > 8192 maximum"
        return dumped({"type": "error", "error": {"type": self._ERRORS[kind], "message": message}})

    def whole(self, text: str, usage: str = "counted") -> bytes:
        blocks = [{"type": "text", "text": text}]
        return dumped({**self._message(blocks), "stop_reason": "end_turn", **self._usage(usage, OUTPUT)})

    def role(self) -> bytes:
        start = self._event("message_start", message={**self._message([]), "usage": {"input_tokens": INPUT}})
        return start + self._event("content_block_start", index=0, content_block={"type": "text", "text": ""})

    def content(self, text: str) -> bytes:
        return self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def finish(self, usage: str = "counted") -> bytes:
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        stopped = self._event("content_block_stop", index=0)
        return stopped + self._event("message_delta", delta=stop, **self._usage(usage, OUTPUT))

    def end(self) -> bytes:
        return self._event("message_stop")

    def error_event(self) -> bytes:
        return b"event: error\ndata: " + self.error("server", "Internal server error") + b"\n\n"

    def ping(self) -> bytes:
        return self._event("ping")

    def _event(self, type: str, **fields: Any) -> bytes:
        return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()

    def _message(self, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        fields = {"id": "msg_fault", "type": "message", "role": "assistant", "model": "fault", "content": blocks}
        return {**fields, "stop_reason": None, "stop_sequence": None}

    def _usage(self, usage: str, output: int) -> dict[str, Any]:
        return {
            "counted": {"usage": {"input_tokens": INPUT, "output_tokens": output}},
            "none": {},
            "null": {"usage": None},
            "empty": {"usage": {}},
            "odd": {"usage": {"input_tokens": "7", "output_tokens": [3]}},
        }[usage]


WIRES: tuple[Wire, ...] = (OpenAI(), Ollama(), Anthropic())
