"""Each recorded machine: what the engine would compute on, what is in the way, and whether a reboot is due."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridtie.host.gpu import Survey, verdict

from .conftest import FIXTURES

Machine = Callable[..., Survey]

# Machine -> the engine's library (empty: the processor) and the codes of the problems.
MACHINES = {
    "amd-apu": ("", []),
    "gtx-1080-debian13": ("", ["old_driver"]),
    "gtx-1080-open-modules": ("", ["flavour"]),
    "gtx-780": ("", []),
    "h100-server": ("cuda", []),
    "hd-7950-radeon": ("", ["driver"]),
    "intel-arc": ("vulkan", []),
    "intel-igpu": ("", []),
    "jetson-orin": ("cuda", []),
    "matrox-server": ("", []),
    "mi300x": ("rocm", []),
    "no-gpu-recorded": ("", []),
    "rtx-3090-default-runtime": ("cuda", []),
    "rtx-3090-driver-mismatch": ("", ["reboot"]),
    "rtx-3090-no-driver": ("", ["driver", "toolkit"]),
    "rtx-3090-no-toolkit": ("", ["toolkit"]),
    "rtx-3090-nouveau-bound": ("", ["reboot", "toolkit"]),
    "rtx-3090-passthrough-host": ("", []),
    "rtx-3090-ready": ("cuda", []),
    "rtx-3090-secure-boot": ("", ["secure_boot", "toolkit"]),
    "rtx-3090-secure-boot-ubuntu": ("", ["driver", "toolkit"]),
    "rtx-3090-two": ("cuda", []),
    "rtx-3090-uvm-lost": ("", ["uvm"]),
    "rtx-4070-laptop": ("", ["driver", "toolkit"]),
    "rtx-5090": ("", ["driver", "toolkit"]),
    "rx-580": ("vulkan", []),
    "rx-7900-xtx": ("rocm", []),
    "rx-7900-xtx-dkms-mismatch": ("", ["reboot"]),
    "rx-7900-xtx-no-kfd": ("", ["kfd"]),
    "rx-7900-xtx-two": ("rocm", []),
    "strix-halo": ("rocm", []),
    "t4-alma9-no-driver": ("", ["driver", "toolkit"]),
    "tesla-p40-held": ("", ["old_driver"]),
    "vm-hyperv": ("", []),
    "vm-virtio": ("", []),
    "vm-vmware": ("", []),
    "wsl2-no-gpu": ("", []),
    "wsl2-nvidia": ("cuda", []),
}


def notes(survey: Survey) -> set[str]:
    return {need.code for need in verdict(survey).needs if need.level == "note"}


def test_every_recorded_machine_is_judged() -> None:
    assert sorted(MACHINES) == sorted(path.stem for path in FIXTURES.glob("*.tree"))


@pytest.mark.parametrize("case", MACHINES)
def test_a_machine_is_judged(case: str, machine: Machine) -> None:
    found = verdict(machine(case))

    assert (found.backend, [need.code for need in found.problems]) == MACHINES[case]


@pytest.mark.parametrize("case", [case for case, (_, problems) in MACHINES.items() if problems])
def test_every_problem_says_what_to_do(case: str, machine: Machine) -> None:
    assert [need.code for need in verdict(machine(case)).problems if not need.fix] == []


@pytest.mark.parametrize("case", MACHINES)
def test_no_command_ever_makes_nvidia_the_default_runtime_or_takes_what_is_newest(case: str, machine: Machine) -> None:
    commands = " ".join(command for need in verdict(machine(case)).needs for command in need.commands)

    assert "--set-as-default" not in commands
    assert "515" not in commands


def test_several_cards_are_used_together(machine: Machine) -> None:
    found = verdict(machine("rtx-3090-two"))

    assert [card.address for card in found.cards] == ["0000:01:00.0", "0000:02:00.0"]


def test_a_switch_between_gpus_and_a_sound_function_are_no_cards(machine: Machine) -> None:
    assert [card.name for card in machine("h100-server").expected] == ["H100 SXM5 80GB", "H200 SXM 141GB"]
    assert [card.name for card in machine("rtx-3090-ready").cards] == ["GeForce RTX 3090"]


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("h100-server", {"discrete", "management"}),
        ("rtx-4070-laptop", {"discrete", "integrated"}),
        ("t4-alma9-no-driver", {"discrete", "virtual"}),
        ("matrox-server", {"management"}),
        ("amd-apu", {"integrated"}),
        ("vm-vmware", {"virtual"}),
        ("vm-hyperv", {"virtual"}),
    ],
)
def test_cards_are_put_into_their_kind(case: str, kinds: set[str], machine: Machine) -> None:
    assert {card.kind for card in machine(case).cards} == kinds


@pytest.mark.parametrize("case", ["amd-apu", "intel-igpu", "matrox-server", "vm-virtio", "vm-vmware", "vm-hyperv"])
def test_what_is_integrated_managing_or_virtual_is_information(case: str, machine: Machine) -> None:
    survey = machine(case)

    assert not survey.expected
    assert notes(survey)


@pytest.mark.parametrize("case", ["vm-virtio", "vm-vmware", "vm-hyperv", "no-gpu-recorded"])
def test_a_virtual_machine_without_a_gpu_is_told_so(case: str, machine: Machine) -> None:
    assert "virtual_machine" in notes(machine(case))


def test_a_virtual_machine_with_a_passed_through_gpu_is_a_machine_with_a_gpu(machine: Machine) -> None:
    assert "virtual_machine" not in notes(machine("t4-alma9-no-driver"))


def test_a_card_reserved_for_a_guest_is_not_expected_to_be_used(machine: Machine) -> None:
    survey = machine("rtx-3090-passthrough-host")

    assert not survey.expected
    assert "reserved for a virtual machine" in survey.cards[1].reason


@pytest.mark.parametrize("case", ["wsl2-nvidia", "wsl2-no-gpu"])
def test_a_linux_driver_is_never_installed_inside_wsl(case: str, machine: Machine) -> None:
    survey = machine(case, without="nvidia-ctk")
    commands = " ".join(command for need in verdict(survey).needs for command in need.commands)

    assert "nvidia-headless" not in commands
    assert "linux-modules" not in commands
    assert "modprobe" not in commands


def test_inside_wsl_the_toolkit_is_what_containers_lack(machine: Machine) -> None:
    found = verdict(machine("wsl2-nvidia", without="nvidia-ctk"))

    assert [need.code for need in found.problems] == ["toolkit"]


def test_a_jetson_tells_the_engine_its_jetpack(machine: Machine) -> None:
    from gridtie.host.gpu.needs import jetpack

    assert jetpack(machine("jetson-orin")) == 6
    assert jetpack(machine("rtx-3090-ready")) is None


def test_memory_of_an_amd_card_is_the_drivers(machine: Machine) -> None:
    card = machine("rx-7900-xtx").cards[0]

    assert (card.memory, card.free) == (25753026560, 25753026560 - 1073741824)


def test_amds_compute_driver_names_a_chip_that_the_table_does_not_know(machine: Machine) -> None:
    survey = machine("rx-7900-xtx", without="/device =", extra="sys/bus/pci/devices/0000:03:00.0/device = 0xffff")

    assert (survey.cards[0].target, survey.cards[0].backend) == ("gfx1100", "rocm")
