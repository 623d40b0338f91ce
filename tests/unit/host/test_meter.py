"""Energy and memory of a machine, read from trees of other machines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gridtie.host.command import Ran
from gridtie.host.meter import Packages, Sample, Sampler, from_document, graphics_watts


def domain(root: Path, number: str, name: str, microjoules: int, most: int = 262_143_328_850) -> Path:
    path = root / "sys/class/powercap" / f"intel-rapl:{number}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{most}\n")
    return path


class TestPackages:
    def test_packages_add_up_and_domains_within_them_do_not(self, tmp_path: Path) -> None:
        both = [domain(tmp_path, "0", "package-0", 0), domain(tmp_path, "1", "package-1", 0)]
        core = domain(tmp_path, "0:0", "core", 0)
        packages = Packages(tmp_path)
        for path, used in zip([*both, core], (2_000_000, 3_000_000, 1_000_000), strict=True):
            (path / "energy_uj").write_text(str(used))

        assert packages.joules() == pytest.approx(5.0)

    def test_the_whole_platform_goes_before_its_packages(self, tmp_path: Path) -> None:
        domain(tmp_path, "0", "package-0", 0)
        platform = domain(tmp_path, "1", "psys", 0)
        packages = Packages(tmp_path)
        (platform / "energy_uj").write_text("9000000")

        assert packages.joules() == pytest.approx(9.0)

    def test_a_counter_that_wraps_around_goes_on(self, tmp_path: Path) -> None:
        path = domain(tmp_path, "0", "package-0", 9_000_000, most=10_000_000)
        packages = Packages(tmp_path)
        (path / "energy_uj").write_text("1000000")

        assert packages.joules() == pytest.approx(2.0)

    def test_without_a_counter_or_the_right_to_read_it_nothing_is_known(self, tmp_path: Path) -> None:
        assert Packages(tmp_path).joules() is None
        path = domain(tmp_path, "0", "package-0", 0)
        (path / "energy_uj").unlink()
        assert Packages(tmp_path).joules() is None


class TestGraphics:
    def watts(self, ran: Ran) -> float | None:
        return graphics_watts(lambda _argv: ran)

    def test_all_cards_together(self) -> None:
        assert self.watts(Ran(0, "215.30\n18.02\n", "")) == pytest.approx(233.32)

    @pytest.mark.parametrize(
        "ran", [Ran(127, "", "no such command"), Ran(0, "[N/A]\n", ""), Ran(0, "", ""), Ran(9, "1", "")]
    )
    def test_none_where_there_are_none_or_they_do_not_say(self, ran: Ran) -> None:
        assert self.watts(ran) is None


class TestSampler:
    def test_it_looks_until_it_is_stopped(self, tmp_path: Path) -> None:
        taken: list[Sample] = []
        sampler = Sampler(taken.append, lambda: 7, interval=0.01, root=tmp_path, watts=lambda: None)
        sampler.start()
        until = time.monotonic() + 20
        while len(taken) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        sampler.stop()
        count = len(taken)
        time.sleep(0.05)

        assert count >= 3
        assert len(taken) == count
        assert {each.resident for each in taken} == {7}

    def test_a_machine_without_cards_is_asked_for_them_once(self, tmp_path: Path) -> None:
        asked = []

        def watts() -> None:
            asked.append(1)

        sampler = Sampler(lambda _: None, root=tmp_path, watts=watts)
        sampler.look()
        sampler.look()

        assert len(asked) == 1


def test_a_sample_survives_its_document() -> None:
    sample = Sample(1.5, 2, 3.5, None)

    assert from_document(sample.document()) == sample
