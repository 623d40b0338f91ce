"""The fingerprint of an OpenPGP public key, computed here: a minimal machine has no gpg."""

from __future__ import annotations

import base64
import hashlib
import re


class KeyFormatError(ValueError):
    """What was fetched is no public key of a form that is known here."""


def dearmour(data: bytes) -> bytes:
    """The packets of a key, with or without ASCII armour (RFC 9580, 6.2)."""
    found = re.search(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP", data, re.S)
    if not found:
        return data
    # Headers end at an empty line; the line that begins with = is the checksum.
    body = re.split(rb"\r?\n[ \t]*\r?\n", found.group(1), maxsplit=1)[-1]
    return base64.b64decode(b"".join(line for line in body.split() if not line.startswith(b"=")))


def fingerprint(data: bytes) -> str:
    """40 upper-case hexadecimal digits of a version 4 key's first packet. Raises `KeyFormatError`."""
    try:
        packets = dearmour(data)
        tag, start, length = _header(packets)
    except (ValueError, IndexError) as error:
        raise KeyFormatError("this is no OpenPGP key") from error
    body = packets[start : start + length]
    if tag != 6 or len(body) != length or body[:1] != b"\x04":
        raise KeyFormatError("this does not begin with an OpenPGP public key of version 4")
    # S324: version 4 fingerprints are SHA-1 by definition (RFC 9580, 5.5.4.2).
    return hashlib.sha1(b"\x99" + length.to_bytes(2, "big") + body).hexdigest().upper()  # noqa: S324


def _header(packets: bytes) -> tuple[int, int, int]:
    """Tag, where the body begins and how long it is, in the old and the new packet format."""
    first = packets[0]
    if not first & 0x80:
        raise ValueError("no packet begins here")
    if first & 0x40:
        octet = packets[1]
        if octet < 192:
            return first & 0x3F, 2, octet
        if octet < 224:
            return first & 0x3F, 3, ((octet - 192) << 8) + packets[2] + 192
        return first & 0x3F, 6, int.from_bytes(packets[2:6], "big")
    size = 1 << (first & 3)
    return first >> 2 & 0x0F, 1 + size, int.from_bytes(packets[1 : 1 + size], "big")


def armoured_lines(data: bytes) -> list[str]:
    """The key in ASCII armour, as deb822's Signed-By wants it: one line each, none of them empty."""
    packets = dearmour(data)
    text = base64.b64encode(packets).decode()
    return [
        "-----BEGIN PGP PUBLIC KEY BLOCK-----",
        ".",
        *(text[at : at + 64] for at in range(0, len(text), 64)),
        "-----END PGP PUBLIC KEY BLOCK-----",
    ]
