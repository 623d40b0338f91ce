"""A request to OpenAI's responses -> the conversation.

Items of one side that follow each other are one message: reasoning, text and calls of an answer belong together.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gridtie.dialects.conversation import (
    EMPTY,
    NULL,
    Call,
    Choice,
    Conversation,
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
from gridtie.dialects.openai_chat.read import address
from gridtie.dialects.openai_responses.namespaces import JOINT, joined
from gridtie.dialects.openai_responses.sealed import opened
from gridtie.dialects.types import Untranslatable

_Raw = msgspec.Raw
_EMPTY_STRING = 2  # bytes: its quotes
_NONE = _Raw(b'"none"')
_ROLES = ("system", "developer", "user", "assistant")


def read(facts: Facts) -> Conversation:
    """The conversation of a client's body. Raises `Untranslatable` where it is malformed."""
    fields = facts.fields.copy()
    instructions, given = fields.pop("instructions", NULL), fields.pop("input", NULL)
    settings = _settings(Object(fields, ""))
    found: list[Message] = []
    if instructions != NULL and len(instructions) > _EMPTY_STRING:
        text = Object({"instructions": instructions}, "").json_string("instructions")
        found.append(Message(path="instructions", role="system", parts=[Text(path="instructions", text=text)]))
    if kind(given) == "a string":
        found.append(Message(path="input", role="user", parts=_parts(given, "input")))
    else:
        for at, span in enumerate(Object({"input": given}, "").spans("input")):
            _add(found, Object.read(span, f"input[{at}]"), span)
    if not found:
        raise Untranslatable("'input' is empty; a response needs at least one item")
    return Conversation("openai-responses", settings, found)


# -- Settings ----------------------------------------------------------------------------------------------------------


def _settings(body: Object) -> Settings:
    for name in ("model", "stream"):
        body.take(name)
    body.inner("stream_options")
    settings = Settings(
        limit=body.whole("max_output_tokens"),
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        choice=_choice(body),
        parallel=body.flag("parallel_tool_calls"),
        format=_format(body),
        thinks_not=_thinks_not(body),
    )
    for at, span in enumerate(body.spans("tools")):
        settings.tools += _tools(span, f"tools[{at}]", "")
    settings.rest = body.rest()
    return settings


def _thinks_not(body: Object) -> bool:
    reasoning = body.inner("reasoning")
    return reasoning is not None and reasoning.peek("effort") == _NONE


def _choice(body: Object) -> Choice | None:
    span = body.peek("tool_choice")
    if span == NULL:
        return None
    if kind(span) == "a string":
        match body.string("tool_choice"):
            case "auto" | "none" | "required" as word:
                return Choice(word)
        raise body.wrong("tool_choice", "another word", "auto, none, required or a function")
    if Object.read(span, "tool_choice").string("type") != "function":
        return None  # kept as it is
    named = Object.read(body.take("tool_choice"), "tool_choice")
    return Choice("named", joined(named.string("namespace") or "", named.string("name") or ""))


def _format(body: Object) -> Format | None:
    text = body.inner("text")
    form = None if text is None else text.inner("format")
    if form is None:
        return None
    match form.string("type"):
        case "text" | None:
            return None
        case "json_object":
            return Format(path=form.path)
        case "json_schema":
            found = Format(path=form.path, schema=form.take("schema"), strict=form.flag("strict"))
            found.name, found.description = form.take("name"), form.take("description")
            return found
    raise form.wrong("type", "another word", "text, json_object or json_schema")


def _tools(span: msgspec.Raw, path: str, namespace: str) -> list[Tool | Opaque]:
    tool = Object.read(span, path)
    type_ = tool.string("type") or ""
    name = tool.string("name")
    if type_ == "namespace" and not namespace:
        inner = tool.spans("tools")
        return [each for at, one in enumerate(inner) for each in _tools(one, f"{path}.tools[{at}]", name or "")]
    if type_ != "function":
        return [Opaque(path=path, span=span, kind=type_[:64], needs="tools")]
    if name is None or JOINT in name:
        raise tool.wrong("name", "no name that can be used", f"a name without {JOINT!r}")
    return [
        Tool(
            path=path,
            name=joined(namespace, name),
            description=tool.json_string("description"),
            parameters=tool.take("parameters"),
            strict=tool.flag("strict"),
            rest=tool.rest(),
        )
    ]


# -- Items -------------------------------------------------------------------------------------------------------------


def _add(found: list[Message], item: Object, span: msgspec.Raw) -> None:
    """One item, to the message that it belongs to."""
    match type_ := item.string("type") or "message":
        case "message":
            _add_message(found, item)
        case "function_call":
            namespace, name = item.string("namespace") or "", item.string("name") or ""
            call = Call(
                path=item.path,
                id=item.string("call_id") or "",
                name=joined(namespace, name),
                arguments=item.string("arguments") or "",
            )
            call.rest = item.rest()
            _of_assistant(found, item.path).parts.append(call)
        case "function_call_output":
            parts = _parts(item.take("output"), f"{item.path}.output")
            # Codex names the tool once more where there is none of that name; the call has both.
            item.take("name")
            item.take("namespace")
            result = Message(path=item.path, role="tool", call_id=item.string("call_id") or "", parts=parts)
            result.rest = item.rest()
            found.append(result)
        case "reasoning":
            _of_assistant(found, item.path).parts.extend(_thoughts(item))
        case _:
            opaque = Opaque(path=item.path, span=span, kind=type_[:64], needs="items")
            _of_assistant(found, item.path).parts.append(opaque)


def _add_message(found: list[Message], item: Object) -> None:
    role = _role(item)
    parts = _parts(item.take("content"), f"{item.path}.content")
    if role == "assistant":
        message = _of_assistant(found, item.path)
        message.parts += parts
        message.rest.update(item.rest())
    else:
        found.append(Message(path=item.path, role=role, parts=parts, rest=item.rest()))


def _role(item: Object) -> Literal["system", "developer", "user", "assistant"]:
    role = item.string("role")
    if role not in _ROLES:
        raise item.wrong("role", "an unknown role", f"one of {', '.join(_ROLES)}")
    return role  # type: ignore[return-value]


def _of_assistant(found: list[Message], path: str) -> Message:
    """The answer that is being told of, or a new one."""
    if not found or found[-1].role != "assistant":
        found.append(Message(path=path, role="assistant"))
    return found[-1]


def _thoughts(item: Object) -> list[Part]:
    """Reasoning as text, where there is any, with what lets its provider take it back."""
    texts: list[Part] = []
    signature, redacted = opened(item.take("encrypted_content"))
    for field in ("content", "summary"):
        for at, span in enumerate(item.spans(field)):
            part = Object.read(span, f"{item.path}.{field}[{at}]")
            text = part.json_string("text")
            if not texts and text != NULL and len(text) > _EMPTY_STRING:
                texts.append(Thought(path=part.path, text=text, signature=signature, redacted=redacted))
    if not texts and signature != NULL:
        # Some models show nothing of what they sign.
        texts.append(Thought(path=item.path, text=EMPTY, signature=signature, redacted=redacted))
    return texts


def _parts(content: msgspec.Raw, path: str) -> list[Part]:
    if content == NULL:
        return []
    if kind(content) == "a string":
        return [Text(path=path, text=content)] if len(content) > _EMPTY_STRING else []
    found: list[Part] = []
    for at, span in enumerate(Object({"": content}, path).spans("")):
        part = Object.read(span, f"{path}[{at}]")
        match type_ := part.string("type") or "":
            case "input_text" | "output_text" | "text":
                text = part.json_string("text")
                if text != NULL and len(text) > _EMPTY_STRING:
                    found.append(Text(path=part.path, text=text, rest=part.rest()))
            case "refusal":
                found.append(Text(path=part.path, text=part.json_string("refusal"), refusal=True, rest=part.rest()))
            case "input_image" if part.peek("image_url") != NULL:
                source = address(part.take("image_url"), part.path)
                found.append(Image(path=part.path, source=source, rest=part.rest()))
            case _:
                found.append(Opaque(path=part.path, span=span, kind=type_[:64], needs="content"))
    return found
