"""What a client has to be told of a station."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

HIDDEN = "gt-..."


@dataclass(frozen=True)
class Wiring:
    """One station as one client uses it: `root` without a path, `model` an alias, `context` in tokens (0: not known).

    `key_name` is what the ledger calls a key that was made for this client alone, "" where it is shared.
    `station` is the directory of the station whose key that is. `at` is when the settings were written, as in ISO 8601.
    `origins` are those of its pages, which may ask as long as that key is there. `tools` says whether the alias calls
    any, as far as is known.
    """

    root: str
    key: str
    model: str
    context: int = 0
    key_name: str = ""
    station: str = ""
    at: str = "1970-01-01T00:00:00.000Z"
    origins: Tuple[str, ...] = ()
    tools: bool = True

    @property
    def openai(self) -> str:
        """The address that OpenAI's clients call their base URL."""
        return f"{self.root}/v1"

    @property
    def output(self) -> int:
        """Tokens that a client may ask for at once: a quarter of the context, since its prompt needs the rest."""
        return min(self.context // 4, 8192)

    def hidden(self) -> Wiring:
        """The same with a stand-in for the key, to be shown."""
        return replace(self, key=HIDDEN)
