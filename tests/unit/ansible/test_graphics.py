"""What the roles are told of graphics cards, and a card that would lie idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from plugins.module_utils import gridtie_graphics
from plugins.module_utils.gridtie_image_plan import release_step
from plugins.module_utils.gridtie_judge import judge

from gridtie.host.gpu import read_survey, verdict
from gridtie.host.gpu.containers import plan
from gridtie.host.gpu.record import unpack
from gridtie.host.gpu.report import document

ROOT = Path(__file__).resolve().parents[3]
OK, GONE = {"state": "ok", "detail": "HTTP 200", "url": "x"}, {"state": "unreachable", "detail": "no", "url": "x"}


def graphics(case: str, tmp_path: Path, docker_version: str = "28.3.0", extra: str = "") -> dict[str, Any]:
    unpack((ROOT / f"tests/fixtures/gpu/{case}.tree").read_text() + extra, tmp_path)
    return document(read_survey(tmp_path), docker_version=docker_version)


def machine(registry: dict[str, str], gpus: list[str]) -> dict[str, Any]:
    return {
        "system": {"id": "debian", "version": "13", "name": "Debian 13"},
        "architecture": "x86_64",
        "privilege": "root",
        "memory": {"total": 1 << 36},
        "disks": [],
        "init": "systemd",
        "docker": DOCKER,
        "reach": {"apt": OK, "pypi": OK, "go": OK, "registry": registry, "archive": registry},
        "gpus": gpus,
    }  # fmt: skip


DOCKER = {
    "works": True, "named": False, "host": "unix:///x", "version": "28.3.0", "compose": "2", "buildx": "1",
}  # fmt: skip
WANTED = {
    "engine": "auto", "mode": "container", "source": "auto", "mirror_url": "", "project": "gridtie",
    "min_memory_gb": 2.0, "min_disk_gb": 6.0, "gpu": "auto", "mounted": [],
}  # fmt: skip
PORT = {"number": 8484, "holder": "", "container": "", "project": ""}


def idle(found: list[dict[str, str]]) -> list[str]:
    return [problem["found"] for problem in found if "would lie idle" in problem["found"]]


def test_a_supported_card_beside_an_engine_from_packages_stops_the_run_before_anything_is_changed() -> None:
    _, problems = judge(machine(GONE, ["NVIDIA GeForce RTX 3090"]), WANTED, {}, PORT)

    assert idle(problems) == [
        "NVIDIA GeForce RTX 3090 would lie idle: Ollama compiled from packages computes on the processor alone"
    ]


@pytest.mark.parametrize("off", ["off", False, "False"], ids=str)
def test_a_card_may_lie_idle_where_someone_wants_it_so(off: object) -> None:
    _, problems = judge(machine(GONE, ["NVIDIA GeForce RTX 3090"]), {**WANTED, "gpu": off}, {}, PORT)

    assert idle(problems) == []


@pytest.mark.parametrize(
    ("registry", "gpus"), [(OK, ["NVIDIA GeForce RTX 3090"]), (GONE, [])], ids=["upstream's engine", "no card"]
)
def test_nothing_lies_idle(registry: dict[str, str], gpus: list[str]) -> None:
    _, problems = judge(machine(registry, gpus), WANTED, {}, PORT)

    assert idle(problems) == []


def test_the_other_engine_leaves_a_card_idle_as_well() -> None:
    _, problems = judge(machine(OK, ["AMD Radeon RX 7900 XTX"]), {**WANTED, "engine": "embedded"}, {}, PORT)

    assert len(idle(problems)) == 1


@pytest.mark.parametrize(
    ("case", "docker_version", "extra", "overlay"),
    [
        ("rtx-3090-ready", "28.3.0", "", "engine.nvidia.yaml"),
        ("rtx-3090-ready", "28.2", "", "engine.nvidia.yaml"),
        ("rtx-3090-ready", "26.1.5+dfsg1", "", "engine.nvidia-runtime.yaml"),
        (
            "rtx-3090-ready",
            "26.1.5+dfsg1",
            'etc/docker/daemon.json = {"features": {"cdi": true}}\n',
            "engine.nvidia.yaml",
        ),
        ("rtx-3090-ready", "20.10.24+dfsg1", "", "engine.nvidia-runtime.yaml"),
        ("rtx-3090-default-runtime", "28.3.0", "", "engine.nvidia-runtime.yaml"),
        ("rx-7900-xtx", "28.3.0", "", "engine.amd.yaml"),
        ("rx-580", "28.3.0", "", "engine.amd.yaml"),
        ("intel-arc", "28.3.0", "", "engine.amd.yaml"),
        ("rtx-3090-no-driver", "28.3.0", "", ""),
        ("intel-igpu", "28.3.0", "", ""),
        ("no-gpu-recorded", "28.3.0", "", ""),
    ],
)
def test_containers_are_given_cards_by_cdi_first(
    case: str, docker_version: str, extra: str, overlay: str, tmp_path: Path
) -> None:
    found = graphics(case, tmp_path, docker_version, extra)["container"]

    assert found["overlay"] == overlay
    assert not overlay or (ROOT / "compose" / overlay).is_file()


@pytest.mark.parametrize(
    ("case", "variant"), [("rx-7900-xtx", "rocm"), ("rx-580", ""), ("intel-arc", ""), ("rtx-3090-ready", "")]
)
def test_rocm_has_an_image_of_its_own_and_vulkan_has_not(case: str, variant: str, tmp_path: Path) -> None:
    assert graphics(case, tmp_path)["container"]["variant"] == variant


def test_the_image_with_amds_libraries_is_the_same_tag_with_its_name_behind_it() -> None:
    artefacts = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text())
    version = artefacts["ollama"]["version"]

    assert release_step(artefacts, "", "rocm")["reference"] == f"docker.io/ollama/ollama:{version}-rocm"
    # The digest of another image must never be taken for this one's.
    assert release_step(artefacts, "", "rocm")["digest"] != release_step(artefacts, "")["digest"]


@pytest.mark.parametrize("overlay", ["engine.nvidia.yaml", "engine.nvidia-runtime.yaml", "engine.amd.yaml"])
def test_overlays_change_the_engine_alone_and_loosen_nothing(overlay: str) -> None:
    services = yaml.safe_load((ROOT / "compose" / overlay).read_text())["services"]

    assert set(services) == {"engine"}
    assert not {"privileged", "cap_add", "security_opt", "user", "read_only", "runtime"} & set(services["engine"])


def test_variables_of_the_overlay_are_given_where_it_needs_them(tmp_path: Path) -> None:
    unpack((ROOT / "tests/fixtures/gpu/rx-580.tree").read_text(), tmp_path)
    survey = read_survey(tmp_path)
    settings = plan(verdict(survey), survey, "28.3.0")["settings"]

    assert settings == {"GRIDTIE_GPU_GROUP": "0", "GRIDTIE_GPU_COMPUTE_DEVICE": "/dev/kfd"}


def test_a_card_for_vulkan_needs_no_compute_device(tmp_path: Path) -> None:
    settings = graphics("intel-arc", tmp_path)["container"]["settings"]

    assert settings["GRIDTIE_GPU_COMPUTE_DEVICE"] == "/dev/null"


def test_a_jetsons_container_is_told_its_jetpack(tmp_path: Path) -> None:
    assert graphics("jetson-orin", tmp_path)["container"]["settings"] == {"GRIDTIE_GPU_JETPACK": "6"}


def chosen(case: str, names: Any, root: Path, docker_version: str = "28.3.0") -> dict[str, Any]:
    """What the roles are told where the inventory names some of the cards."""
    unpack((ROOT / f"tests/fixtures/gpu/{case}.tree").read_text(), root)
    return gridtie_graphics.describe(str(root), docker_version=docker_version, devices=names)


def overlay_of(found: dict[str, Any]) -> dict[str, Any]:
    """The engine's part of the compose file that is made for some of the cards."""
    text = (ROOT / "roles/engine/templates/engine.devices.yaml.j2").read_text()
    role = Templar(loader=DataLoader(), variables={"_engine_gpu": found["container"]})
    written = yaml.safe_load(role.template(trust_as_template(text), convert_data=False))
    assert set(written["services"]) == {"engine"}
    return dict(written["services"]["engine"])


@pytest.mark.parametrize(
    ("docker_version", "device"),
    [
        ("28.3.0", {"driver": "cdi", "device_ids": ["nvidia.com/gpu=1"], "capabilities": ["gpu"]}),
        ("26.1.5", {"driver": "nvidia", "device_ids": ["1"], "capabilities": ["gpu"]}),
    ],
)
def test_a_container_gets_the_cards_that_were_named_and_no_others(
    docker_version: str, device: dict[str, Any], tmp_path: Path
) -> None:
    found = chosen("rtx-3090-two", [1], tmp_path, docker_version)

    assert found["container"]["overlay"] == "engine.devices.yaml"
    assert found["expected"] == ["NVIDIA GeForce RTX 3090"]
    # The same form as where it gets all of them.
    shipped = "engine.nvidia.yaml" if device["driver"] == "cdi" else "engine.nvidia-runtime.yaml"
    (whole,) = _devices(yaml.safe_load((ROOT / "compose" / shipped).read_text())["services"]["engine"])
    assert _devices(overlay_of(found)) == [device]
    assert (whole["driver"], whole["capabilities"]) == (device["driver"], device["capabilities"])


def _devices(engine: dict[str, Any]) -> list[dict[str, Any]]:
    return list(engine["deploy"]["resources"]["reservations"]["devices"])


def test_amds_variable_is_in_the_overlay_beside_the_one_with_its_nodes(tmp_path: Path) -> None:
    found = chosen("rx-7900-xtx-two", "GPU-00000000000000ff", tmp_path)

    assert found["container"]["overlay"] == "engine.amd.yaml:engine.devices.yaml"
    assert overlay_of(found) == {
        "environment": {"ROCR_VISIBLE_DEVICES": "GPU-00000000000000ff", "GGML_VK_VISIBLE_DEVICES": "-1"}
    }


@pytest.mark.parametrize(("source", "seen"), [("release", "1"), ("packages", None)])
def test_a_service_is_given_them_by_variables_where_it_computes_on_cards(
    source: str, seen: str | None, tmp_path: Path
) -> None:
    variables = yaml.safe_load((ROOT / "roles/engine_ollama/vars/main.yml").read_text())
    names = ("_ollama_on_cards", "_ollama_cards", "_ollama_environment", "_ollama_stamp")
    facts = {
        **{name: trust_as_template(variables[name]) for name in names},
        "_ollama_settings": {"OLLAMA_MODELS": "/models"},
        "_ollama_unit_text": "",
        "_ollama_tree": "",
        "gridtie_resolved_gpu": chosen("rtx-3090-two", ["1"], tmp_path)["container"],
        "gridtie_resolved_choice": {"source": source},
    }

    def environment(**changes: Any) -> dict[str, Any]:
        role = Templar(loader=DataLoader(), variables={**facts, **changes})
        return dict(role.template(trust_as_template("{{ _ollama_environment }}")))

    now = environment()
    assert now.get("CUDA_VISIBLE_DEVICES") == seen
    assert now["OLLAMA_MODELS"] == "/models"
    # By another stamp it is started again.
    without = environment(gridtie_resolved_gpu={"backend": "cuda"})
    assert (without["GRIDTIE_STAMP"] == now["GRIDTIE_STAMP"]) is (seen is None)


def test_a_card_that_is_not_there_stops_the_run_before_anything_is_changed(tmp_path: Path) -> None:
    found = {**machine(OK, []), "graphics": chosen("rtx-3090-two", [0, 5], tmp_path)}
    _, problems = judge(found, {**WANTED, "gpu_devices": [0, 5]}, {}, PORT)

    assert [each["found"] for each in problems] == ["gridtie_gpu_devices names 5, which is no card of this machine"]
    assert "0 (NVIDIA GeForce RTX 3090 at 0000:01:00.0, GPU-11111111" in problems[0]["fix"]
    assert judge(found, {**WANTED, "gpu_devices": "all"}, {}, PORT)[1] == []


def test_an_ollama_that_was_here_before_cannot_be_confined_from_here(tmp_path: Path) -> None:
    found = {
        **machine(OK, []),
        "graphics": chosen("rtx-3090-two", [0], tmp_path),
        "ollama": {"unit": "ollama.service", "url": "http://127.0.0.1:11434", "version": "0.32.15", "user": "ollama",
                   "store": "/models", "exposed": False},
    }  # fmt: skip
    _, problems = judge(found, {**WANTED, "mode": "auto", "gpu_devices": [0]}, {}, PORT)

    assert "ollama.service was here before and keeps its own settings" in problems[0]["found"]
    assert "systemctl edit ollama.service" in problems[0]["fix"]


@pytest.mark.parametrize(
    ("version", "problems", "known", "allowed"),
    [
        ("26.1.5", ["toolkit"], {}, False),
        ("26.1.5", ["cdi"], {"gridtie_resolved_docker_ours": False}, False),
        ("26.1.5", ["toolkit"], {"gridtie_resolved_docker_ours": True}, True),
        ("26.1.5", ["toolkit"], {"gridtie_docker_restart": True}, True),
        ("28.2.0", ["toolkit"], {}, True),
        ("26.1.5", ["driver"], {}, True),
    ],
)
def test_a_docker_that_was_here_before_is_restarted_only_where_somebody_says_so(
    version: str, problems: list[str], known: dict[str, Any], allowed: bool
) -> None:
    """Other people's containers stop with it."""
    tasks = yaml.safe_load((ROOT / "roles/gpu/tasks/install.yml").read_text())
    (asked,) = (task for task in tasks if task["name"] == "Nobody else's Docker is restarted unasked")
    first_change = next(at for at, task in enumerate(tasks) if "ansible.builtin.assert" not in task)
    variables = yaml.safe_load((ROOT / "roles/gpu/vars/main.yml").read_text())
    names = ("_gpu_restarts_docker", "_gpu_needs_toolkit")
    facts = {"_gpu_found": {"problems": problems}, "gridtie_docker": {"version": version}}
    given = {**{name: trust_as_template(variables[name]) for name in names}, **facts, "gridtie_docker_restart": False}

    role = Templar(loader=DataLoader(), variables={**given, **known})
    assert bool(role.evaluate_conditional(trust_as_template(asked["ansible.builtin.assert"]["that"]))) is allowed
    assert tasks.index(asked) < first_change
