"""Contexts are made once, and again when the CA file is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.upstream import tls
from standins.authority import make_authority


def test_a_context_is_made_once_for_a_file(tmp_path: Path) -> None:
    ca = str(make_authority(tmp_path))

    assert tls.context(ca) is tls.context(ca)


def test_a_renewed_ca_is_trusted_without_a_restart(tmp_path: Path) -> None:
    before = tls.context(str(make_authority(tmp_path)))

    after = tls.context(str(make_authority(tmp_path)))

    assert before.get_ca_certs() != after.get_ca_certs()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.pem"):
        tls.context(str(tmp_path / "none.pem"))
