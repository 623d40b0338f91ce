"""What the machine is, read from recorded trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.fit.memory import GIB, MIB
from gridtie.host.machine.hardware import (
    parse_nvidia_smi,
    read_engine_memory,
    read_graphics,
    read_hardware,
    read_memory,
    read_processor,
)

CPUINFO = """processor\t: 0
model name\t: AMD Ryzen 7 5800X
flags\t\t: fpu sse2 avx avx2 f16c fma

processor\t: 1
model name\t: AMD Ryzen 7 5800X
flags\t\t: fpu sse2 avx avx2 f16c fma
"""


class Tree:
    """A root directory that is written file by file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/cpuinfo", CPUINFO)
        self.write("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1048576 kB\nMemAvailable: 12582912 kB\n")

    def write(self, path: str, content: str | bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def pci(self, address: str, vendor: str, kind: str = "0x030000", **files: str) -> None:
        for name, content in {"vendor": vendor, "device": "0x2684", "class": kind, **files}.items():
            self.write(f"sys/bus/pci/devices/{address}/{name}", content + "\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_the_processor_has_its_name_count_and_extensions(tree: Tree) -> None:
    found = read_processor(tree.root)

    assert (found.model, found.count, found.extensions) == ("AMD Ryzen 7 5800X", 2, ("avx", "avx2", "f16c", "fma"))


def test_an_affinity_mask_counts_instead_of_all_processors(tree: Tree) -> None:
    assert read_processor(tree.root, cpus=1).count == 1


def test_memory_is_the_machines_where_nothing_limits_it(tree: Tree) -> None:
    found = read_memory(tree.root)

    assert (found.total, found.available, found.limited_by) == (16 * GIB, 12 * GIB, "")


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        (
            "0::/user.slice/app.scope\n",
            {
                "user.slice/app.scope/memory.max": str(4 * GIB),
                "user.slice/app.scope/memory.current": str(3 * GIB),
                "user.slice/app.scope/memory.stat": f"inactive_file {GIB}\n",
            },
        ),
        (
            "4:memory:/docker/abc\n0::/\n",
            {
                "memory/memory.limit_in_bytes": str(4 * GIB),
                "memory/memory.usage_in_bytes": str(3 * GIB),
                "memory/memory.stat": f"total_inactive_file {GIB}\n",
            },
        ),
    ],
    ids=["v2", "v1, seen from inside a container"],
)
def test_a_control_group_limits_memory_and_its_file_cache_is_free(
    tree: Tree, cgroup: str, files: dict[str, str]
) -> None:
    tree.write("proc/self/cgroup", cgroup)
    for path, content in files.items():
        tree.write(f"sys/fs/cgroup/{path}", content)
    found = read_memory(tree.root)

    assert (found.total, found.available) == (4 * GIB, 2 * GIB)
    assert found.limited_by.startswith("control group")


# A container with a limit of 8 GiB in which an engine has read 5 GiB of weights twice, and holds 1 GiB of its own.
AFTER_A_MODEL_RAN = {
    "v2": (
        "0::/\n",
        "",
        {
            "memory.max": "8589934592\n",
            "memory.current": "6543458304\n",
            "memory.stat": "anon 1073741824\nfile 5469716480\nkernel 1048576\nshmem 0\nfile_mapped 5368709120\n"
            "inactive_anon 1073729536\nactive_anon 12288\ninactive_file 67108864\nactive_file 5402607616\n"
            "unevictable 0\nslab_reclaimable 524288\n",
        },
    ),
    "v1": (
        "11:memory:/docker/0f3a\n4:cpu,cpuacct:/docker/0f3a\n",
        "memory/",
        {
            "memory.limit_in_bytes": "8589934592\n",
            "memory.usage_in_bytes": "6543458304\n",
            "memory.stat": "cache 0\nrss 0\ninactive_file 0\nactive_file 0\n"
            "hierarchical_memory_limit 8589934592\ntotal_cache 5469716480\ntotal_rss 1073741824\n"
            "total_inactive_file 67108864\ntotal_active_file 5402607616\n",
        },
    ),
}


@pytest.mark.parametrize("version", AFTER_A_MODEL_RAN)
def test_weights_that_were_read_twice_are_as_free_as_those_read_once(tree: Tree, version: str) -> None:
    cgroup, below, files = AFTER_A_MODEL_RAN[version]
    tree.write("proc/self/cgroup", cgroup)
    for name, content in files.items():
        tree.write(f"sys/fs/cgroup/{below}{name}", content)
    found = read_memory(tree.root)

    # All but what is the engine's own and cannot be given back, within the kernel's own megabyte.
    assert 8 * GIB - found.available == pytest.approx(GIB, abs=2 * MIB)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", str(64 * GIB)])
def test_a_limit_that_limits_nothing_is_none(tree: Tree, limit: str) -> None:
    tree.write("proc/self/cgroup", "0::/a\n")
    tree.write("sys/fs/cgroup/a/memory.max", limit)

    assert read_memory(tree.root).limited_by == ""


def test_a_group_further_up_limits_as_well(tree: Tree) -> None:
    tree.write("proc/self/cgroup", "0::/a/b\n")
    tree.write("sys/fs/cgroup/a/memory.max", str(2 * GIB))
    tree.write("sys/fs/cgroup/a/b/memory.max", str(8 * GIB))

    assert read_memory(tree.root).total == 2 * GIB


def test_graphics_come_from_the_pci_bus(tree: Tree) -> None:
    tree.pci("0000:01:00.0", "0x10de")
    tree.pci("0000:02:00.0", "0x1002", mem_info_vram_total=str(16 * GIB), mem_info_vram_used=str(GIB))
    tree.pci("0000:03:00.0", "0x8086")

    assert [(card.vendor, card.memory, card.free) for card in read_graphics(tree.root)] == [
        ("NVIDIA", None, None),
        ("AMD", 16 * GIB, 15 * GIB),
        ("Intel", None, None),
    ]


@pytest.mark.parametrize(("vendor", "kind"), [("0x10de", "0x020000"), ("0x1a03", "0x030000"), ("0x1b36", "0x030000")])
def test_network_cards_and_management_or_virtual_displays_are_no_graphics(tree: Tree, vendor: str, kind: str) -> None:
    tree.pci("0000:01:00.0", vendor, kind)

    assert read_graphics(tree.root) == ()


def test_the_drivers_report_tells_the_memory_of_nvidia_cards(tree: Tree) -> None:
    tree.pci("0000:01:00.0", "0x10de")
    report = "00000000:01:00.0, 24576, 23000\n"
    card = read_hardware(tree.root, driver_report=lambda: report).graphics[0]

    assert (card.memory, card.free) == (24576 * MIB, 23000 * MIB)


def test_the_drivers_tool_is_not_run_without_a_card(tree: Tree) -> None:
    def unwanted() -> str:
        raise AssertionError

    assert read_hardware(tree.root, driver_report=unwanted).graphics == ()


def test_cards_that_share_the_machines_memory_have_none_of_their_own() -> None:
    assert parse_nvidia_smi("0000000F:01:00.0, [N/A], [N/A]\n") == {}


def test_private_memory_of_the_engines_servers_is_added_up_and_nobody_elses(tree: Tree) -> None:
    for pid, program, anonymous in ((7, "/opt/lib/llama-server", 2048), (8, "/usr/bin/python3", 4096)):
        tree.write(f"proc/{pid}/cmdline", f"{program}\0--model\0x")
        tree.write(f"proc/{pid}/status", f"VmRSS:  9999999 kB\nRssAnon:  {anonymous} kB\nRssFile:  9000000 kB\n")

    assert read_engine_memory(tree.root) == 2048 * 1024
