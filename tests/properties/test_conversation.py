"""Any conversation that the middle can hold, written by each dialect and read again, is the same, less what the table
in docs/routing.md says.

What a dialect cannot say is put in words here as what becomes of a conversation: `EXPECTED` has one function each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gridtie.dialects.codecs import PACKAGES
from gridtie.dialects.conversation import (
    EMPTY,
    NO_PARAMETERS,
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
    Rest,
    Said,
    Settings,
    Text,
    Thought,
    Tool,
)
from gridtie.dialects.facts import Facts
from gridtie.dialects.package import Package
from gridtie.dialects.types import RequestOptions, Untranslatable

_Raw = msgspec.Raw
_EPHEMERAL = _Raw(b'{"type":"ephemeral"}')
_fields = msgspec.json.Decoder(dict[str, _Raw]).decode


def raw(value: object) -> msgspec.Raw:
    return _Raw(msgspec.json.encode(value))


def naming(settings: Settings) -> Settings:
    """A tool that is demanded by its name is one of those that there are; without any, nothing is demanded."""
    if not settings.tools:
        return replace(settings, choice=None)
    if settings.choice == Choice("named"):
        tool = settings.tools[0]
        assert isinstance(tool, Tool)
        return replace(settings, choice=Choice("named", tool.name))
    return settings


# -- Conversations -----------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TEXTS = WORDS.map(raw)
IDS = st.text("abcXYZ019_-", min_size=1, max_size=8)
NAMES = st.text("abc_", min_size=1, max_size=6)
MARKS = st.sampled_from([NULL, _EPHEMERAL])
ARGUMENTS = st.dictionaries(NAMES, st.one_of(st.integers(), WORDS, st.none()), max_size=2).map(
    lambda found: json.dumps(found, separators=(", ", ":"), ensure_ascii=False)
)
DATA, ADDRESS = Data("image/png", _Raw(b'"iVBORw0KGgo="')), _Raw(b'"https://example.org/a.png"')
IMAGES = st.builds(Image, source=st.sampled_from([DATA, DATA, DATA, ADDRESS]), cache=MARKS)
SAID = st.one_of(st.builds(Text, text=TEXTS, cache=MARKS), IMAGES)
THOUGHTS = st.one_of(
    st.builds(Thought, text=TEXTS, signature=st.one_of(st.just(NULL), TEXTS)),
    st.builds(Thought, text=st.just(EMPTY), signature=TEXTS, redacted=st.just(True)),
)
PENALTIES = st.one_of(st.none(), st.none(), st.none(), st.floats(0.5, 2))
CALLS = st.builds(Call, id=IDS, name=NAMES, arguments=ARGUMENTS, cache=MARKS)
ONLY_TEXT = st.lists(st.builds(Text, text=TEXTS, cache=MARKS), max_size=3)
INSTRUCTIONS = st.builds(Message, role=st.sampled_from(["system", "developer"]), parts=ONLY_TEXT)
REFUSALS = st.builds(Text, text=TEXTS, refusal=st.just(True))
# A single speaker: several are refused where they cannot be told apart.
USERS = st.builds(
    Message, role=st.just("user"), parts=st.lists(SAID, max_size=3), name=st.sampled_from(["", "ann"])
)  # fmt: skip
ASSISTANTS = st.builds(
    Message,
    role=st.just("assistant"),
    parts=st.lists(st.one_of(THOUGHTS, SAID, CALLS, REFUSALS), max_size=4),
)
RESULTS = st.builds(
    Message, role=st.just("tool"), call_id=IDS, failed=st.booleans(), parts=st.lists(SAID, max_size=2), cache=MARKS
)
LAST = Message(role="user", parts=[Text(text=_Raw(b'"and?"'))])
MESSAGES = st.lists(st.one_of(INSTRUCTIONS, USERS, ASSISTANTS, RESULTS), max_size=6).map(lambda found: [*found, LAST])
SCHEMA = raw({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False})
FLAGS = st.sampled_from([None, True, False])
TOOLS = st.lists(
    st.builds(
        Tool, name=NAMES, description=st.one_of(TEXTS, st.just(NULL)), parameters=st.sampled_from([NULL, SCHEMA]),
        strict=FLAGS, cache=MARKS,
    ),
    max_size=2, unique_by=lambda tool: tool.name,
)  # fmt: skip
SETTINGS = st.builds(
    Settings,
    limit=st.integers(1, 9999),
    frequency_penalty=PENALTIES,
    presence_penalty=PENALTIES,
    repeat_penalty=PENALTIES,
    stops=st.lists(st.text("ab", min_size=1, max_size=3), max_size=2),
    temperature=st.one_of(st.none(), st.floats(0, 2)),
    top_p=st.one_of(st.none(), st.floats(0, 1)),
    top_k=st.one_of(st.none(), st.integers(1, 99)),
    min_p=st.one_of(st.none(), st.floats(0, 1)),
    seed=st.one_of(st.none(), st.integers(0, 99)),
    tools=TOOLS,
    choice=st.sampled_from([None, Choice("auto"), Choice("none"), Choice("required"), Choice("named")]),
    parallel=FLAGS,
    format=st.sampled_from([None, Format(schema=SCHEMA), Format(schema=SCHEMA, strict=True), Format()]),
    thinks_not=st.booleans(),
).map(lambda settings: naming(settings))
# Fields that nobody knows, in any object.
RESTS: st.SearchStrategy[Rest] = st.dictionaries(
    st.text("xyz", min_size=3, max_size=5), st.integers(0, 9).map(raw), max_size=2
)
CONVERSATIONS = st.builds(Conversation, dialect=st.just("openai"), settings=SETTINGS, messages=MESSAGES)


# -- What becomes of one -----------------------------------------------------------------------------------------------


def of(kind: type, parts: list[Part]) -> list[Any]:
    return [part for part in parts if isinstance(part, kind)]


def readable(parts: list[Part]) -> list[msgspec.Raw]:
    """Reasoning that is not encrypted."""
    return [part.text for part in of(Thought, parts) if not part.redacted]


def joined(texts: list[msgspec.Raw], between: str) -> msgspec.Raw:
    return raw(between.join(msgspec.json.decode(text) for text in texts))


def unmarked(parts: list[Part]) -> list[Part]:
    return [part if isinstance(part, Thought) else replace(part, cache=NULL) for part in parts]


def as_openai(said: Conversation) -> Conversation:
    """Reasoning first and as one text, calls last; no marks, no word of a failure, no signature, no developer.

    Images in results of tools follow a run of them, as the user's.
    """
    messages: list[Message] = []
    shown: list[Part] = []
    for message in said.messages:
        if message.role != "tool" and shown:
            messages.append(Message(role="user", parts=shown))
            shown = []
        thoughts = readable(message.parts)
        one: list[Part] = [Thought(text=joined(thoughts, "\n"))] if thoughts else []
        others = [part for part in message.parts if not isinstance(part, Thought | Call)]
        parts = unmarked(one + others + of(Call, message.parts))
        if message.role == "tool":
            shown += of(Image, parts)
            parts = [part for part in parts if not isinstance(part, Image)]
        role: Any = "system" if message.role == "developer" else message.role
        messages.append(replace(message, role=role, parts=parts, failed=False, cache=NULL))
    tools = [replace(tool, cache=NULL) for tool in said.settings.tools]
    settings = with_tools(said.settings, tools)
    return replace(said, messages=messages, settings=replace(settings, thinks_not=False))


def as_ollama(said: Conversation) -> Conversation:
    """Texts as one, before the images; no marks; what it cannot be told of tools is held when the answer is read."""
    names: dict[str, str] = {}
    messages = []
    for message in said.messages:
        names |= {call.id: call.name for call in of(Call, message.parts)}
        thoughts = readable(message.parts)
        texts = [part.text for part in of(Text, message.parts)]
        parts: list[Part] = [Thought(text=joined(thoughts, "\n"))] if thoughts else []
        parts += [Text(text=joined(texts, "\n"))] if texts else []
        parts += unmarked([*of(Image, message.parts), *of(Call, message.parts)])
        role = "system" if message.role == "developer" else message.role
        name = names.get(message.call_id, "") if role == "tool" else ""
        messages.append(replace(message, role=role, parts=parts, name=name, failed=False, cache=NULL))
    tools = [replace(described(tool, EMPTY), strict=None, cache=NULL) for tool in said.settings.tools]
    choice = said.settings.choice
    if choice is not None and choice.kind in ("none", "named"):
        tools = [tool for tool in tools if tool.name == choice.name]
    settings = replace(with_tools(said.settings, tools), choice=None, parallel=None, format=loose(said.settings.format))
    if settings.thinks_not:
        settings = replace(settings, rest={"think": raw(False)})
    return replace(said, messages=messages, settings=settings)


def described(tool: Any, nothing: msgspec.Raw) -> Any:
    """Where a dialect has no tool without parameters, and `nothing` in the place of a description that there is not."""
    description = nothing if tool.description == NULL else tool.description
    parameters = NO_PARAMETERS if tool.parameters == NULL else tool.parameters
    return replace(tool, description=description, parameters=parameters)


def loose(form: Format | None) -> Format | None:
    """Enforced in any case, without a word for it."""
    return form and replace(form, strict=None)


def with_tools(settings: Settings, tools: list[Any]) -> Settings:
    """What is said about calls says nothing without a tool."""
    asked = {} if tools else {"choice": None, "parallel": None}
    return replace(settings, tools=tools, **asked)


def as_anthropic(said: Conversation) -> Conversation:
    """Instructions first, as one; a run of one side as one message; only its own reasoning; no sampling settings."""
    instructions = [message.parts for message in said.messages if message.role in ("system", "developer")]
    spoken = [parts for parts in instructions if parts]
    messages = []
    if any(of_cache(part) != NULL for parts in spoken for part in parts):
        messages.append(Message(role="system", parts=[part for parts in spoken for part in parts]))
    elif spoken:
        paragraphs = [joined([part.text for part in of(Text, parts)], "\n") for parts in spoken]
        messages.append(Message(role="system", parts=[Text(text=joined(paragraphs, "\n\n"))]))
    rest = [message for message in said.messages if message.role not in ("system", "developer")]
    kept = [
        replace(message, name="", parts=[as_block(part) for part in message.parts if signed(part)]) for message in rest
    ]
    full = [message for message in kept if message.parts or message.role == "tool"]
    for role, run in groupby(full, key=lambda message: message.role):
        run_ = list(run)
        whole = [replace(run_[0], parts=[part for message in run_ for part in message.parts])]
        messages += run_ if role == "tool" else whole
    tools = [replace(described(tool, NULL), strict=tool.strict or None) for tool in said.settings.tools]
    settings = replace(
        said.settings, temperature=None, top_p=None, top_k=None, min_p=None, seed=None, repeat_penalty=None,
        thinks_not=False, tools=tools,
        format=loose(said.settings.format), parallel=None if said.settings.parallel else said.settings.parallel,
    )  # fmt: skip
    if settings.tools and settings.parallel is False and settings.choice is None:
        settings = replace(settings, choice=Choice("auto"))
    if settings.choice == Choice("none"):
        settings = replace(settings, parallel=None)
    return replace(said, messages=messages, settings=with_tools(settings, list(settings.tools)))


def as_block(part: Part) -> Part:
    """Encrypted reasoning is read as what nobody but Anthropic knows; a refusal as any text."""
    if isinstance(part, Thought) and part.redacted:
        block = {"type": "redacted_thinking", "data": part.signature}
        return Opaque(span=raw(block), kind="redacted_thinking", needs="content")
    return replace(part, refusal=False) if isinstance(part, Text) else part


def of_cache(part: Part) -> msgspec.Raw:
    return part.cache if isinstance(part, Text | Image | Call) else NULL


def signed(part: Part) -> bool:
    return not isinstance(part, Thought) or part.redacted or part.signature != NULL


EXPECTED: dict[str, Callable[[Conversation], Conversation]] = {
    "openai": as_openai,
    "ollama": as_ollama,
    "anthropic": as_anthropic,
}


def has_address(said: Conversation) -> bool:
    return any(part.source == ADDRESS for message in said.messages for part in of(Image, message.parts))


def has_more_than_anthropic(said: Conversation) -> bool:
    """A penalty, or JSON of no schema."""
    asked = said.settings
    penalties = (asked.frequency_penalty, asked.presence_penalty, asked.repeat_penalty)
    # 1 is what a repetition costs that costs nothing.
    return any(penalties[:2]) or penalties[2] not in (None, 1.0) or asked.format == Format()


# What cannot be left out: the conversation is refused.
REFUSED: dict[str, Callable[[Conversation], bool]] = {
    "openai": lambda said: False,
    "ollama": has_address,
    "anthropic": has_more_than_anthropic,
}


# -- Comparing ---------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A conversation without the places where things stood, and JSON as what it means."""
    if isinstance(value, msgspec.Raw):
        return ("json", msgspec.json.decode(value))
    if isinstance(value, Call):
        return (
            "Call",
            value.id,
            value.name,
            json.loads(value.arguments or "{}"),
            plain(value.cache),
            plain(value.rest),
        )
    if isinstance(value, msgspec.Struct):
        names = [field.name for field in msgspec.structs.fields(value) if field.name not in ("path", "dialect")]
        labels = ("name", "description") if isinstance(value, Format) else ()
        return (type(value).__name__, *((name, plain(getattr(value, name))) for name in names if name not in labels))
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def again(package: Package, said: Conversation) -> Conversation:
    """Written by a dialect, and read by it."""
    body = package.write(said, "m", RequestOptions(stream=True))
    return package.read(Facts(fields=_fields(body)))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
@settings(deadline=None)  # a busy machine is no fault
@given(said=CONVERSATIONS)
def test_a_conversation_survives_every_dialect(package: Package, said: Conversation) -> None:
    """Order, neighbouring roles, ids, arguments, images, signatures and marks: what is lost is what is written here."""
    said.dialect = next(other.name for other in PACKAGES if other is not package)
    if REFUSED[package.name](said):
        with pytest.raises(Untranslatable):
            again(package, said)
        return

    found = again(package, said)
    # What the router itself writes into a request.
    for field in ("truncate", "shift"):
        found.settings.rest.pop(field, None)

    assert plain(found) == plain(EXPECTED[package.name](said))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
@settings(max_examples=60, deadline=None)
@given(said=CONVERSATIONS, data=st.data())
def test_what_only_its_own_dialect_knows_comes_back_in_its_place(
    package: Package, said: Conversation, data: st.DataObject
) -> None:
    """Once a conversation is in a dialect's own form, fields that nobody knows are emitted where they stood."""
    said.dialect = next(other.name for other in PACKAGES if other is not package)
    assume(not REFUSED[package.name](said))
    own = again(package, said)
    for each in own.objects():
        if not isinstance(each, Thought | Opaque) and in_an_object(package, each):
            each.rest = each.rest | data.draw(RESTS)

    assert plain(again(package, own)) == plain(own)


def in_an_object(package: Package, said: Said) -> bool:
    """Whether it stands in an object of its own in this dialect, which can have further fields."""
    if package.name == "ollama":
        return not isinstance(said, Text | Image | Format)
    if package.name == "anthropic":
        return not isinstance(said, Format) and not (isinstance(said, Message) and said.role != "tool")
    return not isinstance(said, Format)


SAYS = [Message(role="user", parts=[Text(text=_Raw(b'"hi"'))])]
SEVERAL = [Message(role="user", name=name, parts=[Text(text=_Raw(b'"hi"'))]) for name in ("ann", "bob")]
SHOWN = Message(role="user", parts=[Image(source=ADDRESS)])
NO_OBJECT = Message(role="assistant", parts=[Call(id="c", name="a", arguments="5")])


@pytest.mark.parametrize(
    ("dialect", "settings", "messages"),
    [
        ("anthropic", Settings(frequency_penalty=0.5), SAYS),
        ("anthropic", Settings(presence_penalty=0.5), SAYS),
        ("anthropic", Settings(repeat_penalty=1.5), SAYS),
        ("anthropic", Settings(format=Format()), SAYS),
        ("anthropic", Settings(), [NO_OBJECT]),
        ("anthropic", Settings(), SEVERAL),
        ("ollama", Settings(), [SHOWN]),
        ("ollama", Settings(), [NO_OBJECT]),
        ("ollama", Settings(), SEVERAL),
    ],
)
def test_what_would_be_lost_is_refused(dialect: str, settings: Settings, messages: list[Message]) -> None:
    """Nothing that matters is left out in silence."""
    package = next(each for each in PACKAGES if each.name == dialect)

    with pytest.raises(Untranslatable):
        package.write(Conversation("openai", settings, messages), "m", RequestOptions(stream=True))
