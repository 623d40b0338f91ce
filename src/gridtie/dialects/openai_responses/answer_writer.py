"""Events -> the answers of OpenAI's responses, streamed and whole."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.answer import MIXED_CALLS, AnswerTooLarge, Finish, Text, ToolCall, Unwritable
from gridtie.dialects.openai_responses.namespaces import apart
from gridtie.dialects.openai_responses.sealed import sealed
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Usage

_encode = msgspec.json.Encoder().encode
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def to_wire(usage: Usage) -> dict[str, object]:
    """The `usage` object of a response."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


class _Item:
    """One item of the output while its pieces come; `inside` is a JSON string without its quotes."""

    def __init__(self, kind: str, id: str, place: int, call: ToolCall | None = None) -> None:
        self.kind = kind
        self.id = id
        # Among the items of the output.
        self.place = place
        self.call = call
        # Of reasoning: what lets its provider take it back.
        self.encrypted: msgspec.Raw | None = None
        self.inside = bytearray() if call is None else bytearray(_encode(call.arguments)[1:-1])

    @property
    def text(self) -> msgspec.Raw:
        return msgspec.Raw(b'"' + bytes(self.inside) + b'"')

    def part(self, text: msgspec.Raw | str) -> dict[str, Any]:
        """Its one part."""
        if self.kind == "message":
            return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "reasoning_text", "text": text}

    def whole(self, status: str) -> dict[str, Any]:
        """It as it stands; empty while it is in progress."""
        done = status == "completed"
        if self.call is not None:
            namespace, name = apart(self.call.name)
            found = {"type": "function_call", "id": self.id, "call_id": self.call.id, "name": name}
            found |= {"namespace": namespace} if namespace else {}
            return found | {"arguments": self.text if done else "", "status": status}
        content = [self.part(self.text)] if done else []
        if self.kind == "reasoning":
            told: dict[str, Any] = {"type": "reasoning", "id": self.id, "summary": [], "content": content}
            return told | ({"encrypted_content": self.encrypted} if done and self.encrypted is not None else {})
        return {"type": "message", "id": self.id, "role": "assistant", "status": status, "content": content}


class _Response:
    """The response as it grows; what both writers have in common."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        self._id = "resp_" + (options.name or id.removeprefix("chatcmpl-") or "0")
        self._kept = {"previous_response_id": options.previous or None, "store": options.keeps}
        self._head = {"id": self._id, "object": "response", "created_at": created, "model": model}
        self._items: list[_Item] = []
        self._calls: dict[int, _Item] = {}
        self._bytes = 0

    def held(self) -> int:
        return self._bytes

    def _response(self, status: str, finish: Finish | None = None, usage: Usage | None = None) -> dict[str, Any]:
        reason = _INCOMPLETE.get(finish or "")
        return self._head | {
            "status": "incomplete" if reason else status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "instructions": None,
            "max_output_tokens": None,
            "metadata": {},
            "output": [item.whole("completed") for item in self._items] if finish is not None else [],
            "parallel_tool_calls": True,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            **self._kept,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None if usage is None else to_wire(usage),
        }

    def _seal(self, item: _Item, encrypted: msgspec.Raw) -> None:
        """Whatever follows, also more reasoning, is another item."""
        self._bytes += len(encrypted)
        item.encrypted = encrypted

    def _new(self, kind: str, call: ToolCall | None = None) -> _Item:
        prefix = {"reasoning": "rs", "call": "fc"}.get(kind, "msg")
        place = len(self._items)
        item = _Item(kind, f"{prefix}_{self._id.removeprefix('resp_')}_{place}", place, call)
        self._items.append(item)
        return item

    def _keep(self, item: _Item, text: Text) -> None:
        piece = bytes(text)[1:-1]
        self._bytes += len(piece)
        if self._bytes > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        item.inside += piece


class WholeWriter(_Response):
    """Collects an answer, and gives it whole at its end."""

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        return self._add("message", text)

    def reasoning(self, text: Text) -> bytes:
        return self._add("reasoning", text)

    def signature(self, text: Text) -> bytes:
        self._seal(self._last("reasoning"), sealed(text))
        return b""

    def redacted(self, data: Text) -> bytes:
        self._seal(self._new("reasoning"), sealed(data, redacted=True))
        return b""

    def refusal(self, text: Text) -> bytes:
        return self._add("refusal", text)

    def call(self, index: int, call: ToolCall) -> bytes:
        self._calls[index] = self._new("call", call)
        return b""

    def arguments(self, index: int, piece: Text) -> bytes:
        self._keep(self._calls[index], piece)
        return b""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        return _encode(self._response("completed", reason, usage))

    def _add(self, kind: str, text: Text) -> bytes:
        self._keep(self._last(kind), text)
        return b""

    def _last(self, kind: str) -> _Item:
        """The item that is being written, or a new one where that is of another kind or sealed."""
        last = self._items[-1] if self._items else None
        return last if last is not None and last.kind == kind and last.encrypted is None else self._new(kind)


_DELTAS = {
    "message": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "reasoning": "response.reasoning_text.delta",
    "call": "response.function_call_arguments.delta",
}


class EventWriter(_Response):
    """The events of one streamed answer. Each item is told whole at its end, so its text is kept until then."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        super().__init__(id, created, model, options)
        # The first two are those of the start, which is asked for once there is something to follow it.
        self._sequence = 2
        self._open: _Item | None = None
        # What stands before and after a delta's number, made once an item: this runs once per token.
        self._before = self._after = b""

    def start(self) -> bytes:
        begun = {"response": self._response("in_progress")}
        return _numbered("response.created", 0, begun) + _numbered("response.in_progress", 1, begun)

    def content(self, text: Text) -> bytes:
        return self._say("message", text)

    def reasoning(self, text: Text) -> bytes:
        return self._say("reasoning", text)

    def signature(self, text: Text) -> bytes:
        return self._sealed(sealed(text), anew=False)

    def redacted(self, data: Text) -> bytes:
        return self._sealed(sealed(data, redacted=True), anew=True)

    def _sealed(self, encrypted: msgspec.Raw, *, anew: bool) -> bytes:
        opened = b""
        if anew or self._open is None or self._open.kind != "reasoning":
            opened = self._begin("reasoning")
        assert self._open is not None  # noqa: S101 (begun above)
        self._seal(self._open, encrypted)
        return opened + self._close()

    def refusal(self, text: Text) -> bytes:
        return self._say("refusal", text)

    def call(self, index: int, call: ToolCall) -> bytes:
        opened = self._begin("call", call)
        item = self._calls[index] = self._items[-1]
        # Clients that put a call together of deltas read its arguments nowhere else.
        return opened + self._delta(item.text) if item.inside else opened

    def arguments(self, index: int, piece: Text) -> bytes:
        item = self._calls[index]
        if item is not self._open:
            raise Unwritable(MIXED_CALLS)
        self._keep(item, piece)
        return self._delta(piece)

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        closed = self._close()
        name = "response.incomplete" if reason in _INCOMPLETE else "response.completed"
        return closed + self._event(name, response=self._response("completed", reason, usage))

    def _say(self, kind: str, text: Text) -> bytes:
        opened = b""
        if self._open is None or self._open.kind != kind:
            opened = self._begin(kind)
        assert self._open is not None  # noqa: S101 (begun above)
        self._keep(self._open, text)
        return opened + self._delta(text)

    def _delta(self, text: Text) -> bytes:
        self._sequence += 1
        return b"%b%d%b%b}\n\n" % (self._before, self._sequence - 1, self._after, bytes(text))

    def _begin(self, kind: str, call: ToolCall | None = None) -> bytes:
        closed = self._close()
        item = self._open = self._new(kind, call)
        name = _DELTAS[kind].encode()
        self._before = b'event: %b\ndata: {"type":"%b","sequence_number":' % (name, name)
        where: dict[str, Any] = {"item_id": item.id, "output_index": item.place}
        if kind != "call":
            where["content_index"] = 0
        if kind == "message":
            where["logprobs"] = []
        self._after = b"," + _encode(where)[1:-1] + b',"delta":'
        added = self._event("response.output_item.added", output_index=item.place, item=item.whole("in_progress"))
        if kind == "call":
            return closed + added
        part = self._event("response.content_part.added", **self._place(item), part=item.part(""))
        return closed + added + part

    def _close(self) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        if item.call is not None:
            said = {"item_id": item.id, "output_index": item.place}
            said |= {"name": apart(item.call.name)[1], "arguments": item.text}
            told = self._event("response.function_call_arguments.done", **said)
        else:
            field = "refusal" if item.kind == "refusal" else "text"
            said = self._place(item) | {field: item.text} | ({"logprobs": []} if item.kind == "message" else {})
            told = self._event(_DELTAS[item.kind].replace(".delta", ".done"), **said)
            told += self._event("response.content_part.done", **self._place(item), part=item.part(item.text))
        return told + self._event("response.output_item.done", output_index=item.place, item=item.whole("completed"))

    def _place(self, item: _Item) -> dict[str, Any]:
        return {"item_id": item.id, "output_index": item.place, "content_index": 0}

    def _event(self, type: str, /, **fields: Any) -> bytes:
        self._sequence += 1
        return _numbered(type, self._sequence - 1, fields)


def _numbered(type: str, number: int, fields: dict[str, Any]) -> bytes:
    data = {"type": type, "sequence_number": number} | fields
    return b"event: %b\ndata: %b\n\n" % (type.encode(), _encode(data))
