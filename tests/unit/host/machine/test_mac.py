"""A Mac, from what sysctl and vm_stat print there. The outputs are in their documented form, not recorded here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.host.fit.budget import budget_for
from gridtie.host.fit.memory import GIB, MARGIN, MIB
from gridtie.host.machine.hardware import BESIDE_ENGINE, in_docker
from gridtie.host.machine.mac import metal_limit, read_mac
from gridtie.host.models.proof import from_host

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "mac"

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               65536.
Pages active:                            300000.
Pages inactive:                          262144.
Pages speculative:                        65536.
Pages throttled:                              0.
Pages wired down:                        150000.
Pages purgeable:                              0.
"File-backed pages":                     250000.
"""


def mac(memory: int = 16 * GIB, chip: str = "Apple M2", limit: str = "0") -> dict[str, str]:
    sysctl = f"hw.memsize: {memory}\nhw.ncpu: 8\nmachdep.cpu.brand_string: {chip}\niogpu.wired_limit_mb: {limit}\n"
    return {"sysctl": sysctl, "vm_stat": VM_STAT}


def test_memory_chip_and_bandwidth_are_read() -> None:
    found = read_mac(lambda command: mac()[command[0]])

    assert (found.processor.model, found.processor.count) == ("Apple M2", 8)
    assert (found.memory.total, found.memory.available) == (16 * GIB, 6 * GIB)
    assert found.bandwidth and found.bandwidth.source == "estimated from Apple's published 100 GB/s"


@pytest.mark.parametrize(("total", "limit"), [(16, 10.667), (24, 16), (32, 21.333), (36, 27), (64, 48)])
def test_graphics_may_take_two_thirds_of_a_small_mac_and_three_quarters_of_a_large_one(
    total: int, limit: float
) -> None:
    assert metal_limit(total * GIB) / GIB == pytest.approx(limit, abs=0.001)


def test_a_limit_that_was_set_by_hand_counts() -> None:
    found = read_mac(lambda command: mac(limit="14336")[command[0]])

    assert found.metal_limit == 14336 * MIB


def test_a_mac_with_an_intel_processor_counts_as_main_memory() -> None:
    found = read_mac(lambda command: mac(chip="Intel(R) Core(TM) i7-8700B CPU @ 3.20GHz")[command[0]])

    assert found.metal_limit is None


def test_a_system_that_does_not_tell_its_memory_is_an_error() -> None:
    with pytest.raises(OSError, match=r"sysctl does not tell hw\.memsize"):
        read_mac(lambda command: "")


@pytest.mark.parametrize("kind", ["desktop", "colima", "orbstack"])
def test_what_runs_in_docker_has_the_virtual_machines_memory_and_no_metal(kind: str) -> None:
    total = json.loads((FIXTURES / f"docker-{kind}.json").read_text())["MemTotal"]
    found = read_mac(lambda command: (FIXTURES / f"{command[0]}.txt").read_text())

    native, contained = budget_for(found), budget_for(in_docker(found, total))

    assert native.name == "unified memory (Metal)"
    # Six GiB are free; Metal alone would take up to 10.67.
    assert native.available == 6 * GIB - MARGIN
    assert (contained.name, contained.total) == ("memory", total)
    assert contained.available == total - BESIDE_ENGINE - MARGIN


@pytest.mark.parametrize("total", [0, 16 * GIB, 17 * GIB], ids=["no Docker", "as much", "more"])
def test_a_docker_with_the_machines_own_memory_takes_nothing_from_it(total: int) -> None:
    found = read_mac(lambda command: mac()[command[0]])

    assert in_docker(found, total) == found


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://host.docker.internal:11434", "http://127.0.0.1:11434"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("http://engine:11434", "http://engine:11434"),
    ],
)
def test_the_name_of_the_mac_is_one_for_containers_alone(url: str, here: str) -> None:
    assert from_host(url) == here
