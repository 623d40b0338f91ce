"""scripts/venv beside a bundle: what it would install is compared with the bundle's list before anything is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a checkout as the script reads before it installs something."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    return checkout


def bundle(directory: Path, wheel: bytes) -> Path:
    (directory / "wheels").mkdir(parents=True)
    (directory / "wheels/a.whl").write_bytes(wheel)
    (directory / "SHA256SUMS").write_text(f"{hashlib.sha256(b'a wheel').hexdigest()}  wheels/a.whl\n")
    return directory


def said(checkout: Path, bundle: Path | str, *command: str) -> str:
    """What the script says as it fails; without a Python it gets no further than to look for one."""
    done = subprocess.run(
        command or ["sh", checkout / "scripts/venv", "site"],
        env={"PATH": os.environ["PATH"], "GRIDTIE_BUNDLE": str(bundle), "PYTHON": "/nonexistent"},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert not (checkout / ".venv").exists()
    return done.stderr


def test_a_changed_wheel_is_named_and_nothing_is_installed(checkout: Path, tmp_path: Path) -> None:
    told = said(checkout, bundle(tmp_path / "bundle", b"A wheel"))

    assert "wheels/a.whl" in told
    assert f"{tmp_path}/bundle is not a whole bundle" in told
    assert "make site BUNDLE=" in told


def test_a_directory_without_a_list_is_no_bundle(checkout: Path, tmp_path: Path) -> None:
    assert f"{tmp_path} is not a whole bundle" in said(checkout, tmp_path)


def test_a_whole_bundle_is_gone_on_with(checkout: Path, tmp_path: Path) -> None:
    assert "PYTHON=/nonexistent is not a Python" in said(checkout, bundle(tmp_path / "bundle", b"a wheel"))


@pytest.mark.parametrize("named", ["{there}/my stick/bundle", "../my stick/bundle", "../stick"])
def test_make_is_told_of_a_bundle_by_any_path(checkout: Path, tmp_path: Path, named: str) -> None:
    shutil.copy(ROOT / "Makefile", checkout)
    for place in ("my stick/bundle", "stick"):
        bundle(tmp_path / place, b"a wheel")

    told = said(checkout, "", "make", "venv", f"BUNDLE={named.format(there=tmp_path)}")

    assert "PYTHON=/nonexistent is not a Python" in told


def test_apt_is_told_of_a_bundle_by_any_path(checkout: Path, tmp_path: Path) -> None:
    """A machine whose Python has no ensurepip takes it from the bundle's packages."""
    programs = {
        "apt-get": 'cat "$(dirname "$APT_CONFIG")/sources.list" >&2; exit 1',
        "sudo": 'exec "$@"',
        "python": f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"',
    }
    (tmp_path / "bin").mkdir()
    for name, script in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    # The real one looks behind what it finds.
    (checkout / "scripts/find-python").write_text(f"#!/bin/sh\necho {tmp_path}/bin/python\n")
    done = subprocess.run(
        ["sh", checkout / "scripts/venv", "site"],
        env={
            "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
            "GRIDTIE_BUNDLE": str(bundle(tmp_path / "my 100% stick", b"a wheel")),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"deb [trusted=yes] file:{tmp_path}/my%20100%25%20stick/packages ./\n" in done.stderr
