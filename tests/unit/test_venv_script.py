"""scripts/venv beside a bundle: what it would install is compared with the bundle's list before anything is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
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


def said(checkout: Path, bundle: Path) -> str:
    """What the script says as it fails; without a Python it gets no further than to look for one."""
    done = subprocess.run(
        ["sh", checkout / "scripts/venv", "site"],
        env={"PATH": os.environ["PATH"], "GRIDTIE_BUNDLE": str(bundle), "PYTHON": "/nonexistent"},
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
