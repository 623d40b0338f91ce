"""The zipapp: runs anywhere with Python alone, and is the same bytes every time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import gridtie.host
from gridtie.host import zipapp
from gridtie.host.version import __version__

HOST = Path(gridtie.host.__file__).parent
ROOT = Path(__file__).parents[3]


def test_the_same_sources_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    copy = shutil.copytree(HOST, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    os.utime(copy / "cli.py", (1, 1))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "cli.pyc").write_bytes(b"x")
    assert zipapp.pack(copy) == zipapp.pack(HOST)


def test_a_changed_source_gives_other_bytes(tmp_path: Path) -> None:
    copy = shutil.copytree(HOST, tmp_path / "copy")
    (copy / "version.py").write_text('__version__ = "9"\n')
    assert zipapp.pack(copy) != zipapp.pack(HOST)


def test_it_holds_the_host_package_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "gridtie"
    zipapp.write(out, zipapp.pack(HOST))
    names = zipfile.ZipFile(out).namelist()
    assert {name.split("/")[0] for name in names} == {"__main__.py", "gridtie"}
    assert {name.split("/")[1] for name in names if "/" in name} == {"__init__.py", "host"}


def test_it_runs_with_python_alone(tmp_path: Path) -> None:
    """Isolated and without site-packages: the standard library is all there is."""
    out = tmp_path / "gridtie"
    zipapp.write(out, zipapp.pack(HOST))
    command = [sys.executable, "-I", "-S", str(out), "version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gridtie {__version__}\n", "")


def test_writing_again_changes_nothing_and_the_file_is_executable(tmp_path: Path) -> None:
    out = tmp_path / "bin" / "gridtie"
    assert zipapp.write(out, zipapp.pack(HOST))
    before = out.stat()
    assert not zipapp.write(out, zipapp.pack(HOST))
    assert (out.stat().st_ino, out.stat().st_mode & 0o777) == (before.st_ino, 0o755)


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == __version__
