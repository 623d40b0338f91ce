"""What Ansible packed for one run is there for the next, as long as nothing changed that went into it."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import time
import zipfile
import zipimport
from dataclasses import dataclass
from pathlib import Path

import pytest
from plugins.callback import gridtie_workers as workers

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Packed:
    """As much of what Ansible keeps of a module as is read here."""

    zip_data: bytes


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A directory with one packed module."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one.py", "ANSWER = 42\n")
    directory = tmp_path / "packed"
    directory.mkdir()
    (directory / "module").write_bytes(pickle.dumps(Packed(base64.b64encode(file.getvalue()))))
    return directory


def imported_from(packed: Path) -> tuple[str, int]:
    """Which file of the packed module Python takes, and what it says."""
    archive = packed.parent / f"{time.monotonic_ns()}.zip"
    archive.write_bytes(base64.b64decode(pickle.loads((packed / "module").read_bytes()).zip_data))
    importer = zipimport.zipimporter(str(archive))
    said: dict[str, int] = {}
    exec(importer.get_code("one"), said)
    return Path(importer.get_filename("one")).name, said["ANSWER"]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    made = tmp_path / "environment"
    made.mkdir()
    (made / "pyvenv.cfg").touch()
    return made


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plugins of one's own to change, with a package that is a link, as in the checkout."""
    made = tmp_path / "plugins"
    for name in ("modules", "module_utils", "../package"):
        (made / name).mkdir(parents=True)
    (made / "modules/one.py").write_text("one")
    (made.parent / "package/two.py").write_text("two")
    (made / "module_utils/package").symlink_to("../../package")
    monkeypatch.setattr(workers, "_PLUGINS", made)
    return made


def run(environment: Path, tmp_path: Path) -> Path:
    """A run begins; where it would find and put packed modules."""
    temporary = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    temporary.mkdir()
    workers.keep_packed_modules(temporary, environment, compiled=False)
    return temporary / "ansiballz_cache"


def test_the_next_run_finds_what_one_run_packed(environment: Path, tmp_path: Path) -> None:
    (run(environment, tmp_path) / "module").write_bytes(pickle.dumps("packed"))

    assert pickle.loads((run(environment, tmp_path) / "module").read_bytes()) == "packed"


@pytest.mark.parametrize("changed", ["modules/one.py", "module_utils/package/two.py"])
def test_nothing_is_found_once_a_source_changed(environment: Path, plugins: Path, tmp_path: Path, changed: str) -> None:
    (run(environment, tmp_path) / "module").write_bytes(pickle.dumps("packed"))
    (plugins / changed).write_text("other")

    assert not (run(environment, tmp_path) / "module").exists()


@pytest.mark.parametrize("left", [b"", pickle.dumps("packed")[:-1], b"\0" * 100])
def test_a_file_that_lost_its_end_is_packed_again(environment: Path, tmp_path: Path, left: bytes) -> None:
    (run(environment, tmp_path) / "module").write_bytes(left)

    assert not (run(environment, tmp_path) / "module").exists()


@pytest.mark.parametrize("name", ["module-part", "module.lock"])
def test_what_another_run_is_about_to_pack_is_left_to_it(environment: Path, tmp_path: Path, name: str) -> None:
    (run(environment, tmp_path) / name).touch()

    assert (run(environment, tmp_path) / name).exists()


def test_what_has_not_been_used_for_long_goes(environment: Path, tmp_path: Path) -> None:
    old = environment / "packed-modules/0123456789abcdef"
    old.mkdir(parents=True)
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    recent = environment / "packed-modules/fedcba9876543210"
    recent.mkdir()

    run(environment, tmp_path)

    assert not old.exists()
    assert recent.exists()


def test_without_an_environment_of_its_own_nothing_is_kept(tmp_path: Path) -> None:
    system = tmp_path / "usr"
    system.mkdir()

    assert not run(system, tmp_path).exists()
    assert not list(system.iterdir())


def test_what_is_compiled_for_this_machine_is_not_sent_to_another(environment: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "here"
    temporary.mkdir()
    here = workers.keep_packed_modules(temporary, environment, compiled=True)

    assert here == (temporary / "ansiballz_cache").resolve()
    assert here != run(environment, tmp_path).resolve()


def test_the_python_that_compiled_a_module_does_not_do_it_again(packed: Path) -> None:
    assert imported_from(packed) == ("one.py", 42)

    workers.compile_packed_modules(packed)

    assert imported_from(packed) == ("one.pyc", 42)


def test_another_python_takes_the_source(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"\0\0\r\n")
    workers._code.cache_clear()

    workers.compile_packed_modules(packed)

    assert imported_from(packed) == ("one.py", 42)
    workers._code.cache_clear()


def test_a_module_is_compiled_once(packed: Path) -> None:
    workers.compile_packed_modules(packed)
    before = (packed / "module").stat().st_ino

    workers.compile_packed_modules(packed)

    assert (packed / "module").stat().st_ino == before


def test_ansible_takes_what_it_packed_in_the_run_before_compiled(tmp_path: Path) -> None:
    """Where and how Ansible keeps it is no interface: were it to change, runs would get slower and nobody would see."""
    playbook = tmp_path / "play.yml"
    playbook.write_text("[{hosts: localhost, gather_facts: false, tasks: [{ansible.builtin.ping: }]}]")
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "inventories/localhost", playbook]
    own = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    kept = Path(sys.prefix) / "packed-modules" / f"{workers._state()}-compiled"
    for packed in kept.glob("ansible.modules.ping-*"):
        packed.unlink()

    subprocess.run(command, check=True, cwd=ROOT, env=own)
    (packed,) = (path for path in kept.glob("ansible.modules.ping-*") if not path.name.endswith((".lock", "-part")))
    before = packed.stat().st_ino
    subprocess.run(command, check=True, cwd=ROOT, env=own)

    with zipfile.ZipFile(io.BytesIO(base64.b64decode(pickle.loads(packed.read_bytes()).zip_data))) as archive:
        assert {"ansible/module_utils/basic.py", "ansible/module_utils/basic.pyc"} <= set(archive.namelist())
    assert packed.stat().st_ino == before
