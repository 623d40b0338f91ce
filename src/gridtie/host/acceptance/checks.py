"""What a model has to show: each check asks the engine and says what it found.

Form is judged, and not taste: a small model is no failure. What a model cannot do by what is known of it (no template,
no tools, no tokens for the middle) is not asked.
"""

from __future__ import annotations

import ast
import json
import math
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from ..tool_calls import instructions, read, schema_of
from .engine import Clock, Engine, Messages, OutOfTime, Refused, Said
from .memory import MIB, TOLERANCE, Reserved, Resident, parts_told
from .processes import Process
from .record import FAILED, HELD, NOT_RUN, Result
from .references import LEAST_COSINE, reference
from .tools import TASKS, TOOLS, functions, well_formed

# Calls of ten that have to be well-formed: an agent recovers from one, not from every second.
LEAST_CALLS = 8
# Texts of three whose middle has to be filled in so that the whole is a program.
LEAST_MIDDLES = 2
# Of the context, what the far-end check fills; the rest is the template's and the answer's.
FILL = 0.97
# Models that think may not be kept from it (gpt-oss): they get so many times the tokens.
THINKING = 16
# Of a small model's context nothing is known by less text than this.
LEAST_FILLED = 256
# Reading slows down as a context fills: at most this many times the time that its first part lets one expect.
SLOWER = 2.0


@dataclass(frozen=True)
class Subject:
    """A model of station.json at its engine, and the time there is.

    `process` looks at what serves it; `tolerance` is how far what is reserved may be from the prediction.
    """

    model: Mapping[str, Any]
    engine: Engine
    clock: Clock
    process: Callable[[], Optional[Process]]
    tolerance: float = TOLERANCE

    def can(self, capability: str) -> bool:
        return capability in self.model.get("capabilities", ())

    def say(self, text: str, most: int, schema: Optional[Mapping[str, Any]] = None) -> Said:
        """As a chat; a model without a template goes on with the text."""
        if self.can("chat"):
            return self.engine.chat([{"role": "user", "content": text}], self.most(most), schema)
        return self.engine.complete(text, most, schema)

    def most(self, tokens: int) -> int:
        """So many tokens of an answer, and those of the thoughts before it."""
        return tokens * (THINKING if self.can("reasoning") else 1)


def answers(subject: Subject) -> Result:
    if subject.can("embeddings"):
        vectors, count = subject.engine.embed(["Hello"])
        return _result("answers", bool(vectors and count), f"{len(vectors[0])} numbers for a text", "a vector")
    said = subject.say("Say hello.", 16)
    how = "" if subject.can("chat") else " (no chat template: it completes text, and is for that alone)"
    return _result("answers", bool(said.text.strip()), f"{said.text.strip()[:40]!r}{how}", "text")


_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "size": {"type": "string", "enum": ["small", "large"]},
        "coast": {"type": "boolean"},
    },
    "required": ["city", "size", "coast"],
    "additionalProperties": False,
}


def schema(subject: Subject) -> Result:
    said = subject.say("Describe a city as JSON: its name, its size, whether it lies at a coast.", 96, _SCHEMA)
    try:
        found = json.loads(said.text)
    except ValueError:
        found = None
    types = {"city": str, "size": str, "coast": bool}
    held = isinstance(found, dict) and {name: type(value) for name, value in found.items()} == types
    held = held and found["size"] in ("small", "large")
    return _result("schema", held, said.text.strip()[:80] if found is None else json.dumps(found)[:80], "the schema")


def tools(subject: Subject) -> Result:
    formed = right = 0
    wrong = ""
    for asked, meant in TASKS:
        name, arguments, text = _one_call(subject, asked)
        good = well_formed(name, arguments)
        formed += good
        right += good and name == meant
        wrong = wrong or ("" if good else f"; the first that was not: {(name or text.strip() or 'nothing')[:60]!r}")
    found = f"{formed} of {len(TASKS)} calls well-formed with {len(TOOLS)} tools, {right} of the right one{wrong}"
    figures = {"well_formed": formed / len(TASKS), "right": right / len(TASKS)}
    return _result("tools", formed >= LEAST_CALLS, found, f"{LEAST_CALLS} of {len(TASKS)}", figures)


def _one_call(subject: Subject, asked: str) -> tuple[str, Any, str]:
    """The first call of an answer, and its text; made as a client of the router would have it made."""
    messages: Messages = [{"role": "user", "content": asked}]
    if not subject.model.get("held_calls"):
        said = subject.engine.chat(messages, subject.most(200), tools=TOOLS)
        name, arguments = said.calls[0] if said.calls else ("", None)
        return name, arguments, said.text
    told = {"role": "system", "content": instructions(functions(), demanded=True)}
    text = subject.engine.chat([told, *messages], 200, schema_of(functions(), demanded=True)).text
    name, arguments = read(text) or ("", None)
    return name, arguments, text


_MIDDLES = (
    ("def add(a, b):\n    return ", "\n\n\nprint(add(1, 2))\n"),
    ("def largest(numbers):\n    found = numbers[0]\n    for number in numbers:\n        ", "\n    return found\n"),
    ("class Point:\n    def __init__(self, x, y):\n        ", "\n\n    def length(self):\n        return self.x\n"),
)


def middle(subject: Subject) -> Result:
    filled = [subject.engine.middle(before, after, 48).text for before, after in _MIDDLES]
    good = sum(_is_program(before + text + after) for text, (before, after) in zip(filled, _MIDDLES) if text.strip())
    found = f"{good} of {len(_MIDDLES)} programs whole, the first with {filled[0].strip()[:40]!r}"
    return _result("middle", good >= LEAST_MIDDLES, found, f"{LEAST_MIDDLES} of {len(_MIDDLES)}", {"whole": good})


def _is_program(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


_WORD = "MARIGOLD"
_FACT = "The code word of this text is {}.\n"
_LINE = "The ships lay in the harbour, the wind was calm, and nobody was in a hurry.\n"
_QUESTION = "What is the code word of this text? Answer with the word alone."
_TO_COMPLETE = "As was said at its beginning, the code word of this text is"


def context(subject: Subject) -> Result:
    """A fact at the far end of a full context.

    A model that is too weak to find it still shows that all was there: the lines between are alike, so the engine has
    to count as many more tokens as there are more lines, and counts fewer where anything was cut.
    """
    wanted = int(subject.model["context"])
    room = subject.engine.context()
    if 0 < room < wanted:
        return _result("context", False, f"the engine has room for {room:,} tokens", f"{wanted:,}")
    few, some = _filled(subject, 4, "A"), _filled(subject, 24, "B")
    each, rest = divmod(some.prompt_tokens - few.prompt_tokens, 20)
    if each <= 0 or rest:
        found = f"4 lines are {few.prompt_tokens} tokens and 24 are {some.prompt_tokens}: they were cut or not counted"
        return _result("context", False, found, "a count that grows with the lines")
    whole = int((wanted * FILL - few.prompt_tokens) / each) - 2
    pace = some.prompt_tokens / some.seconds
    within = int((subject.clock.left * pace / SLOWER - few.prompt_tokens) / each)
    lines = min(whole, within)
    there = f"the engine says that it has room for {room:,} tokens; to read them"
    if lines * each < LEAST_FILLED and lines < whole:
        return _not_run("context", f"{there} would take {wanted / pace * SLOWER:.0f} s at {pace:.0f} tokens/s")
    try:
        far = _filled(subject, 4 + lines, _WORD)
    except OutOfTime:
        return _not_run("context", f"{there} took longer than it began, at {pace:.0f} tokens/s")
    expected = few.prompt_tokens + lines * each
    # Another word may be a few tokens more or fewer; what cuts takes whole messages.
    counted = abs(far.prompt_tokens - expected) <= each // 2
    found_it = _WORD.lower() in far.text.lower()
    told = "a fact at its far end was found" if found_it else "a fact at its far end was not found (a weak model)"
    found = f"{far.prompt_tokens:,} of {wanted:,} tokens read, {told}, {'none was cut' if counted else 'some were cut'}"
    if lines < whole:
        slow = f"it reads {pace:.0f} tokens/s and {subject.clock.limit_s:.0f} s were given"
        found += f"; more was not tried: {slow}; the engine says that it has room for {room:,}"
    figures = {"read": far.prompt_tokens, "expected": expected, "found": float(found_it), "seconds": far.seconds}
    return _result("context", counted, found, f"{expected:,} tokens counted", figures)


def _filled(subject: Subject, lines: int, word: str) -> Said:
    """What is answered behind so many lines; the word comes first, so that nothing is in the engine's prompt cache."""
    text = _FACT.format(word) + _LINE * lines
    return subject.say(text + (_QUESTION if subject.can("chat") else _TO_COMPLETE), 12)


def room_for_text(subject: Subject) -> Result:
    """The same of a model for embeddings, which has nothing to find: a text that fills it is counted whole."""
    wanted = int(subject.model["context"])
    (_, few), (_, some) = subject.engine.embed([_LINE * 2]), subject.engine.embed([_LINE * 6])
    each = (some - few) // 4
    lines = int((wanted * FILL - few) / max(1, each))
    _, far = subject.engine.embed([_LINE * (2 + lines)])
    expected = few + lines * each
    found = f"{far:,} of {wanted:,} tokens read, {'none was cut' if far == expected else 'some were cut'}"
    return _result("context", far == expected, found, f"{expected:,} tokens counted", {"read": far})


def vectors(subject: Subject) -> Result:
    """As the original weights give them, where those are recorded; else what every such model must do."""
    known = reference(str(subject.model["catalogue"]))
    if known:
        found, _ = subject.engine.embed([text for text, _ in known])
        least = min(cosine(vector, original) for vector, (_, original) in zip(found, known))
        told = f"cosine {least:.5f} at least with those of the original weights, for {len(known)} texts"
        return _result("vectors", least >= LEAST_COSINE, told, f"{LEAST_COSINE}", {"cosine": least})
    texts = ["A dog runs over the field.", "A dog is running across the meadow.", "The invoice is due in March."]
    (one, same, other), _ = subject.engine.embed(texts)
    near, far = cosine(one, same), cosine(one, other)
    told = f"alike {near:.2f}, unlike {far:.2f}; the original's vectors are not recorded, so they were not compared"
    return _result("vectors", near > far, told, "texts that mean the same are nearer", {"near": near, "far": far})


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
    return sum(a * b for a, b in zip(one, other)) / lengths if lengths and len(one) == len(other) else 0.0


def memory(subject: Subject) -> Result:
    """What the engine says that it reserved, and what its process holds, each where it can be known."""
    predicted = subject.model.get("predicted_bytes")
    if not predicted:
        return _not_run("memory", "nothing is known of the memory that its architecture takes")
    reserved, process = subject.engine.reserved(), subject.process()
    found, wanted, held = [f"predicted {predicted / MIB:.0f} MiB{parts_told(subject.model)}"], [], True
    figures = {"predicted": float(predicted)}
    if reserved is not None:
        range_ = Reserved((subject.model,), subject.tolerance)
        found.append(f"reserved {reserved / MIB:.0f} MiB")
        wanted.append(range_.told())
        held = range_.holds(reserved)
        figures["reserved"] = reserved
    if process is not None:
        # With graphics it is not known which part lies in main memory; too much is too much.
        resident = Resident((subject.model,), process.prompt_cache)
        found.append(f"resident {process.resident / MIB:.0f} MiB")
        wanted.append(resident.told())
        held = held and process.resident <= resident.most
        figures["resident"] = process.resident
    if len(found) == 1:
        why = "the engine does not say what it reserved, and its process cannot be seen from here"
        return Result("memory", NOT_RUN, why, "", figures)
    return _result("memory", held, ", ".join(found), "; ".join(wanted), figures)


def checks_of(model: Mapping[str, Any]) -> Sequence[tuple[str, Callable[[Subject], Result]]]:
    """The checks for a model, by what is known of it, the longest last but for memory, which is then in use."""
    can = model.get("capabilities", ())
    if "embeddings" in can:
        return (("answers", answers), ("vectors", vectors), ("context", room_for_text), ("memory", memory))
    return (
        ("answers", answers),
        ("schema", schema),
        *((("tools", tools),) if "tools" in can else ()),
        *((("middle", middle),) if "fill-in-the-middle" in can else ()),
        ("context", context),
        ("memory", memory),
    )


def refused(check: str, error: Refused) -> Result:
    return Result(check, FAILED, f"the engine says: {error}")


def unreadable(check: str, error: Exception) -> Result:
    """An answer that is none of this engine's is the engine's fault, and ends no run."""
    found = f"the engine's answer has another form than its documentation says ({type(error).__name__}: {error})"
    return Result(check, FAILED, found[:200], "an answer in the engine's own form")


def late(check: str, clock: Clock) -> Result:
    return _not_run(check, f"the {clock.limit_s:.0f} s for this model were used up")


def _not_run(check: str, why: str) -> Result:
    return Result(check, NOT_RUN, why)


def _result(
    check: str, held: bool, found: str, wanted: str = "", figures: Optional[Mapping[str, float]] = None
) -> Result:
    return Result(check, HELD if held else FAILED, found, wanted, figures or {})
