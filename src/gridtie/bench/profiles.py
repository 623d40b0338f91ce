"""What is asked: named kinds of traffic, and prompts of a wanted length that no cache has seen. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

Message = dict[str, Any]

# Tokens of a prompt are hit within a few per cent once a model's own count of a first prompt is known; until then by
# this many tokens a word, which is what most tokenizers need for plain English.
TOKENS_PER_WORD = 1.35
# What a chat's template and roles add, and the tools of the agent's profile: close enough, for the first prompt only.
_TEMPLATE_TOKENS = 20
# Room that is left in a context beyond prompt and answer: a prompt is not hit to the token.
MARGIN = 1.05


@dataclass(frozen=True)
class Profile:
    """One kind of traffic. `prompt_tokens` are those of a whole prompt; `shared_tokens` of them are a common beginning.

    `repeats`: the beginning is the same for all requests of a block, so that an engine's cache of prompts is measured,
    and not avoided.
    """

    name: str
    what: str
    prompt_tokens: int
    answer_tokens: int
    tools: bool = False
    repeats: bool = False
    code: bool = False

    @property
    def context(self) -> int:
        """Tokens that a request of it takes in all."""
        return int(self.prompt_tokens * MARGIN) + self.answer_tokens

    def sized(self, prompt_tokens: int) -> Profile:
        """The same with prompts of another length, and a name that says so."""
        return replace(self, name=f"{self.name}-{prompt_tokens}", prompt_tokens=prompt_tokens)

    def without_tools(self) -> Profile:
        return replace(self, name=f"{self.name}-without-tools", tools=False) if self.tools else self


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("chat", "a question of some paragraphs, an answer of one", 400, 128),
        Profile(
            "agent", "a coding agent's turn: 12,000 tokens of files and calls, eight tools", 12_000, 128, tools=True
        ),
        Profile(
            "completion", "an editor's completion: the code before the cursor, a line or two", 1_000, 32, code=True
        ),
        Profile("batch", "documents to summarise, a longer answer", 800, 256),
        Profile("cache", "one beginning of 2,000 tokens, asked about again and again", 2_000, 32, repeats=True),
    )
}
# What is measured where nobody says what: everyday sizes, which every model's context holds.
USUAL = ("chat", "completion", "cache")


@dataclass(frozen=True)
class Prompt:
    """A request's messages and tools, and how many words of filling they hold."""

    messages: list[Message]
    tools: list[dict[str, Any]]
    words: int


def prompt(profile: Profile, seed: str, tokens_per_word: float, beginning: str = "") -> Prompt:
    """A prompt of about `profile.prompt_tokens` tokens, other from its first words on than that of any other seed.

    Where the profile repeats, prompts with the same `beginning` share all but their last sentence.
    """
    words = max(8, round((profile.prompt_tokens - _TEMPLATE_TOKENS) / tokens_per_word))
    draw = random.Random(seed)  # noqa: S311 - variety is what is wanted, not a secret
    if profile.repeats:
        shared = prose(random.Random(beginning), words)  # noqa: S311
        return Prompt([_user(f"{shared}\n\nIn plain words, what does it say of {_topic(draw)}?")], [], words)
    if profile.tools:
        return _agent_turn(draw, words)
    if profile.code:
        return Prompt(
            [_user(f"{_code(draw, words)}\n\nContinue this file with its next line, and nothing else.")], [], words
        )
    wanted = f"Write {profile.answer_tokens} words or more about this text, and go through it sentence by sentence."
    return Prompt([_user(f"{prose(draw, words)}\n\n{wanted}")], [], words)


def measured_rate(prompt: Prompt, tokens: int) -> float:
    """Tokens a word, by the model's own count of one prompt."""
    return max(0.2, (tokens - _TEMPLATE_TOKENS) / prompt.words)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


_TEXT = """
river stone garden window morning letter bridge summer market candle forest winter harbour engine copper paper teacher
mountain kitchen island record signal village weather journey machine number pattern question season travel valley
worker answer basket circle dinner effort family glass hammer insect jacket kettle ladder mirror needle orange pocket
quarter ribbon silver ticket uncle velvet wagon yellow anchor bottle carpet desert
"""
_WORDS = _TEXT.split()
_VERBS = ("carries", "follows", "keeps", "leaves", "finds", "mends", "sells", "counts", "paints", "builds", "visits")
_TOPICS = _WORDS[:40]


def _topic(draw: random.Random) -> str:
    return f"the {draw.choice(_TOPICS)} and the {draw.choice(_TOPICS)}"


def prose(draw: random.Random, words: int) -> str:
    """Sentences of plain words; the first one holds numbers of its own, so that no two begin alike."""
    sentences = [f"Report {draw.randrange(10**6)} of {draw.choice(_WORDS)} {draw.randrange(10**4)}."]
    written = 6
    while written < words:
        subject, verb, thing = draw.choice(_WORDS), draw.choice(_VERBS), draw.choice(_WORDS)
        sentences.append(
            f"The {subject} {verb} the {thing} near the {draw.choice(_WORDS)} in the {draw.choice(_WORDS)}."
        )
        written += 11
    return " ".join(sentences)


# What a line of `_code` counts for: code takes more tokens a word, and this makes up for it.
_LINE_WORDS = 9


def _code(draw: random.Random, words: int) -> str:
    lines = [f'"""{draw.choice(_WORDS).title()} {draw.randrange(10**6)}."""', ""]
    for _ in range(max(1, words // (3 * _LINE_WORDS))):
        name, one, two = draw.choice(_WORDS), draw.choice(_WORDS), draw.choice(_WORDS)
        lines += [
            f"def {name}_{draw.randrange(1000)}({one}: int, {two}: list[int]) -> int:",
            f'    """Count each {one} in the {two}."""',
            f"    return sum(each * {draw.randrange(100)} for each in {two} if each > {one})",
            "",
        ]
    return "\n".join(lines)


_TOOLS = (
    ("read_file", "Read a file of the project.", {"path": "string", "first_line": "integer"}),
    ("write_file", "Replace a file of the project.", {"path": "string", "content": "string"}),
    ("list_directory", "Names of the files in a directory.", {"path": "string"}),
    ("search", "Lines of the project that match a pattern.", {"pattern": "string", "path": "string"}),
    ("run_tests", "Run the tests, all or some.", {"selection": "string"}),
    ("run_command", "Run a command in the project's directory.", {"command": "string", "seconds": "integer"}),
    ("apply_patch", "Apply a unified diff.", {"patch": "string"}),
    ("ask_person", "Ask the person whose task this is.", {"question": "string"}),
)


def tools() -> list[dict[str, Any]]:
    """The tools of the agent's profile, as OpenAI's API wants them."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": what,
                "parameters": {
                    "type": "object",
                    "properties": {field: {"type": kind} for field, kind in fields.items()},
                    "required": list(fields)[:1],
                },
            },
        }
        for name, what, fields in _TOOLS
    ]


def _agent_turn(draw: random.Random, words: int) -> Prompt:
    """A task, four files that were read for it, and the question what comes next."""
    messages: list[Message] = [
        {"role": "system", "content": f"Session {draw.randrange(10**9)}. You are a coding agent; use the tools."},
        _user(f"Make the function {draw.choice(_WORDS)}_{draw.randrange(1000)} handle empty lists, and test it."),
    ]
    files = 4
    for number in range(files):
        path = f"src/{draw.choice(_WORDS)}_{number}.py"
        call = {"id": f"call_{number}", "type": "function"}
        arguments = f'{{"path": "{path}"}}'
        messages += [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{**call, "function": {"name": "read_file", "arguments": arguments}}],
            },
            {"role": "tool", "tool_call_id": f"call_{number}", "content": _code(draw, words // files)},
        ]
    return Prompt([*messages, _user("Go on with the next step.")], tools(), words)
