"""What the roles are told of graphics cards, and a card that would lie idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
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
