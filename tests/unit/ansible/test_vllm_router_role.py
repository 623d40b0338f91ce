"""vllm-router's role and what the role router tells it: the real tasks, on modules that note what they are asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, sys
given = {{name: value for name, value in json.load(open(sys.argv[1])).items() if not name.startswith("_ansible")}}
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, given]) + "\\n")
print(json.dumps({answer}))
"""
ANSWERS = {
    "gridtie_image": {"image": "gridtie/engine-vllm_router:new"},
    "gridtie_service": {"container": "gridtie-engine-1"},
    "gridtie_files": {},
}
MODEL = {"name": "gridtie/m", "context": 4096, "parallel": 8, "capabilities": ["chat"], "purposes": ["code"]}
HANDED_ON: dict[str, Any] = {
    "gridtie_station": {},
    "gridtie_resolved_choice": {"engine": "vllm_router", "mode": "container", "source": "packages", "why": "asked"},
    "gridtie_machine": {
        "init": "", "memory": {"total": 8 << 30}, "reach": {}, "architecture": "x86_64", "system": {"id": "debian"}
    },
    "gridtie_docker": {"works": True, "compose": "2", "buildx": "0", "host": ""},
    "gridtie_resolved_account": {"container_user": "1:1"},
    "gridtie_resolved_engine_account": {"container_user": "2:2"},
}  # fmt: skip


def play(
    directory: Path, role: str, entry: str, servers: dict[str, list[dict[str, Any]]], **more: Any
) -> tuple[str, Any]:
    """What a run says, and what modules were asked: (module, arguments) in order."""
    collection = directory / "collections/ansible_collections/gridtie/gridtie"
    for name in ("engine", "engine_vllm_router", "router", "station"):
        shutil.copytree(ROOT / "roles" / name, collection / "roles" / name)
    (collection / "roles/engine/tasks/preflight.yml").write_text("[]\n")
    for part in ("config", "requirements", "compose"):
        (collection / part).symlink_to(ROOT / part)
    shutil.copytree(ROOT / "plugins", collection / "plugins", symlinks=True)
    shutil.rmtree(collection / "plugins/action")
    log = directory / "log"
    for name, answer in ANSWERS.items():
        (collection / "plugins/modules" / f"{name}.py").write_text(
            MODULE.format(log=str(log), name=name, answer=answer)
        )
    hosts: dict[str, dict[str, Any]] = {
        name: {
            "gridtie_resolved_site": {"url": f"https://{name}:8443", "authority": f"PEM of {name}"},
            "gridtie_resolved_models": models,
        }
        for name, models in servers.items()
    }
    hosts["front"] = {
        **HANDED_ON,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "gridtie_pool": list(servers),
        "gridtie_resolved_engine": {"kind": "vllm_router"},
        **more,
    }
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    tasks = [
        {"ansible.builtin.include_role": {"name": f"gridtie.gridtie.{role}", "tasks_from": entry}},
        {
            "ansible.builtin.copy": {
                "content": "{{ gridtie_resolved_models | to_json }}",
                "dest": f"{directory}/models.json",
                "mode": "0644",
            }
        },
    ]
    (directory / "play.yml").write_text(yaml.safe_dump([{"hosts": "front", "gather_facts": False, "tasks": tasks}]))
    for file in (*(collection / "roles").glob("*/tasks/*.yml"),):
        file.write_text(file.read_text().replace("become: true", "become: false"))
    own = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        directory / "play.yml",
        "-i",
        directory / "hosts.yml",
    ]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    asked = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return done.stdout + done.stderr, (done.returncode, asked)


def test_it_runs_with_arguments_that_let_a_failing_server_alone_and_more_of_somebodys_own(tmp_path: Path) -> None:
    more = {"gridtie_vllm_router_arguments": ["--cache-threshold", "0.5"], "gridtie_vllm_router_balance": 2}

    output, (code, asked) = play(tmp_path, "engine_vllm_router", "main", {"a": [MODEL]}, **more)

    assert code == 0, output
    assert [name for name, _ in asked] == ["gridtie_image", "gridtie_files", "gridtie_service"]
    made, place, service = (given for _, given in asked)
    assert made["name"] == "engine-vllm_router"
    (directory,) = place["directories"]
    # The station's group: what is root's below its configuration is taken over by each run, and would change with it.
    assert (directory["path"], directory["mode"]) == ("/etc/gridtie/vllm-router", "0755")
    assert directory["group"] == "gridtie"
    settings = service["settings"]
    assert settings["COMPOSE_FILE"].startswith("compose.yaml:engine.vllm_router.yaml")
    words = settings["GRIDTIE_VLLM_ROUTER_ARGUMENTS"].split()
    assert words[:4] == ["--policy", "cache_aware", "--balance-abs-threshold", "2"]
    assert words[words.index("--cb-failure-threshold") + 1] == "1"
    assert words[-2:] == ["--cache-threshold", "0.5"]
    assert "engine.vllm_router.yaml" in service["files"]


def test_an_argument_that_the_settings_cannot_hold_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    output, (code, asked) = play(
        tmp_path, "engine_vllm_router", "main", {"a": [MODEL]}, gridtie_vllm_router_arguments=["--log-dir '/x y'"]
    )

    assert code != 0
    assert "wanted: each argument and each value as a word of its own" in " ".join(output.split())
    assert asked == []


def test_the_servers_are_told_with_who_vouches_for_them_and_their_model_is_the_stations(tmp_path: Path) -> None:
    output, (code, asked) = play(tmp_path, "router", "balance", {"a": [MODEL], "b": [{**MODEL, "context": 2048}]})

    assert code == 0, output
    files = {each["path"]: each for each in asked[0][1]["files"]}
    assert files["/etc/gridtie/vllm-router/pool-a.pem"]["content"] == "PEM of a"
    assert {(each["mode"], each["group"]) for each in files.values()} == {("0644", "gridtie")}
    servers = json.loads(files["/etc/gridtie/vllm-router/servers.json"]["content"])["servers"]
    assert [(each["url"], each["ca_file"]) for each in servers] == [
        ("https://a:8443", "pool-a.pem"),
        ("https://b:8443", "pool-b.pem"),
    ]
    (model,) = json.loads((tmp_path / "models.json").read_text())
    assert (model["name"], model["context"], model["url"]) == ("gridtie/m", 2048, "http://engine:8000")


@pytest.mark.parametrize(("other", "has"), [([{**MODEL, "name": "gridtie/n"}], "gridtie/n"), ([], "none yet")])
def test_servers_without_a_model_in_common_are_named_with_what_they_have(
    tmp_path: Path, other: list[dict[str, Any]], has: str
) -> None:
    output, (code, _) = play(tmp_path, "router", "balance", {"a": [MODEL], "b": other})

    assert code != 0
    assert f"a has gridtie/m; b has {has}" in " ".join(output.split())
