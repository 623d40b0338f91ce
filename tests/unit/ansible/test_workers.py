"""What Ansible packed for one run is there for the next, as long as nothing changed that went into it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from plugins.callback import gridtie_workers as workers

ROOT = Path(__file__).resolve().parents[3]


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
    workers.keep_packed_modules(temporary, environment)
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


def test_ansible_puts_what_it_packs_where_it_is_kept(tmp_path: Path) -> None:
    """Where Ansible puts it is no interface: were that to change, runs would get slower and nobody would see why."""
    playbook = tmp_path / "play.yml"
    playbook.write_text("[{hosts: localhost, gather_facts: false, tasks: [{ansible.builtin.ping: }]}]")
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "inventories/localhost", playbook]
    kept = Path(sys.prefix) / "packed-modules" / workers._state()
    for packed in kept.glob("ansible.modules.ping-*"):
        packed.unlink()

    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})

    assert [path for path in kept.glob("ansible.modules.ping-*") if path.suffix != ".lock"]
