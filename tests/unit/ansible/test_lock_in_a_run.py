"""Hosts of one run, and of a later one, are held to what the first of them learned: by ansible-playbook itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.lock import read
from standins import shape_gguf
from standins.model_registry import Registry, serving
from standins.model_station import SHAPE

ROOT = Path(__file__).resolve().parents[3]
ALICE, BOB = "alice-laptop", "bob-desktop"

CATALOGUE = {
    "name": "coder:1b", "title": "Coder", "maker": "nobody", "license": {"id": "Apache-2.0", "commercial": True},
    "parameters": 1000, "capabilities": ["chat"], "purposes": ["probe"], "sources": [{"ollama": "coder:1b"}],
}  # fmt: skip

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - gridtie.gridtie.gridtie_models:
        catalogue_file: "{{ inventory_dir }}/models.yaml"
        lock_file: "{{ inventory_dir }}/models.lock.yaml"
        inventory_lock: "{{ inventory_dir }}/gridtie.lock.yaml"
        pins: "{{ pins | default('learn') }}"
        models: [coder:1b]
        engine: embedded
        models_dir: "{{ inventory_dir }}/{{ inventory_hostname }}"
        registry: "{{ registry }}"
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Registry]:
    shape_gguf.write(tmp_path / "coder.gguf", SHAPE)
    with serving() as registry:
        registry.add_model("coder:1b", (tmp_path / "coder.gguf").read_bytes())
        yield registry


Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def play(tmp_path: Path, upstream: Registry) -> Play:
    """Run the task for both hosts, which are directories here."""
    size = (tmp_path / "coder.gguf").stat().st_size
    shape = {name: value for name, value in vars(SHAPE).items() if name not in ("experts", "mla_cache", "header")}
    document = {**CATALOGUE, "shape": shape, "file": {"bytes": size, "size": "exact", "quantisation": "Q4_0"}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"schema": 1, "models": [document]}))
    (tmp_path / "models.lock.yaml").write_text("schema: 1\nmodels: {}\n")
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": local, "hosts": {ALICE: {}, BOB: {}}}}))
    (tmp_path / "play.yml").write_text(PLAY)

    def run(*arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {"registry": upstream.url, **variables}
        command = [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml"), "-i"]
        command += [str(tmp_path / "hosts.yml"), "-v", *arguments]
        command += [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
        own = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_STDOUT_CALLBACK": "default", "NO_PROXY": "*", "no_proxy": "*",
        }  # fmt: skip
        return subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)

    return run


def learned(directory: Path) -> dict[str, str]:
    """The digest of the model, and who learned it."""
    (entry,) = read(directory / "gridtie.lock.yaml").entries["models"].values()
    return {**entry.digests, "by": entry.learned_by}


def test_both_hosts_of_a_run_get_what_the_first_one_learned(play: Play, tmp_path: Path) -> None:
    done = play()

    assert done.returncode == 0, done.stdout
    assert learned(tmp_path)["by"] in (ALICE, BOB)
    served = [(tmp_path / host).rglob("manifests/registry.ollama.ai/gridtie/coder/1b") for host in (ALICE, BOB)]
    assert len({path.read_bytes() for paths in served for path in paths}) == 1


def test_a_second_host_is_refused_what_upstream_serves_by_then(play: Play, tmp_path: Path, upstream: Registry) -> None:
    assert play("--limit", ALICE).returncode == 0
    first = learned(tmp_path)
    upstream.add_model("coder:1b", (tmp_path / "coder.gguf").read_bytes(), b'{"stop":["changed"]}')

    done = play("--limit", BOB)

    assert done.returncode != 0
    assert "coder:1b was changed upstream" in done.stdout
    assert f"pinned is sha256:{first['manifest']}" in done.stdout
    assert first["by"] == ALICE and learned(tmp_path) == first
    assert not list((tmp_path / BOB).rglob("blobs/*"))


def test_with_required_pins_the_lock_is_all_that_counts(play: Play, tmp_path: Path) -> None:
    refused = play("--limit", ALICE, pins="require")
    assert refused.returncode != 0 and "gridtie_pins is require" in refused.stdout
    assert not (tmp_path / "gridtie.lock.yaml").exists()

    assert play("--limit", BOB).returncode == 0
    assert play(pins="require").returncode == 0


def test_check_mode_writes_no_lock(play: Play, tmp_path: Path) -> None:
    assert play("--check").returncode == 0
    assert not (tmp_path / "gridtie.lock.yaml").exists()


def test_a_damaged_lock_stops_the_task_and_is_left_as_it_is(play: Play, tmp_path: Path) -> None:
    (tmp_path / "gridtie.lock.yaml").write_text("schema: 1\n<<<<<<< HEAD\n")

    done = play()

    assert done.returncode != 0
    assert "the lock is damaged" in done.stdout
    assert (tmp_path / "gridtie.lock.yaml").read_text() == "schema: 1\n<<<<<<< HEAD\n"


@pytest.mark.parametrize(("inventory", "beside"), [("hosts/one.yml", "hosts"), ("one,", ".")], ids=["file", "names"])
def test_the_usual_place_is_beside_the_inventory_and_without_one_beside_the_playbook(
    tmp_path: Path, inventory: str, beside: str
) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/one.yml").write_text("all: {hosts: {one: {}}}\n")
    show = {"ansible.builtin.debug": {"msg": "lock={{ _station_usual_lock }}"}}
    book = {"hosts": "one", "gather_facts": False, "vars_files": [str(ROOT / "roles/station/vars/main.yml")]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{**book, "tasks": [show]}]))

    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml", "-i", inventory],
        cwd=tmp_path, env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible")}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert f"lock={(tmp_path / beside).resolve()}/gridtie.lock.yaml" in done.stdout, done.stdout + done.stderr
