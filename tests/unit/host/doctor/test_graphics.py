"""A card that lies idle fails the doctor; what the engine itself says is the proof."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from gridtie.host.doctor.check import Result
from gridtie.host.gpu import Survey, read_survey
from gridtie.host.gpu.record import unpack
from standins.healthy import MODEL, Healthy

FIXTURES = Path(__file__).parents[3] / "fixtures/gpu"
GIB = 1 << 30
MIB = 1 << 20


def survey(case: str, extra: str = "") -> Survey:
    with tempfile.TemporaryDirectory() as root:
        unpack((FIXTURES / f"{case}.tree").read_text() + extra, Path(root))
        return read_survey(Path(root))


def station(case: str, size: int = 316 * MIB, on_cards: int = 0) -> Healthy:
    """A station with upstream's engine on a recorded machine."""
    made = Healthy()
    made.graphics = survey(case)
    made.station["engine"]["source"] = "release"
    model = {"name": MODEL, "size": size, "size_vram": on_cards}
    made.engine["/api/ps"] = (200, json.dumps({"models": [model]}))
    return made


def used(made: Healthy) -> Result:
    return made.examine()["gpu.used"]


def test_a_model_on_the_card_is_the_proof() -> None:
    result = used(station("rtx-3090-ready", 316 * MIB, 316 * MIB))

    assert result.ok
    assert "0.3 of 0.3 GiB on cards (100 %)" in result.found


@pytest.mark.parametrize(
    "case", ["rtx-3090-ready", "rtx-3090-two", "h100-server", "rx-7900-xtx", "rx-580", "intel-arc"]
)
def test_a_supported_card_that_lies_idle_fails_with_what_to_do(case: str) -> None:
    result = used(station(case))

    assert not result.ok
    assert "lies idle" in result.found
    assert "gridtie_gpu: off" in result.fix
    assert "docker logs" in result.fix


def test_a_card_that_the_inventory_leaves_out_may_lie_idle() -> None:
    """A supported AMD card without a driver, beside NVIDIA's that works."""
    bare = "\n".join(
        f"sys/bus/pci/devices/0000:0a:00.0/{name}"
        for name in ("vendor = 0x1002", "device = 0x744c", "class = 0x030000")
    )
    for devices, ok in (("all", False), ([0], True)):
        made = station("rtx-3090-ready", 316 * MIB, 316 * MIB)
        made.graphics = survey("rtx-3090-ready", bare)
        made.station["expected"]["gpu_devices"] = devices
        assert made.examine()["gpu.ready"].ok is ok, devices


def test_a_card_that_was_named_and_is_gone_fails_with_those_that_are_there() -> None:
    made = station("rtx-3090-ready", 316 * MIB, 316 * MIB)
    made.station["expected"]["gpu_devices"] = ["1"]
    result = made.examine()["gpu.ready"]

    assert not result.ok
    assert result.found == "gridtie_gpu_devices names 1, which is no card of this machine"
    assert "name some of these: 0 (NVIDIA GeForce RTX 3090" in result.fix
    assert "run `make site`" in result.fix


def test_beside_a_service_the_fix_names_the_service() -> None:
    made = station("rtx-3090-ready")
    made.native()
    result = used(made)

    assert "lies idle" in result.found
    assert "sudo systemctl restart gridtie-engine.service" in result.fix
    assert "journalctl -u gridtie-engine.service" in result.fix
    assert "docker" not in result.fix


def test_a_driver_that_shows_the_card_is_no_proof() -> None:
    made = station("rtx-3090-ready")

    assert made.examine()["gpu.ready"].ok
    assert not used(made).ok


def test_a_card_may_lie_idle_where_someone_wants_it_so() -> None:
    made = station("rtx-3090-no-driver")
    made.station["expected"]["gpu"] = "off"
    found = made.examine()

    assert found["gpu.ready"].ok
    assert found["gpu.used"].ok


def test_a_partial_offload_is_named_with_its_numbers() -> None:
    result = used(station("rtx-3090-ready", 20 * GIB, 12 * GIB))

    assert result.ok
    assert "12.0 of 20.0 GiB on cards (60 %)" in result.found
    assert "the rest is slow" in result.found


@pytest.mark.parametrize(
    "case", ["amd-apu", "intel-igpu", "matrox-server", "vm-virtio", "vm-vmware", "no-gpu-recorded", "gtx-780"]
)
def test_what_is_no_supported_card_of_its_own_is_information(case: str) -> None:
    found = station(case).examine()

    assert found["gpu.ready"].ok
    assert found["gpu.used"].ok


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("rtx-3090-driver-mismatch", "sudo reboot"),
        ("rtx-3090-no-driver", "nvidia-open-kernel-dkms"),
        ("rtx-3090-uvm-lost", "modprobe nvidia_uvm"),
        ("rtx-3090-no-toolkit", "nvidia-container-toolkit"),
        ("tesla-p40-held", "apt-mark unhold"),
        ("rx-7900-xtx-no-kfd", "amdgpu-dkms"),
    ],
)
def test_a_card_that_cannot_be_used_fails_with_the_commands(case: str, says: str) -> None:
    made = station(case)
    found = made.examine()

    assert not found["gpu.ready"].ok
    assert says in found["gpu.ready"].fix
    assert found["gpu.used"].blocked_by == ("gpu.ready",)


def test_an_engine_from_packages_beside_a_supported_card_fails() -> None:
    made = station("rtx-3090-ready")
    made.station["engine"]["source"] = "packages"

    assert "processor alone" in used(made).found


def test_the_embedded_engine_beside_a_supported_card_fails() -> None:
    made = station("rtx-3090-ready")
    made.embedded()

    assert not used(made).ok


def test_an_engine_without_a_model_in_memory_proves_nothing() -> None:
    made = station("rtx-3090-ready")
    made.engine["/api/ps"] = (200, json.dumps({"models": []}))

    assert "nothing tells" in used(made).found


def test_after_a_suspend_the_driver_is_to_be_loaded_again() -> None:
    assert "rmmod nvidia_uvm" in used(station("rtx-3090-ready")).fix
    assert "rmmod" not in used(station("rx-7900-xtx")).fix


def test_memory_on_the_card_is_not_looked_for_in_the_engines_processes() -> None:
    made = station("rtx-3090-ready", 316 * MIB, 316 * MIB)
    made.resident_kib = (34_000, 60_000)

    assert made.examine()["memory.fit"].ok


def test_without_a_card_the_same_memory_is_missing() -> None:
    made = station("no-gpu-recorded", 316 * MIB, 316 * MIB)
    made.resident_kib = (34_000, 60_000)

    assert not made.examine()["memory.fit"].ok
