"""Reading the facts of an Anthropic message request, with everything that money or policy rests on checked."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.body import (
    NULL,
    SDK_ARGUMENTS,
    Found,
    Take,
    bill,
    fields_of,
    need,
    read_each,
    take_cache_control,
    take_limit,
    take_model,
    take_number,
    take_one_answer,
    take_stream,
    take_text,
    typed,
)
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.openai_chat.facts import BILLED
from gridtie.dialects.openai_chat.messages import FRAME_BYTES, QUOTES

_Raw = msgspec.Raw
_PLAIN_TIERS = {"auto", "standard_only"}
# Of the tools that Anthropic's models know by name, those that the client runs.
_CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "memory_")
# A window of a million tokens, and a faster way to run a model: both dearer than the price list says.
_BILLED_BETAS = ("context-1m", "fast-mode")
_DEMANDS = ("any", "tool")
_PLAIN_BLOCKS = {"text", "thinking", "redacted_thinking", "tool_use"}
_NOTHING = (NULL, _Raw(b"[]"), _Raw(b"{}"), _Raw(b'""'))
_FREE_FIELDS = frozenset(("stop_sequences", "metadata", "tool_choice", "context_management", "thinking", "diagnostics"))


class _Block(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = NULL
    thinking: msgspec.Raw = NULL
    name: msgspec.Raw = NULL
    input: msgspec.Raw = NULL
    source: msgspec.Raw = NULL
    content: msgspec.Raw = NULL
    cache_control: msgspec.Raw = NULL


class _Message(msgspec.Struct):
    content: msgspec.Raw = NULL


class _Tool(msgspec.Struct):
    type: str | None = None
    cache_control: msgspec.Raw = NULL


class _Choice(msgspec.Struct):
    type: str = ""
    disable_parallel_tool_use: bool | None = None


class _OutputConfig(msgspec.Struct):
    format: msgspec.Raw = NULL


_blocks = msgspec.json.Decoder(list[_Block]).decode
_messages = msgspec.json.Decoder(list[_Message]).decode
_tools = msgspec.json.Decoder(list[_Tool]).decode
_choice = msgspec.json.Decoder(_Choice).decode
_config = msgspec.json.Decoder(_OutputConfig).decode
_text = msgspec.json.Decoder(str).decode


def read(body: bytes | bytearray, headers: tuple[tuple[str, str], ...] = (), query: str = "") -> Facts:
    """The facts of a client's body; `headers` and `query` go on to a target of Anthropic's. Raises `InvalidRequest`."""
    found: Found = {"fields": fields_of(body), "dialect": "anthropic", "wants_usage": True}
    if headers:
        found["headers"] = headers
        if any(beta in value for name, value in headers if name == "anthropic-beta" for beta in _BILLED_BETAS):
            bill(found, "a beta that is billed otherwise")
    if query:
        found["query"] = query
    return read_each(found, _TAKE, _FREE_FIELDS)


def _take_messages(found: Found, name: str, value: msgspec.Raw) -> None:
    messages = typed(_messages, name, value, "a list of messages, each with a role and content") or []
    found["messages"] = found.get("messages", 0) + len(messages)
    measured = _Measure(found)
    for at, message in enumerate(messages):
        measured.content(f"{name}[{at}].content", message.content)
    measured.rest(len(value), len(messages))


def _take_system(found: Found, name: str, value: msgspec.Raw) -> None:
    measured = _Measure(found)
    measured.content(name, value)
    measured.rest(len(value), 1)


class _Measure:
    """Adds up blocks; sizes in bytes of JSON text as it stands."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._text = self._image_bytes = self._frames = 0

    def content(self, path: str, value: msgspec.Raw, *, of_result: bool = False) -> None:
        """A content in either of its forms. A result holds no results: each level would be read once more."""
        if value == NULL:
            return
        if kind(value) == "a string":
            self._text += len(value) - QUOTES
            return
        for at, block in enumerate(typed(_blocks, path, value, "a string, or a list of blocks") or ()):
            self._frames += 1
            self._block(f"{path}[{at}]", block, of_result=of_result)

    def _block(self, path: str, block: _Block, *, of_result: bool) -> None:
        found = self._found
        if block.cache_control != NULL:
            found["caches"] = True
        if block.type == "image":
            found["images"] = found.get("images", 0) + 1
            self._image_bytes += len(block.source)
            need(found, "vision")
        elif block.type == "tool_result" and not of_result:
            self.content(f"{path}.content", block.content, of_result=True)
        elif block.type in _PLAIN_BLOCKS:
            said = (block.text, block.thinking, block.name, block.input)
            self._text += sum(len(span) - QUOTES for span in said if span is not NULL)
        else:
            bill(found, "files" if block.type == "document" else "content parts of an unknown type")

    def rest(self, size: int, messages: int) -> None:
        """What is more than the frames of messages and blocks counts as text, too."""
        found = self._found
        hidden = size - self._text - self._image_bytes - FRAME_BYTES * (self._frames + messages)
        found["text_bytes"] = found.get("text_bytes", 0) + self._text + max(0, hidden)
        if self._image_bytes:
            found["image_bytes"] = found.get("image_bytes", 0) + self._image_bytes


def _take_tools(found: Found, name: str, value: msgspec.Raw) -> None:
    tools = typed(_tools, name, value, "a list of objects, each with a name") or []
    choice = typed(_choice, "tool_choice", found["fields"].get("tool_choice", NULL), "an object with a type")
    if tools and (choice is None or choice.type != "none"):
        need(found, "tools")
        if choice is not None and choice.disable_parallel_tool_use:
            found["one_tool_call"] = True
        if choice is not None and choice.type in _DEMANDS:
            found["must_call"] = True
    take_text(found, name, value)
    for tool in tools:
        if tool.type is not None and not tool.type.startswith(_CLIENT_TOOLS):
            bill(found, "server-side tools")
        if tool.cache_control != NULL:
            found["caches"] = True


def _take_output_config(found: Found, name: str, value: msgspec.Raw) -> None:
    config = typed(_config, name, value, "an object")
    if config is not None and config.format != NULL:
        need(found, "json")
        take_text(found, name, config.format)


def _take_service_tier(found: Found, name: str, value: msgspec.Raw) -> None:
    tier: Any = typed(_text, name, value, "auto or standard_only")
    if tier is not None and tier not in _PLAIN_TIERS:
        bill(found, name)


def _take_billed(found: Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING:
        bill(found, name)


_TAKE: dict[str, Take] = {
    **BILLED,
    "model": take_model,
    "stream": take_stream,
    "max_tokens": take_limit,
    "n": take_one_answer,
    **dict.fromkeys(("temperature", "top_p", "top_k"), take_number),
    "system": _take_system,
    "messages": _take_messages,
    "tools": _take_tools,
    "output_config": _take_output_config,
    "service_tier": _take_service_tier,
    "cache_control": take_cache_control,
    # Servers that Anthropic calls, a machine that it keeps, and its dearer ways to run a model.
    **dict.fromkeys(("mcp_servers", "container", "speed", "inference_geo"), _take_billed),
    **SDK_ARGUMENTS,
}
