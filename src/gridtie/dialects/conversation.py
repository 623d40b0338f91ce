"""The conversation in the middle: what a request says, in no dialect; pure data.

A dialect's reader makes it of the client's body, and a dialect's writer makes a body of it. Texts, images, schemas
and marks are spans of the client's JSON and are not decoded; a call's arguments stay the text that they are.

What a reader does not know is kept where it stood: in `rest` of the object that held it, or as an `Opaque` in the
place of a part or a tool. Only the writer of `Conversation.dialect` emits it; every other asks `left_out`, which
refuses what the table in docs/routing.md does not let it drop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from gridtie.dialects.dropped import may_drop
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import Dialect, Untranslatable

NULL = msgspec.Raw(b"null")
EMPTY = msgspec.Raw(b'""')
NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')

Role = Literal["system", "developer", "user", "assistant", "tool"]
# The values of fields that a reader does not know, by their names; a dot leads into an object.
Rest = dict[str, msgspec.Raw]


class Said(msgspec.Struct, kw_only=True):
    """One object of a request. `path` names it in errors: `messages[2].content[0]`, "" for the request itself."""

    path: str = ""
    rest: Rest = {}


class Text(Said):
    """A JSON string."""

    text: msgspec.Raw
    cache: msgspec.Raw = NULL
    # Said in place of an answer.
    refusal: bool = False


class Data(msgspec.Struct, frozen=True):
    """An image that is sent with the request; `base64` is a JSON string."""

    media_type: str
    base64: msgspec.Raw


class Image(Said):
    """An image, or the address where it lies as a JSON string."""

    source: Data | msgspec.Raw
    cache: msgspec.Raw = NULL


class Thought(Said):
    """Reasoning of an earlier answer; `signature` proves to its provider that it is its own."""

    text: msgspec.Raw
    signature: msgspec.Raw = NULL
    # Its text is encrypted, and stands in the signature's place.
    redacted: bool = False


class Call(Said):
    """A tool call of an earlier answer; `arguments` is JSON as the model wrote it: not necessarily valid."""

    name: str
    arguments: str
    id: str = ""
    cache: msgspec.Raw = NULL


class Opaque(Said):
    """A part or tool that only its own dialect knows: its whole span, and the capability that it asks for."""

    span: msgspec.Raw
    kind: str
    needs: str


Part = Text | Image | Thought | Call | Opaque


class Message(Said):
    """One message. That of the role `tool` is the result of the call `call_id`."""

    role: Role
    parts: list[Part] = []
    name: str = ""
    call_id: str = ""
    # Whether the tool failed.
    failed: bool = False
    cache: msgspec.Raw = NULL


class Tool(Said):
    """A function; `parameters` is a JSON schema."""

    name: str
    description: msgspec.Raw = NULL
    parameters: msgspec.Raw = NULL
    strict: bool | None = None
    cache: msgspec.Raw = NULL


class Format(Said):
    """What an answer is held to: a JSON schema, or with None any JSON object."""

    schema: msgspec.Raw | None = None
    # Labels of OpenAI's, and whether the schema is to be enforced to the letter.
    name: msgspec.Raw = NULL
    description: msgspec.Raw = NULL
    strict: bool | None = None


class Choice(msgspec.Struct, frozen=True):
    """Which tool is to be called; `name` with the kind `named`."""

    kind: Literal["auto", "none", "required", "named"]
    name: str = ""


class Settings(Said):
    """How it is to be answered. None: the client does not say."""

    # Tokens.
    limit: int | None = None
    stops: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repeat_penalty: float | None = None
    tools: list[Tool | Opaque] = []
    choice: Choice | None = None
    parallel: bool | None = None
    format: Format | None = None
    # Thinking is switched off, in any of the ways that clients have.
    thinks_not: bool = False


class Conversation(msgspec.Struct):
    """A whole request: the dialect that it came in, its settings, its messages in order."""

    dialect: Dialect
    settings: Settings
    messages: list[Message]

    def objects(self) -> Iterator[Said]:
        """Every object in it, in order."""
        yield self.settings
        yield from self.settings.tools
        if self.settings.format is not None:
            yield self.settings.format
        for message in self.messages:
            yield message
            yield from message.parts


# Fields that stand for another's capability, and objects that are one as a whole.
_CAPABILITIES = {"top_logprobs": "logprobs"}
_ONE_CAPABILITY = ("chat_template_kwargs",)

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def leave_out(conversation: Conversation, target: Dialect) -> None:
    """For a writer of another dialect: hold what is kept against the table. Raises `Untranslatable`."""
    if conversation.dialect == target:
        return
    for said in conversation.objects():
        if isinstance(said, Opaque):
            if not may_drop(conversation.dialect, f"{said.path}.{said.kind}", said.span):
                what = f"this model's server takes no such thing as {said.path} is"
                raise Untranslatable(what, needs=said.needs)
        elif said.rest:
            _judge(conversation.dialect, said.path, said.rest)
    _refuse_several_speakers(conversation.messages)


def _judge(dialect: Dialect, path: str, rest: Rest) -> None:
    for name, span in rest.items():
        full = f"{path}.{name}" if path else name
        if not may_drop(dialect, full, span):
            shown = full if full.isprintable() else f"{path}.(unprintable)"
            what = f"this model's server knows no request field {shown[:160]!r}, or not with this value; leave it out"
            raise Untranslatable(what, needs=needs_of(name))


def needs_of(name: str) -> str:
    """The capability that a field asks for: its own name."""
    whole = name.split(".")
    last = whole[0] if whole[0] in _ONE_CAPABILITY else _CAPABILITIES.get(whole[-1], whole[-1][:64])
    return last if last.isprintable() and last else "(unprintable)"


def _refuse_several_speakers(messages: Iterable[Message]) -> None:
    """A single name tells a model nothing; two in one role tell speakers apart."""
    speakers: dict[str, str] = {}
    for message in messages:
        if message.name and message.role != "tool" and speakers.setdefault(message.role, message.name) != message.name:
            raise Untranslatable("this model's server cannot tell several named speakers of one role apart", "name")


def arguments_object(call: Call) -> msgspec.Raw:
    """A call's arguments as the JSON object that some dialects want. Raises `Untranslatable`."""
    text = call.arguments.strip()
    if text in ("", "null"):
        return msgspec.Raw(b"{}")
    try:
        span = text.encode()
        _object(span)
    except (*UNREADABLE, UnicodeEncodeError):
        what = f"the arguments of the earlier call of {call.name[:64]!r} are no JSON object"
        raise Untranslatable(f"{what}; this model's server takes nothing else", needs="tools") from None
    return msgspec.Raw(span)


def joined(texts: list[msgspec.Raw], between: bytes) -> msgspec.Raw:
    """Several JSON strings as one, with `between` (as JSON text) in the joints."""
    if len(texts) == 1:
        return texts[0]
    return msgspec.Raw(b'"' + between.join(bytes(text)[1:-1] for text in texts) + b'"')
