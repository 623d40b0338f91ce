"""What is wrong with a file of ours, said so that a person can mend it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from gridtie.config.redact import redacted

# A key path: mapping keys and list indices from the top of the file.
KeyPath = tuple[str | int, ...]

# Characters of a name that are compared with others: the comparison takes the square of it.
_LONGEST = 200


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `what` says what was found and what is wanted, `fix` what to do.

    Whatever looks like a key is taken out of both, wherever they came from.
    """

    what: str
    fix: str = ""
    path: KeyPath = ()
    file: str = ""
    line: int | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "what", redacted(self.what))
        msgspec.structs.force_setattr(self, "fix", redacted(self.fix))

    def __str__(self) -> str:
        where = self.file
        if self.line is not None:
            where += f":{self.line}"
        parts = [part for part in (where, dotted(self.path), self.what) if part]
        return ": ".join(parts) + (f"; {self.fix}" if self.fix else "")


class ConfigError(ValueError):
    """A file cannot be used; carries every problem that was found in it, not the first alone."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = list(problems)


def dotted(path: KeyPath) -> str:
    """`("rules", 0, "use")` as `rules[0].use`; without what looks like a key."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return redacted(text)


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, in the given order; says so when there are none."""
    return ", ".join(names) or "(none)"


def closest(found: str, allowed: Iterable[str]) -> str:
    """`did you mean "x"?` for a misspelt name, in any case, or "" where nothing is near."""
    names = {name.casefold(): name for name in reversed(list(allowed))}
    matches = difflib.get_close_matches(found[:_LONGEST].casefold(), list(names), n=1, cutoff=0.6)
    return f'did you mean "{names[matches[0]]}"?' if matches else ""
