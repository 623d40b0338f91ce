"""One public key out of what was fetched, read and written by GnuPG: nothing here decides what a key is."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import Sequence

# The program, and the package of Debian and Ubuntu that has it; a minimal machine lacks it.
GPG = "gpg"
_LIMIT_S = 30


class KeyFormatError(ValueError):
    """What was fetched is not the one key that was wanted; the message says what it is."""


def only_key(data: bytes, fingerprint: str) -> str:
    """The key with this fingerprint in ASCII armour, where it is all that there is. Raises `KeyFormatError`.

    A file with another key beside it is refused: apt would trust both. What is returned GnuPG has written anew, without
    anything that it did not take for part of the key.
    """
    with tempfile.TemporaryDirectory(prefix="gridtie-gpg-") as home:
        listed = _gpg(home, ["--with-colons", "--show-keys"], data).decode("utf-8", "replace")
        found = primary_fingerprints(listed)
        if not found:
            raise KeyFormatError("this is no OpenPGP key")
        if found != [fingerprint]:
            count = f"{len(found)} keys with the fingerprints" if len(found) > 1 else "the fingerprint"
            raise KeyFormatError(
                f"the key file has {count} {', '.join(found)}, wanted was {fingerprint} alone; it is not trusted"
            )
        # Written by the import itself: with a keyring GnuPG would ask an agent, which is another package.
        key = _gpg(home, ["--armor", "--import-options", "import-export,import-minimal", "--import"], data)
        if not key:
            raise KeyFormatError("this is no OpenPGP key that GnuPG takes: nothing in it is signed by itself")
        return key.decode("ascii")


def primary_fingerprints(listed: str) -> list[str]:
    """The fingerprints of the keys, without those of their subkeys, in GnuPG's listing with colons."""
    found, key = [], ""
    for line in listed.splitlines():
        record, *fields = line.split(":")
        if record in ("pub", "sec", "sub", "ssb"):
            key = record
        elif record == "fpr" and key in ("pub", "sec"):
            found.append(fields[8])
    return found


def _gpg(home: str, arguments: Sequence[str], data: bytes) -> bytes:
    """Output of GnuPG with a keyring of its own; nothing of a person's is read or written."""
    try:
        done = subprocess.run(
            [GPG, "--batch", "--no-tty", "--no-options", "--quiet", *arguments],
            input=data, capture_output=True, timeout=_LIMIT_S, check=False,
            env={**os.environ, "GNUPGHOME": home, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise KeyFormatError(f"gpg did not end within {_LIMIT_S} s") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise KeyFormatError(f"this is no OpenPGP key ({said[-1] if said else 'gpg says nothing more'})")
    return done.stdout


def signed_by(armoured: str) -> str:
    """A key as the value of deb822's Signed-By: lines that are indented, and a dot in an empty one."""
    return "".join(f"\n {line or '.'}" for line in armoured.strip().splitlines())


def armoured_of(value: str) -> str:
    """The key of such a value."""
    lines = (line.strip() for line in value.strip().splitlines())
    return "".join(f"{'' if line == '.' else line}\n" for line in lines)
