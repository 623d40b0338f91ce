"""What no message may show: keys, wherever somebody put them by mistake.

A message is read on a terminal, in a log and by every key that may ask for the configuration's state. Messages about
places where keys are at home (`key_file`, `base_url`) show nothing of the value by their own rules; this is the net
below all of them, for a key in any other place.
"""

from __future__ import annotations

import re
from itertools import pairwise

HIDDEN = "(hidden)"

# Keys that say what they are. `sk-`: OpenAI, Anthropic, OpenRouter, DeepSeek; `gt-`: this router's own; the others by
# their providers' documentation. Short words after a common prefix (`gt-server`) are names.
_MARKED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[\w.+/=-]{3,}"
    r"|(?:gt|xai|pplx|nvapi|glpat|pk|rk)-[\w.+/=-]{16,}"
    r"|(?:gsk|hf|r8|fw|gh[oprsu]|github_pat)_[\w.+/=-]{16,}"
    r"|(?:AKIA|ASIA|AIza|ABSK|eyJ)[\w.+/=-]{12,}"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r")"
)
# What stands in a URL for a login, and in its query for a key; and a PEM file, which is one key from end to end.
_IN_URL = re.compile(r"(?<=://)[^\s\"']+(?=@)|(?<=[?&])[\w-]*(?:key|token|secret|password|sig)[\w-]*=[^&\s\"']+", re.I)
_PEM = re.compile(r"-----BEGIN [A-Z ]*-----.*?(?:-----END [A-Z ]*-----|$)", re.DOTALL)
# Unmarked ones: a run of letters and digits that no name has. Azure and Mistral have 32, Cohere 40, Together 64.
_RUN = re.compile(r"[A-Za-z0-9]{20,}")
# Changes between lower case, upper case and digits, a capital at the head of a word apart: a random run of 20 has
# 8 of them on average, `DeepSeekCoderInstruct` has 3.
_CHANGES = 5
_HEX = re.compile(r"(?=.*[0-9])(?=.*[a-fA-F])[0-9a-fA-F]{32,}")

# Names of settings, ours or invented, below which a secret is to be expected.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api_?key|keys?|key_file|secrets?|passwords?|passwd|pwd|token|auth|authorization|bearer|credentials?)$"
)
_NO_SECRETS = frozenset({"first_token"})


def holds_key(text: str, *, least: int = 0) -> bool:
    """Whether some part of a text looks like a key, of at least so many characters."""
    parts = [*(match[0] for match in _MARKED.finditer(text)), *(run for run in _RUN.findall(text) if _random(run))]
    return any(len(part) >= least for part in parts)


def redacted(text: str) -> str:
    """The text with `(hidden)` in place of everything in it that looks like a key."""
    for pattern in (_PEM, _IN_URL, _MARKED):
        text = pattern.sub(HIDDEN, text)
    return _RUN.sub(lambda match: HIDDEN if _random(match[0]) else match[0], text)


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name is a place for secrets: `api_key`, `OPENAI_TOKEN`, `key_file`."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    return plain not in _NO_SECRETS and _SECRET_NAME.search(plain) is not None


def path_or_nothing(text: str, otherwise: str) -> str:
    """A value where a path is wanted: itself if it is plainly one, else the words that stand for it."""
    plain = "/" in text and text.isprintable() and len(text) <= 200 and "@" not in text and not holds_key(text)
    return text if plain else otherwise


def _random(run: str) -> bool:
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" for char in run]
    changes = sum(a != b and (a, b) != ("u", "l") for a, b in pairwise(kinds))
    return changes >= _CHANGES or _HEX.fullmatch(run) is not None
