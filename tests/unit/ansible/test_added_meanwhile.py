"""A model that somebody adds by hand while a run is on its way is told to the router by that run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROWS = [{"name": name, "context": 4096, "why": "added", "predicted_bytes": 0} for name in ("a", "b")]
BEFORE, AFTER = json.dumps(ROWS[:1]), json.dumps(ROWS)
# Plays the module's part: it describes what the list says now.
INSTALL = """
- ansible.builtin.set_fact:
    _models_supplied:
      models: "{{ lookup('ansible.builtin.file', gridtie_state_dir ~ '/models/added.json') | from_json }}"
      added: read anew
      remarks: []
"""


def told(directory: Path, *, known: str, now: str) -> list[str]:
    """The models that the router is told where the role models had read `known`, and the list is `now`."""
    state, tasks = directory / "state", directory / "collections/ansible_collections/gridtie/gridtie/roles/models/tasks"
    (state / "models").mkdir(parents=True)
    if now:
        (state / "models" / "added.json").write_text(now)
    tasks.mkdir(parents=True)
    for name in ("added", "configure"):
        (tasks / f"{name}.yml").symlink_to(ROOT / f"roles/models/tasks/{name}.yml")
    (tasks / "install.yml").write_text(INSTALL)
    facts: dict[str, Any] = {
        "gridtie_resolved_models": [{"name": "a"}],
        "gridtie_resolved_added": hashlib.sha256(known.encode()).hexdigest() if known else "",
    }
    out = directory / "told.json"
    told_to = {"dest": str(out), "content": "{{ gridtie_resolved_models | to_json }}", "mode": "0644"}
    steps = [
        {"ansible.builtin.set_fact": facts},
        {"ansible.builtin.include_role": {"name": "gridtie.gridtie.models", "tasks_from": "added"}},
        {"ansible.builtin.copy": told_to},
    ]
    play = directory / "play.yml"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": steps}]))
    values = {
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "gridtie_state_dir": str(state),
    }
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", play]
    done = subprocess.run(
        [*command, "-e", json.dumps(values)],
        cwd=directory,
        env={
            **os.environ,
            "HOME": str(directory),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": f"{directory / 'collections'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [model["name"] for model in json.loads(out.read_text())]


@pytest.mark.parametrize("known", [BEFORE, ""], ids=["one more", "the first"])
def test_what_was_added_since_the_models_were_provisioned_is_told(tmp_path: Path, known: str) -> None:
    assert told(tmp_path, known=known, now=AFTER) == ["a", "b"]


@pytest.mark.parametrize("list_", [AFTER, ""], ids=["some", "none"])
def test_where_nobody_added_one_nothing_is_looked_at_again(tmp_path: Path, list_: str) -> None:
    assert told(tmp_path, known=list_, now=list_) == ["a"]


@pytest.mark.parametrize("name", ["main", "neighbours"])
def test_nothing_comes_between_that_look_and_the_file_that_the_router_reads(name: str) -> None:
    """Minutes lie between the role models and the end of a run of several waves."""
    tasks = yaml.safe_load((ROOT / f"roles/router/tasks/{name}.yml").read_text(encoding="utf-8"))
    (at,) = (at for at, task in enumerate(tasks) if "_router_files" in str(task.get("gridtie.gridtie.gridtie_files")))

    assert tasks[at - 1]["ansible.builtin.include_role"] == {"name": "gridtie.gridtie.models", "tasks_from": "added"}
