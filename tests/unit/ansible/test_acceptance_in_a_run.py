"""What an upgrade tells of the models is what the next run tells: by ansible-playbook itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins import model_engine, shape_gguf
from standins.model_engine import NAME, ModelEngine
from standins.model_registry import serving
from standins.model_station import SHAPE

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = "0.32.14", "0.32.15"
CODER = NAME.partition("/")[2]
CATALOGUE = {
    "name": CODER, "title": "Coder", "maker": "nobody", "license": {"id": "Apache-2.0", "commercial": True},
    "parameters": 1000, "capabilities": ["chat"], "purposes": ["smoke-test"], "sources": [{"ollama": CODER}],
}  # fmt: skip
UPGRADE = [
    {"gridtie.gridtie.gridtie_acceptance": {
        "models_dir": "{{ inventory_dir }}/models", "engine": {"kind": "ollama", "mode": "native", "version": NEW},
        "models": "{{ before.models }}"}, "register": "shown"},
]  # fmt: skip

Play = Callable[..., subprocess.CompletedProcess[str]]


def provisioned(version: str, accept_s: int, name: str) -> dict[str, Any]:
    """What a run does for models on that version of the engine."""
    here = "{{ inventory_dir }}"
    asked = {
        "catalogue_file": f"{here}/models.yaml", "lock_file": f"{here}/models.lock.yaml",
        "inventory_lock": f"{here}/gridtie.lock.yaml", "pins": "learn", "models": [CODER], "engine": "ollama",
        "models_dir": f"{here}/models", "registry": "{{ registry }}", "ollama_url": "{{ engine_url }}",
        "catalogue_json": f"{here}/models.json", "engine_version": version, "accept_s": accept_s,
        "server": {"kind": "ollama", "mode": "native", "version": version},
    }  # fmt: skip
    return {"gridtie.gridtie.gridtie_models": asked, "register": name}


@pytest.fixture
def engine() -> Iterator[ModelEngine]:
    with model_engine.serving() as found:
        found.context = SHAPE.context_length
        found.reserved = 0
        yield found


@pytest.fixture
def play(tmp_path: Path, engine: ModelEngine) -> Iterator[Play]:
    """Run tasks on this machine, with a library that has the model."""
    shape_gguf.write(tmp_path / "coder.gguf", SHAPE)
    content = (tmp_path / "coder.gguf").read_bytes()
    shape = {name: value for name, value in vars(SHAPE).items() if name not in ("experts", "mla_cache", "header")}
    file = {"bytes": len(content), "size": "exact", "quantisation": "Q4_0"}
    document = {**CATALOGUE, "shape": shape, "file": file}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"schema": 1, "models": [document]}))
    (tmp_path / "models.lock.yaml").write_text("schema: 1\nmodels: {}\n")
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": local, "hosts": {"station": {}}}}))
    with serving() as registry:
        registry.add_model(CODER, content)
        given = {"registry": registry.url, "engine_url": engine.url}

        def run(tasks: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
            (tmp_path / "play.yml").write_text(
                yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}])
            )
            command = [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml"), "-i"]
            command += [str(tmp_path / "hosts.yml"), "-v"]
            command += [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
            own = {
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_STDOUT_CALLBACK": "default", "NO_PROXY": "*", "no_proxy": "*",
                # Of package sources; no digit of it may go missing in what is told of models.
                "PIP_RETRIES": "1", "PIP_TIMEOUT": "8",
            }  # fmt: skip
            return subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)

        yield run


def test_after_an_upgrade_the_next_run_changes_nothing_and_tells_the_router_the_same(play: Play) -> None:
    wanted = [
        "shown.remarks == []",
        f"shown.models[0].acceptance.engine_version == '{NEW}'",
        "shown.models[0].acceptance.checks.schema == 'held'",
        "not after.changed and after.models == shown.models",
    ]
    done = play(
        [
            provisioned(OLD, 120, "before"),
            *UPGRADE,
            provisioned(NEW, 120, "after"),
            {"ansible.builtin.assert": {"that": wanted}},
        ]
    )

    assert done.returncode == 0, done.stdout


def test_a_model_that_holds_no_schema_on_the_new_version_fails_the_upgrade(play: Play, engine: ModelEngine) -> None:
    engine.schema = False
    done = play([provisioned(OLD, 0, "before"), *UPGRADE])

    assert done.returncode != 0
    assert f"on {NEW} not what it is said to be: {NAME}: schema: " in done.stdout
