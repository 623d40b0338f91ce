"""One run's conversation with the router: which agent asks, with which seed, and what each request cost in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gridtie.agents.client import Message, OnText, Question, Reply
from gridtie.agents.schema import Schema, SchemaMismatch, parse

# A schema is enforced by the engine's grammar, so only an answer that runs out of tokens misses it; a second or third
# seed nearly always ends in time.
_SCHEMA_TRIES = 3
# The first try of every agent is cautious; each further one is given more freedom, or it would say the same again.
TEMPERATURES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


class AgentFailed(Exception):
    """An agent gave nothing usable in all of its tries."""


class Asks(Protocol):
    """What a session needs of a client."""

    def ask(self, question: Question, on_text: OnText) -> Reply: ...


class Session:
    """Hands the agents' questions to the client. Try number n of every agent has a seed of its own."""

    def __init__(self, client: Asks, seed: int, on_text: OnText = lambda _text: None) -> None:
        self._client = client
        self._seed = seed
        self._on_text = on_text
        self.replies: list[Reply] = []

    def ask(
        self, agent: str, messages: Sequence[Message], *, attempt: int, max_tokens: int, schema: Schema | None = None
    ) -> str:
        """The text of one answer; `attempt` counts from 0 and decides seed and temperature."""
        temperature = TEMPERATURES[min(attempt, len(TEMPERATURES) - 1)]
        question = Question(agent, messages, temperature, self._seed * 100 + attempt, max_tokens, schema)
        reply = self._client.ask(question, self._on_text)
        self.replies.append(reply)
        return reply.text

    def ask_object(self, agent: str, messages: Sequence[Message], schema: Schema, max_tokens: int) -> Any:
        """An answer that holds to `schema`, as Python values. Raises AgentFailed when no try does."""
        reason = ""
        for attempt in range(_SCHEMA_TRIES):
            try:
                return parse(self.ask(agent, messages, attempt=attempt, max_tokens=max_tokens, schema=schema), schema)
            except SchemaMismatch as mismatch:
                reason = str(mismatch)
        raise AgentFailed(f"the {agent} did not hold to its schema in {_SCHEMA_TRIES} tries; the last time {reason}")
