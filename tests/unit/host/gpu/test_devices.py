"""Some of a machine's cards, named by number or UUID: what is left out does not count, what is not there is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.fit.budget import budget_for
from gridtie.host.gpu import Survey, verdict
from gridtie.host.gpu.containers import plan
from gridtie.host.gpu.devices import DeviceError, asked, narrowed, of_station
from gridtie.host.gpu.record import unpack
from gridtie.host.gpu.report import document, lines
from gridtie.host.machine.hardware import read_hardware

from .conftest import FIXTURES

Machine = Callable[..., Survey]

FIRST, SECOND = "GPU-11111111-2222-3333-4444-555555555555", "GPU-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
AMD_FIRST, AMD_SECOND = "GPU-4444444444444444", "GPU-00000000000000ff"

# An Arc A770 beside whatever a record has.
ARC = "\n".join(
    f"sys/bus/pci/devices/0000:09:00.0/{name}"
    for name in ("vendor = 0x8086", "device = 0x56a0", "class = 0x030000", "driver -> ../../../bus/pci/drivers/i915")
)
AMD_CARD = "\n".join(
    line for line in (FIXTURES / "rx-7900-xtx-two.tree").read_text().splitlines()
    if line.startswith(("sys/bus/pci", "sys/class/kfd", "sys/module/amdgpu", "dev/kfd"))
)  # fmt: skip


def confined(survey: Survey, *names: str, docker: str = "28.3.0") -> dict[str, Any]:
    """How a container and a service are given these cards."""
    left = narrowed(survey, names)
    given = plan(verdict(left), left, docker)
    return {"overlay": given["overlay"], **given["chosen"]}


def refusal(survey: Survey, *names: str) -> tuple[str, str]:
    with pytest.raises(DeviceError) as told:
        narrowed(survey, names)
    return str(told.value), told.value.fix


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("all", ()), (None, ()), ([], ()), ("", ()), (["all"], ()),
        ([0, 2], ("0", "2")), ("0,2", ("0", "2")), (1, ("1",)), ([FIRST, 1, 1], (FIRST, "1")),
    ],
)  # fmt: skip
def test_names_are_read_as_people_write_them(value: object, names: tuple[str, ...]) -> None:
    assert asked(value) == names
    assert of_station({"expected": {"gpu_devices": value}}) == names


def test_a_station_of_before_uses_all_of_them() -> None:
    assert of_station({"expected": {"gpu": "auto"}}) == of_station({}) == ()


# --- what is counted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1", SECOND, SECOND.lower()])
def test_only_the_card_that_was_named_is_used_and_the_other_is_no_fault(machine: Machine, name: str) -> None:
    found = narrowed(machine("rtx-3090-two"), [name])

    assert [card.address for card in verdict(found).cards] == ["0000:02:00.0"]
    assert [card.address for card in found.expected] == ["0000:02:00.0"]
    assert verdict(found).problems == ()
    first = next(card for card in found.cards if card.address == "0000:01:00.0")
    assert (first.left_out, first.reason) == (True, "left out by gridtie_gpu_devices")


def test_memory_of_the_others_is_not_counted(tmp_path: Path) -> None:
    unpack((FIXTURES / "rtx-3090-two.tree").read_text(), tmp_path)
    (tmp_path / "proc").mkdir(exist_ok=True)
    (tmp_path / "proc/cpuinfo").write_text("processor: 0\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 65536000 kB\nMemFree: 60000000 kB\nMemAvailable: 60000000 kB\n")
    smi = "00000000:01:00.0, 24576, 24000\n00000000:02:00.0, 24576, 23000\n"

    def available(*devices: str) -> list[int]:
        hardware = read_hardware(tmp_path, 8, lambda: smi, devices)
        return [card.available >> 20 for card in budget_for(hardware).cards]

    assert len(available()) == 2
    assert available("0") == available()[:1]
    assert available("1") == available()[1:]


def test_where_all_are_named_nothing_is_confined(machine: Machine) -> None:
    for names in (["0", "1"], [SECOND, FIRST]):
        given = confined(machine("rtx-3090-two"), *names)
        assert given["overlay"] == "engine.nvidia.yaml"
        assert (given["device_ids"], given["environment"]) == ([], {})


def test_a_card_that_only_windows_or_a_board_has_is_number_0(machine: Machine) -> None:
    for case in ("wsl2-nvidia", "jetson-orin", "strix-halo"):
        assert len(verdict(narrowed(machine(case), ["0"])).cards) == 1, case


def test_a_card_that_is_reserved_for_a_virtual_machine_has_no_number(machine: Machine) -> None:
    assert "is no card of this machine" in refusal(machine("rtx-3090-passthrough-host"), "1")[0]


# --- what the engine is given -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("docker", "driver", "ids"), [("28.3.0", "cdi", ["nvidia.com/gpu=1"]), ("26.1.5", "nvidia", ["1"])]
)
def test_a_container_is_given_nvidias_card_and_no_other(
    machine: Machine, docker: str, driver: str, ids: list[str]
) -> None:
    given = confined(machine("rtx-3090-two"), SECOND, docker=docker)

    assert (given["overlay"], given["driver"], given["device_ids"]) == ("engine.devices.yaml", driver, ids)


def test_a_service_sees_nvidias_card_alone_also_by_vulkan(machine: Machine) -> None:
    hidden = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "GGML_VK_VISIBLE_DEVICES": "-1"}

    assert confined(machine("rtx-3090-two"), "1")["environment"] == {**hidden, "CUDA_VISIBLE_DEVICES": "1"}
    assert confined(machine("rtx-3090-two"), SECOND)["environment"] == {**hidden, "CUDA_VISIBLE_DEVICES": SECOND}


# A GeForce GTX 780 in a slot before the others, which today's driver does not take, and so does not number.
KEPLER = "\n".join(
    f"sys/bus/pci/devices/0000:00:1e.0/{name}" for name in ("vendor = 0x10de", "device = 0x1004", "class = 0x030000")
)


def test_a_card_that_the_driver_does_not_take_moves_no_numbers_and_is_not_asked_for(machine: Machine) -> None:
    survey = machine("rtx-3090-two", extra=KEPLER)

    assert [card.address for card in verdict(narrowed(survey, ["1"])).cards] == ["0000:02:00.0"]
    for name, visible in (("1", "1"), (SECOND, SECOND)):
        given = confined(survey, name)
        assert given["device_ids"] == ["nvidia.com/gpu=1"]
        assert given["environment"]["CUDA_VISIBLE_DEVICES"] == visible


def test_before_the_driver_is_loaded_cards_have_the_numbers_that_it_will_give(machine: Machine) -> None:
    survey = machine("rtx-3090-no-driver", extra=KEPLER)

    assert narrowed(survey, ["0"]).expected
    assert "which the engine does not use" in refusal(survey, "1")[0]


def test_graphics_in_the_processor_beside_a_card_are_not_named_by_an_empty_uuid(machine: Machine) -> None:
    chip = "\n".join(
        f"sys/bus/pci/devices/0000:0c:00.0/{name}"
        for name in ("vendor = 0x1002", "device = 0x164e", "class = 0x030000", "driver -> ../../bus/pci/drivers/amdgpu")
    )
    given = confined(machine("rx-7900-xtx-two", extra=chip), AMD_SECOND)

    assert given["environment"]["ROCR_VISIBLE_DEVICES"] == AMD_SECOND


@pytest.mark.parametrize(("name", "visible"), [("1", "1"), (AMD_SECOND, AMD_SECOND), ("0", "0")])
def test_amds_card_is_named_by_its_own_variable_in_a_container_as_well(
    machine: Machine, name: str, visible: str
) -> None:
    given = confined(machine("rx-7900-xtx-two"), name)

    assert given["overlay"] == "engine.amd.yaml:engine.devices.yaml"
    assert given["device_ids"] == []
    assert given["environment"] == {"ROCR_VISIBLE_DEVICES": visible, "GGML_VK_VISIBLE_DEVICES": "-1"}


def test_beside_nvidias_cards_amds_are_named_by_uuid(machine: Machine) -> None:
    both = machine("rtx-3090-two", extra=AMD_CARD)
    given = confined(both, AMD_FIRST)

    assert verdict(narrowed(both, [AMD_FIRST])).backend == "rocm"
    assert given["overlay"] == "engine.amd.yaml:engine.devices.yaml"
    assert given["environment"]["OLLAMA_LLM_LIBRARY"] == "rocm"
    assert given["environment"]["ROCR_VISIBLE_DEVICES"] == AMD_FIRST
    assert "CUDA_VISIBLE_DEVICES" not in given["environment"]
    # A number is one of the library that is used first.
    assert confined(both, "0", "1")["environment"]["CUDA_VISIBLE_DEVICES"] == "0,1"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_card_that_is_not_there_is_told_with_those_that_are(machine: Machine) -> None:
    for name in ("2", "GPU-99999999-0000-0000-0000-000000000000"):
        found, fix = refusal(machine("rtx-3090-two"), "0", name)
        assert found == f"gridtie_gpu_devices names {name}, which is no card of this machine"
        assert f"1 (NVIDIA GeForce RTX 3090 at 0000:02:00.0, {SECOND})" in fix


def test_before_its_driver_is_loaded_a_card_has_a_number_alone(machine: Machine) -> None:
    survey = machine("rtx-3090-no-driver")

    assert "a UUID is told by the driver" in refusal(survey, FIRST)[0]
    assert narrowed(survey, ["0"]).expected


def test_without_any_card_there_is_nothing_to_name(machine: Machine) -> None:
    assert refusal(machine("no-gpu-recorded"), "0")[1] == "leave it out: no card here can be named"


def test_slices_of_cards_are_not_named(machine: Machine) -> None:
    assert "a slice of a card (MIG)" in refusal(machine("rtx-3090-two"), "MIG-1234")[0]


def test_a_card_that_the_engine_does_not_use_is_refused_with_its_reason(machine: Machine) -> None:
    kepler = machine("rtx-3090-two", extra="sys/bus/pci/devices/0000:03:00.0/vendor = 0x10de\n"
                     "sys/bus/pci/devices/0000:03:00.0/device = 0x1004\n"
                     "sys/bus/pci/devices/0000:03:00.0/class = 0x030000")  # fmt: skip

    assert "which the engine does not use: compute capability 3.5" in refusal(kepler, "2")[0]


def test_cards_of_two_libraries_are_refused(machine: Machine) -> None:
    both = machine("rtx-3090-two", extra=AMD_CARD)

    assert "cards of different libraries" in refusal(both, FIRST, AMD_FIRST)[0]


def test_of_several_cards_for_vulkan_none_can_be_told_apart(machine: Machine) -> None:
    two = machine("intel-arc", extra=ARC)

    assert "Vulkan numbers its devices by itself" in refusal(two, "0")[0]
    assert len(verdict(narrowed(two, ["0", "1"])).cards) == 2


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_numbers_and_uuids_are_shown_for_people_and_programs(machine: Machine) -> None:
    found = narrowed(machine("rtx-3090-two"), ["1"])

    assert f"1: NVIDIA GeForce RTX 3090 at 0000:02:00.0, {SECOND} (discrete)" in "\n".join(lines(found, verdict(found)))
    assert "0: NVIDIA GeForce RTX 3090 at 0000:01:00.0" in "\n".join(lines(found, verdict(found)))
    assert [card["uuid"] for card in document(found)["cards"]] == ["", FIRST, SECOND]
    assert document(found)["expected"] == ["NVIDIA GeForce RTX 3090"]
