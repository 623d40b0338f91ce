"""What models can be for, by name. Apart from the catalogue, since the router needs no more of it than this."""

from __future__ import annotations

from typing import Collection

# The model that proves a station; it was called `probe` before 1.1.0.
SMOKE_TEST = "smoke-test"
PURPOSES = ("code", "chat", "agents", "completion", "embeddings", SMOKE_TEST)
FORMER_PURPOSES = {"probe": SMOKE_TEST}
# Names that clients ask for. A routing file has one of the two, and both are answered.
FORMER_ALIASES = {"probe": SMOKE_TEST}


def current_purpose(word: str) -> str:
    """A purpose as it is called now."""
    return FORMER_PURPOSES.get(word, word)


def renamed(name: str, listed: Collection[str]) -> str:
    """What to say of a name that a router answers and no longer lists, by what it does list; "" of any other."""
    now = FORMER_ALIASES.get(name.lower(), "")
    return f"{name} is called {now} since 1.1.0; both work" if now in listed and name not in listed else ""
