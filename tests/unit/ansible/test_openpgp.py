"""Keys that apt shall trust: the one that was wanted and nothing beside it, as GnuPG reads it."""

from __future__ import annotations

import base64
import shutil

import pytest
from plugins.module_utils import gridtie_deb822
from plugins.module_utils.gridtie_openpgp import (
    KeyFormatError,
    armoured_of,
    only_key,
    primary_fingerprints,
    signed_by,
)

# Two keys of nobody's, with their fingerprints.
KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEXgvhABYJKwYBBAHaRw8BAQdAYStdh0Bt/xU99PDMUasu3IbMdtvchHqei/4F
BCiqwAq0EG9uZUBleGFtcGxlLnRlc3SIkAQTFggAOBYhBG0OSbNCzCikcB02oyYP
Xf9wjSY9BQJeC+EAAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJECYPXf9w
jSY9n+0A/iFnGJnexfhOXuotgEiUxNPJ4JLjNBIwkRVPLgQYxQnqAQDB/ZRL4gW9
HrTcaSNgPbJ+Py4CseP3+ros+McuQKncAA==
=MDcz
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "6D0E49B342CC28A4701D36A3260F5DFF708D263D"
OTHER = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEXgvhABYJKwYBBAHaRw8BAQdAAx5TcQekOI+FzFtjBai+L0WZ+t4dpiZK7UXE
LaojQ8y0EHR3b0BleGFtcGxlLnRlc3SIkAQTFggAOBYhBMnOa4hAn2XToWoWT3FL
Xj1p8acSBQJeC+EAAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEHFLXj1p
8acS59UBANfuNi9W91DxSVla+YXNacN4zMq8t6UQsuGQH7zEjuc6AQC1eTUAOm0E
CXtlTm5XvAX0M9jK0rVnk7TSEUAz4HDJCQ==
=DuuD
-----END PGP PUBLIC KEY BLOCK-----
"""
OTHER_FINGERPRINT = "C9CE6B88409F65D3A16A164F714B5E3D69F1A712"

# What reads a key is installed by the module that needs it; a machine that only tests may lack it. The lab has it.
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")


@needs_gpg
def test_the_key_that_was_wanted_is_taken() -> None:
    taken = only_key(KEY.encode(), FINGERPRINT)

    assert taken.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert only_key(taken.encode(), FINGERPRINT) == taken


@needs_gpg
@pytest.mark.parametrize("file", [KEY + OTHER, OTHER + KEY], ids=["behind it", "before it"])
def test_a_key_file_with_a_surplus_key_is_refused_and_both_are_named(file: str) -> None:
    with pytest.raises(KeyFormatError, match="the key file has 2 keys") as caught:
        only_key(file.encode(), FINGERPRINT)

    assert FINGERPRINT in str(caught.value)
    assert OTHER_FINGERPRINT in str(caught.value)


@needs_gpg
def test_a_surplus_key_in_the_same_packets_is_refused_as_well() -> None:
    """Without armour, one after the other: the first key's fingerprint says nothing about the second."""
    with pytest.raises(KeyFormatError, match="the key file has 2 keys"):
        only_key(packets(KEY) + packets(OTHER), FINGERPRINT)


@needs_gpg
def test_another_key_is_refused_with_both_fingerprints() -> None:
    with pytest.raises(KeyFormatError, match=f"the fingerprint {OTHER_FINGERPRINT}, wanted was {FINGERPRINT} alone"):
        only_key(OTHER.encode(), FINGERPRINT)


@needs_gpg
@pytest.mark.parametrize("data", [b"", b"<html>please log in</html>", b"\x98\x05\x03abcd", KEY.encode()[:120]])
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(KeyFormatError, match="this is no OpenPGP key"):
        only_key(data, FINGERPRINT)


def test_subkeys_are_no_keys_of_their_own() -> None:
    records = ("pub:-:4096", "fpr:::::::::AA:", "uid:-::::::::x:", "sub:e:2048", "fpr:::::::::BB:")

    assert primary_fingerprints("\n".join((*records, "pub:-:4096", "fpr:::::::::CC:"))) == ["AA", "CC"]


def test_a_key_in_a_source_file_has_no_empty_line_and_is_the_same_key() -> None:
    value = signed_by(KEY)

    assert all(line.strip() for line in value.splitlines()[1:])
    assert armoured_of(value) == KEY


SOURCE = {"Types": "deb", "URIs": "https://there.example/deb", "Suites": "/"}


@needs_gpg
def test_a_source_is_read_as_it_was_written_with_its_key() -> None:
    text = gridtie_deb822.text_of({**SOURCE, "Signed-By": signed_by(only_key(KEY.encode(), FINGERPRINT))})
    found = gridtie_deb822.fields(text)

    assert gridtie_deb822.is_signed_by(found.pop("Signed-By"), FINGERPRINT)
    assert found == SOURCE


@needs_gpg
@pytest.mark.parametrize("key", [OTHER, KEY + OTHER], ids=["another", "a surplus one"])
def test_a_source_with_another_key_than_the_declared_one_is_not_right(key: str) -> None:
    assert not gridtie_deb822.is_signed_by(signed_by(key), FINGERPRINT)


def packets(armoured: str) -> bytes:
    """A key without its armour."""
    body = armoured.split("\n\n", 1)[1].splitlines()
    return base64.b64decode("".join(line for line in body if not line.startswith(("=", "-"))))
