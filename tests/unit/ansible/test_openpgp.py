"""Fingerprints of OpenPGP keys, by the standard's own example."""

from __future__ import annotations

import base64

import pytest
from plugins.module_utils.gridtie_openpgp import KeyFormatError, armoured_lines, dearmour, fingerprint

# RFC 9580, A.1: a version 4 Ed25519 public key packet.
PACKET = bytes.fromhex(
    "98330453f35f0b16092b06010401da470f010107403f098994bdd916ed4053197934e4a87c80733a1280d62f8010992e43ee3b2406"
)
FINGERPRINT = "C959BDBAFA32A2F89A153B678CFDE12197965A9A"


def armoured(packets: bytes) -> bytes:
    body = base64.encodebytes(packets)
    return (
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\n" + body + b"=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )


@pytest.mark.parametrize("key", [PACKET, armoured(PACKET), armoured(PACKET).replace(b"\n", b"\r\n")])
def test_a_key_has_the_fingerprint_that_the_standard_says(key: bytes) -> None:
    assert fingerprint(key) == FINGERPRINT


def test_a_length_in_the_new_format_is_read_too() -> None:
    assert fingerprint(bytes([0xC6, PACKET[1]]) + PACKET[2:]) == FINGERPRINT


@pytest.mark.parametrize(
    "data", [b"", b"<html>please log in</html>", PACKET[:20], b"\x98\x05\x03abcd", b"\xb4\x04abcd"]
)
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(KeyFormatError):
        fingerprint(data)


def test_a_key_in_a_source_file_has_no_empty_line_and_is_the_same_key() -> None:
    lines = armoured_lines(PACKET)

    assert all(lines)
    assert dearmour("\n".join(line if line != "." else "" for line in lines).encode()) == PACKET
