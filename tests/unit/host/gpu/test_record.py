"""A machine's tree as text and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.gpu import pci_ids, read_survey
from gridtie.host.gpu.bus import look_up
from gridtie.host.gpu.record import record, unpack

from .conftest import FIXTURES


@pytest.mark.parametrize("case", sorted(path.stem for path in FIXTURES.glob("*.tree")))
def test_a_record_of_a_record_is_judged_the_same(case: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    unpack((FIXTURES / f"{case}.tree").read_text(), first)
    unpack(record(first), second)

    assert read_survey(second) == read_survey(first)


@pytest.mark.parametrize("line", ["no path", "/etc/passwd = x", "../x = y"])
def test_a_line_that_is_no_part_of_a_tree_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1"):
        unpack(line, tmp_path)


@pytest.mark.parametrize(
    ("vendor", "device", "chip", "product"),
    [
        ("NVIDIA", "0x2204", "GA102", "GeForce RTX 3090"),
        ("NVIDIA", "0x1B80", "GP104", "GeForce GTX 1080"),
        ("AMD", "0x744c", "Navi 31", "Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M"),
        ("Intel", "0xe20b", "Battlemage G21", "Arc B580"),
        ("NVIDIA", "0xffff", "", ""),
    ],
)
def test_devices_are_named_by_the_table(vendor: str, device: str, chip: str, product: str) -> None:
    found = look_up(vendor, device)

    assert (found.chip, found.product) == (chip, product)


@pytest.mark.parametrize("table", [pci_ids.NVIDIA, pci_ids.AMD, pci_ids.INTEL])
def test_the_table_holds_each_device_once(table: str) -> None:
    ids = [line.split("|")[0] for line in table.splitlines()]

    assert len(ids) == len(set(ids)) > 100
