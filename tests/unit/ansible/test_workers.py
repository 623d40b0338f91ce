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


MODULE = "ansible_collections.gridtie.gridtie.plugins.modules.one-ZIP_DEFLATED-none"


def begin(environment: Path, tmp_path: Path, compiled: bool = False) -> tuple[Path, Path | None]:
    """A run begins: where it finds and puts packed modules, and where they are kept."""
    tmp_path.mkdir(exist_ok=True)
    own = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    return own, workers.find_packed_modules(own, environment, compiled=compiled)


def run(environment: Path, tmp_path: Path, name: str = MODULE, packed: bytes = pickle.dumps("packed")) -> Path:
    """A run from its beginning to its end, which packs one module unless it finds that; where that is kept."""
    own, kept = begin(environment, tmp_path)
    assert kept
    if not (own / name).exists():
        (own / name).write_bytes(packed)
    workers.keep_packed_modules(own, kept)
    return kept / name


@pytest.mark.parametrize("name", [MODULE, "ansible.modules.stat-ZIP_DEFLATED-none"])
def test_the_next_run_finds_what_one_run_packed(environment: Path, tmp_path: Path, name: str) -> None:
    run(environment, tmp_path, name)

    own, _ = begin(environment, tmp_path)
    assert pickle.loads((own / name).read_bytes()) == "packed"


@pytest.mark.parametrize(
    "name",
    ["ansible.legacy.mine-ZIP_DEFLATED-none", "ansible_collections.amazon.aws.plugins.modules.s3-ZIP_DEFLATED-none"],
)
def test_what_may_change_between_two_runs_is_packed_in_each(environment: Path, tmp_path: Path, name: str) -> None:
    run(environment, tmp_path, name)

    own, _ = begin(environment, tmp_path)
    assert not (own / name).exists()


def test_two_runs_at_once_do_not_see_what_the_other_packs(environment: Path, tmp_path: Path) -> None:
    (one, _), (other, _) = (begin(environment, tmp_path / name) for name in ("one", "other"))

    (one / "ansible.legacy.mine-ZIP_DEFLATED-none").touch()

    assert list(other.iterdir()) == []


@pytest.mark.parametrize("changed", ["modules/one.py", "module_utils/package/two.py"])
def test_nothing_is_found_once_a_source_changed(environment: Path, plugins: Path, tmp_path: Path, changed: str) -> None:
    run(environment, tmp_path)
    (plugins / changed).write_text("other")

    own, _ = begin(environment, tmp_path)
    assert list(own.iterdir()) == []


@pytest.mark.parametrize("left", [b"", pickle.dumps("packed")[:-1], b"\0" * 100])
def test_a_file_that_lost_its_end_is_packed_again(environment: Path, tmp_path: Path, left: bytes) -> None:
    kept = run(environment, tmp_path, packed=left)

    own, _ = begin(environment, tmp_path)
    assert list(own.iterdir()) == []
    assert not kept.exists()


@pytest.mark.parametrize("name", [f"{MODULE}.4711-part", f"{MODULE}.lock"])
def test_what_another_run_is_about_to_pack_is_left_to_it(environment: Path, tmp_path: Path, name: str) -> None:
    other = run(environment, tmp_path).with_name(name)
    other.touch()

    own, _ = begin(environment, tmp_path)
    assert other.exists()
    assert not (own / name).exists()


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

    own, kept = begin(system, tmp_path)
    assert kept is None
    assert not own.exists()
    assert not list(system.iterdir())


def test_what_is_compiled_for_this_machine_is_not_sent_to_another(environment: Path, tmp_path: Path) -> None:
    _, here = begin(environment, tmp_path, compiled=True)
    _, elsewhere = begin(environment, tmp_path)

    assert here
    assert here != elsewhere


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


def test_a_module_of_ones_own_that_was_edited_runs_as_it_is_now(tmp_path: Path) -> None:
    """One beside a playbook of somebody who uses the checkout's settings: nothing of the project's knows its source."""
    playbook, module = tmp_path / "play.yml", tmp_path / "library" / f"mine_{tmp_path.name}".replace("-", "_")
    module.parent.mkdir()
    module = module.with_suffix(".py")
    playbook.write_text(
        f"[{{hosts: localhost, gather_facts: false, tasks: [{{{module.stem}: , register: said}}, "
        "{ansible.builtin.assert: {that: said.version == wanted}}]}]"
    )
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "inventories/localhost", playbook, "-e"]
    own = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}

    for version in ("old", "new"):
        module.write_text(
            "from ansible.module_utils.basic import AnsibleModule\n"
            f"AnsibleModule(argument_spec={{}}).exit_json(version={version!r})\n"
        )
        subprocess.run([*command, f"wanted={version}"], check=True, cwd=ROOT, env=own)
