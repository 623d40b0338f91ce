"""Files that hold a key: what people paste into them, and into the setting that names them.

Pure, and silent about the key: a fault says what is around it, never what it is.
"""

from __future__ import annotations

import re

from gridtie.config.redact import holds_key, is_secret_name

# NAME=value of a shell or an .env file. Base64 has = at its end, and there alone.
_ASSIGNED = re.compile(r"(export\s+|setx?\s+|\$env:)?([A-Za-z_]\w*)\s*=\s*[^=\s]", re.ASCII)
_FIELD = re.compile(r"""["']?[\w-]*(?:key|token|secret|password|authorization)["']?\s*:\s*\S""", re.IGNORECASE)
_HEADER = re.compile(r"(?:bearer|basic|token)\s", re.IGNORECASE)
# What stands for something else wherever it is found, and words that are no key where nothing else is there.
_STANDS_FOR = re.compile(r"<.*>|\{.*\}|^\$\w+$|%\w+%|\.\.\.|…|\*\*\*")
_NO_KEY = re.compile(
    r"(?:.*[-_ ])?your(?:[-_ ].*|(?:api)?key)|.*(?:key|token)[-_ ]here|(?:.*[-_])?x{4,}"
    r"|(?:change|replace|fill|insert|enter|put|paste)[-_ ]?(?:me|this|it|in|the|with|key|api).*"
    r"|(?:my|the|an?|example)?[-_]?api[-_]?(?:key|token)|(?:sk-)?[x0.*_-]{3,}"
    r"|todo|tbd|fixme|placeholder",
    re.IGNORECASE,
)
# Typographic ones are beyond ASCII, which no key is.
_QUOTES = "\"'`"

_ALONE = "leave the key alone in the file"


def key_in(raw: bytes) -> str:
    """The key that a file holds, without the end of its line. Raises ValueError with what stands there instead."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw:
        raise ValueError("it is UTF-16 or no text at all; save it as plain text (UTF-8)")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ValueError("it begins with a byte-order mark; save it as UTF-8 without one")
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None
    if fault := _other_form(text) or _around(text) or _no_key(text):
        raise ValueError(fault)
    return text


def not_a_path(text: str) -> tuple[str, str]:
    """Why the value of `key_file` names no file, and what to do; two empty texts where it may name one.

    Nothing of the value is in either: it may be the key.
    """
    own = "name a file relative to this one, such as secrets/openai"
    if not text.strip():
        return "it is empty", own
    if "\n" in text or text.startswith("-----BEGIN"):
        return "it holds several lines, and no path does; it is not shown, for it may be a key", _MOVED
    if text.startswith(("$", "os.environ", "env:", "env/", "ENV")) and not holds_key(text):
        return "environment variables are not read here", f"write the key into a file and {own}"
    if not text.isprintable():
        return "it has control characters, and no path does", own
    if re.match(r"[a-z]+://", text, re.IGNORECASE):
        return "it is a URL", own
    if text.startswith("~"):
        return "~ is not followed: the router runs as another user", own
    # With a slash it may be a path whose last part looks like a short key (secrets/sk-prod), or a whole path with a
    # random part (/nix/store/...). A key hardly begins with a slash.
    within = "/" in text
    if holds_key(text, least=20 if within else 0) and not text.startswith("/"):
        return _KEY_ITSELF, _MOVED
    if _around(text) or (text.startswith("gt-") and not within):
        return _KEY_ITSELF, _MOVED
    return "", ""


_KEY_ITSELF = "it looks like a key itself, or like what stands for one, so it is not shown"
_MOVED = (
    "write the key into a file (/etc/gridtie/secrets/NAME, owner root:gridtie, mode 0640) and name that: "
    "`key_file: secrets/NAME`. If it is a key, who could read this file knows it: ask its provider for another"
)


def _other_form(text: str) -> str:
    """A file of another kind."""
    lines = text.splitlines()
    if not text:
        return "it is empty"
    if text.startswith("$ANSIBLE_VAULT"):
        return "it is encrypted by ansible-vault; write the decrypted key into it"
    if text.startswith("-----BEGIN"):
        return "it is a PEM file; wanted: an API key"
    if text[0] in "{[" and text[-1] in "}]" and '"' in text:
        return f"it is JSON; {_ALONE}"
    if len(lines) > 1:
        return f"it has {len(lines)} lines; wanted one, with the key alone (no comment, no second key)"
    return ""


def _around(text: str) -> str:
    """What stands around a key, or for one."""
    assigned = _ASSIGNED.match(text)
    if assigned and (assigned[1] or is_secret_name(assigned[2]) or (assigned[2].isupper() and "_" in assigned[2])):
        return f"it holds NAME=value; {_ALONE}, without the name and the ="
    if _FIELD.match(text):
        return f"it holds `name: value`; {_ALONE}, without the name and the colon"
    if _HEADER.match(text):
        return f"it begins with a word that stands before keys in a header; {_ALONE}, without Bearer"
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        return f"the key stands in quotes; {_ALONE}, without them"
    return "it holds a placeholder, not a key" if _STANDS_FOR.search(text) else ""


def _no_key(text: str) -> str:
    if _NO_KEY.fullmatch(text):
        return "it holds a placeholder, not a key"
    if not text.isascii():
        return "it has characters that no key has (a typographic dash, an invisible space?)"
    if not text.isprintable() or " " in text:
        return "it does not hold one key (one line of printable characters without spaces)"
    return ""
