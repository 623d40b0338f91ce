"""The facts of a request: what routing, policy and money rest on, in no dialect; pure data."""

from __future__ import annotations

import msgspec

from gridtie.dialects.types import Dialect

# English text and code run at about four bytes a token with every tokenizer in use.
BYTES_PER_TOKEN = 4
# No model's name is longer; what is longer is kept nowhere.
MAX_MODEL_CHARACTERS = 256


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Read once from a body by the client's dialect; the rewrite for a target works on the same `fields`.

    Sizes are bytes of JSON text as it stands in the body, escapes and all, without the quotes around it.
    """

    # The top-level values, unread. A key that was given twice is here once: nobody can read it in two ways.
    fields: dict[str, msgspec.Raw]
    # What it is written in, and its answer is to be.
    dialect: Dialect = "openai"
    # As sent; at most 256 printable characters.
    model: str = ""
    stream: bool = False
    # Whether the client asks for the usage of a stream.
    wants_usage: bool = False
    # The largest limit named for the answer, in tokens, at least 1; None where there is none.
    max_output: int | None = None
    # Answers asked for, 1 to 128.
    choices: int = 1
    # Of "tools", "vision", "json", "embeddings".
    needs: frozenset[str] = frozenset()
    # Everything that is billed as text: messages, names, tools, schemas, arguments, a prediction.
    text_bytes: int = 0
    messages: int = 0
    images: int = 0
    image_bytes: int = 0
    # What a provider bills apart from tokens, or by rules that we do not know: the names of fields and parts.
    extras: frozenset[str] = frozenset()
    # Whether parts are marked for a provider's prompt cache; writing it costs up to twice the input price.
    caches: bool = False
    # Tools were sent, and at most one call an answer is wanted.
    one_tool_call: bool = False
    # Tools were sent, and an answer that calls none of them is no answer.
    must_call: bool = False
    # It goes on from what was to stay on this machine, and has to stay as well.
    private: bool = False
    # The same, where a rule kept it from clouds.
    stays: bool = False
    # The answer that it goes on from, and whether its own is to be kept for the next; of OpenAI's responses alone.
    previous: str = ""
    keeps: bool = False
    # What it says as a whole; made where a target of another dialect is asked, and kept for the next.
    conversation: object = None
    # Of the head, what a target of the same dialect is to see: header fields in lower case, and the query.
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
