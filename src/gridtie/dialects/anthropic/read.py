"""An Anthropic message request -> the conversation.

A result of a tool, which stands in a message of the user there, is a message of its own in the conversation; a run of
other blocks is one message.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gridtie.dialects.conversation import (
    NULL,
    Call,
    Choice,
    Conversation,
    Data,
    Format,
    Image,
    Message,
    Opaque,
    Part,
    Settings,
    Text,
    Thought,
    Tool,
)
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.object import Object
from gridtie.dialects.types import Untranslatable

_Raw = msgspec.Raw
_EMPTY_STRING = 2  # bytes: its quotes
_OFF = _Raw(b'"disabled"')
_CHOICES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "any": "required"}


def read(facts: Facts) -> Conversation:
    """The conversation of a client's body. Raises `Untranslatable` where it is malformed."""
    fields = facts.fields.copy()
    system, messages = fields.pop("system", NULL), fields.pop("messages", NULL)
    settings = _settings(Object(fields, ""))
    found: list[Message] = []
    if parts := _parts(system, "system"):
        found.append(Message(path="system", role="system", parts=parts))
    items = Object({"messages": messages}, "").spans("messages")
    if not items:
        raise Untranslatable("'messages' is empty; a conversation needs at least one message")
    for at, item in enumerate(items):
        found += _messages(item, f"messages[{at}]")
    return Conversation("anthropic", settings, found)


# -- Settings ----------------------------------------------------------------------------------------------------------


def _settings(body: Object) -> Settings:
    for name in ("model", "stream"):
        body.take(name)
    choice, parallel = _choice(body)
    settings = Settings(
        limit=body.whole("max_tokens"),
        stops=body.strings("stop_sequences") or [],
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.whole("top_k"),
        tools=[_tool(span, f"tools[{at}]") for at, span in enumerate(body.spans("tools"))],
        choice=choice,
        parallel=parallel,
        format=_format(body),
        thinks_not=_thinks_not(body),
    )
    settings.rest = body.rest()
    return settings


def _thinks_not(body: Object) -> bool:
    span = body.peek("thinking")
    return span != NULL and Object.read(span, "thinking").peek("type") == _OFF


def _choice(body: Object) -> tuple[Choice | None, bool | None]:
    choice = body.inner("tool_choice")
    if choice is None:
        return None, None
    single = choice.flag("disable_parallel_tool_use")
    parallel = None if single is None else not single
    kind_ = choice.string("type") or ""
    if kind_ == "tool":
        return Choice("named", choice.string("name") or ""), parallel
    if kind_ not in _CHOICES:
        raise choice.wrong("type", "another word", "auto, any, none or tool")
    return Choice(_CHOICES[kind_]), parallel


def _format(body: Object) -> Format | None:
    config = body.inner("output_config")
    form = None if config is None else config.inner("format")
    if form is None:
        return None
    if form.string("type") != "json_schema":
        raise form.wrong("type", "another word", "json_schema")
    return Format(path=form.path, schema=form.take("schema"))


def _tool(span: msgspec.Raw, path: str) -> Tool | Opaque:
    tool = Object.read(span, path)
    type_ = tool.string("type") or "custom"
    if type_ != "custom":
        # Run by Anthropic, or known to its models by their names alone.
        return Opaque(path=path, span=span, kind=type_[:64], needs="tools")
    name = tool.string("name")
    if name is None:
        raise tool.wrong("name", "nothing", "the tool's name")
    return Tool(
        path=path,
        name=name,
        description=tool.json_string("description"),
        parameters=tool.take("input_schema"),
        strict=tool.flag("strict"),
        cache=tool.take("cache_control"),
        rest=tool.rest(),
    )


# -- Messages ----------------------------------------------------------------------------------------------------------


def _messages(span: msgspec.Raw, path: str) -> list[Message]:
    """What one message of Anthropic's says: results of tools, and what stands between them."""
    message = Object.read(span, path)
    role = message.string("role")
    if role not in ("user", "assistant", "system"):
        raise message.wrong("role", "an unknown role", "user, assistant or system")
    content = message.take("content")
    if kind(content) not in ("a string", "a list"):
        raise message.wrong("content", kind(content), "a string, or a list of blocks")
    found: list[Message] = []
    for said in _blocks(content, f"{path}.content"):
        if isinstance(said, Message):
            found.append(said)
        elif found and found[-1].role == role:
            found[-1].parts.append(said)
        else:
            found.append(Message(path=path, role=role, parts=[said]))  # type: ignore[arg-type]
    if not found:
        found.append(Message(path=path, role=role))  # type: ignore[arg-type]
    found[0].rest = found[0].rest | message.rest()
    return found


def _blocks(content: msgspec.Raw, path: str, *, results: bool = True) -> list[Part | Message]:
    if content == NULL:
        return []
    if kind(content) == "a string":
        return [Text(path=path, text=content)] if len(content) > _EMPTY_STRING else []
    found = []
    for at, span in enumerate(Object({"": content}, path).spans("")):
        if (block := _block(span, f"{path}[{at}]", results=results)) is not None:
            found.append(block)
    return found


def _parts(content: msgspec.Raw, path: str) -> list[Part]:
    """The blocks of a place where no result can stand."""
    found = []
    for part in _blocks(content, path, results=False):
        assert not isinstance(part, Message)  # noqa: S101 (refused)
        found.append(part)
    return found


def _block(span: msgspec.Raw, path: str, *, results: bool) -> Part | Message | None:
    block = Object.read(span, path)
    match type_ := block.string("type") or "":
        case "text":
            text = block.json_string("text")
            if text == NULL or len(text) == _EMPTY_STRING:
                return None
            return Text(path=path, text=text, cache=block.take("cache_control"), rest=block.rest())
        case "image":
            source = _source(block)
            if source is not None:
                return Image(path=path, source=source, cache=block.take("cache_control"), rest=block.rest())
        case "thinking":
            text, signature = block.json_string("thinking"), block.json_string("signature")
            return Thought(path=path, text=text, signature=signature, rest=block.rest())
        case "tool_use":
            return _call(block)
        case "tool_result":
            if not results:
                raise Untranslatable(f"{path}: found a tool_result, which stands in a message of the user alone")
            return _result(block)
    return Opaque(path=path, span=span, kind=type_[:64], needs="content")


def _source(block: Object) -> Data | msgspec.Raw | None:
    """An image's data or address; None where it lies somewhere that Anthropic alone can look."""
    source = block.inner("source")
    type_ = None if source is None else source.string("type")
    if source is None or type_ not in ("base64", "url"):
        return None
    if type_ == "url":
        return source.json_string("url")
    return Data((source.string("media_type") or "").lower(), source.json_string("data"))


def _call(block: Object) -> Call:
    name = block.string("name")
    if name is None:
        raise block.wrong("name", "nothing", "the tool's name")
    arguments = block.take("input")
    if kind(arguments) not in ("an object", "null"):
        raise block.wrong("input", kind(arguments), "an object")
    return Call(
        path=block.path,
        id=block.string("id") or "",
        name=name,
        arguments="" if arguments == NULL else bytes(arguments).decode(),
        cache=block.take("cache_control"),
        rest=block.rest(),
    )


def _result(block: Object) -> Message:
    return Message(
        path=block.path,
        role="tool",
        call_id=block.string("tool_use_id") or "",
        failed=block.flag("is_error") or False,
        parts=_parts(block.take("content"), f"{block.path}.content"),
        cache=block.take("cache_control"),
        rest=block.rest(),
    )
