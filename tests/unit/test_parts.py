"""Which tests `make test` runs, by the names of its parts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("parts", ROOT / "scripts/test.py")
assert SPEC and SPEC.loader
parts = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(parts)


def test_a_plain_run_has_the_bare_machine_and_says_what_it_leaves_out() -> None:
    assert parts.chosen([]) == ["lint", "unit", "contract", "integration", "lab"]
    assert "scenarios    not run" in " ".join(parts.remarks([]))


def test_all_has_the_bare_machine_among_the_scenarios_and_not_once_more() -> None:
    assert parts.chosen(["all"]) == ["lint", "unit", "contract", "integration", "scenarios"]
    assert parts.BARE_MACHINE in parts.longest_first()
    assert "kills, pairs, memory, bundles and scale: not run" in " ".join(parts.remarks(["all"]))


def test_every_file_of_the_lab_is_run_by_one_part_once_and_a_new_one_is_begun_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(f"tests/lab/{path.name}" for path in (ROOT / "tests/lab").glob("test_*.py"))
    apart = [f"tests/lab/{name}.py" for name in parts.APART]
    assert sorted(parts.longest_first() + apart) == files

    (tmp_path / "tests/lab").mkdir(parents=True)
    for name in ("test_bad_input", "test_new", "test_native"):
        (tmp_path / f"tests/lab/{name}.py").touch()
    monkeypatch.setattr(parts, "CHECKOUT", tmp_path)
    assert [Path(file).stem for file in parts.longest_first()] == ["test_new", "test_native", "test_bad_input"]


def test_a_file_that_is_gone_is_not_in_the_order() -> None:
    assert [name for name in parts.LONGEST_FIRST if not (ROOT / f"tests/lab/{name}.py").exists()] == []


def test_the_word_of_earlier_versions_still_runs_the_part_and_the_new_one_is_told() -> None:
    assert parts.chosen(["lint", "stories", "scenarios"]) == ["lint", "scenarios"]
    assert "stories is called scenarios now" in " ".join(parts.remarks(["stories"]))


@pytest.mark.parametrize(
    ("part", "kept"), [("contract", True), ("scenarios", True), ("bundles", True), ("kills", False)]
)
def test_what_is_recorded_of_a_file_is_of_all_its_tests(monkeypatch: pytest.MonkeyPatch, part: str, kept: bool) -> None:
    """The part kills runs some steps of three files, whose records it would take the place of."""
    ran: list[str] = []
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setenv("GRIDTIE_RECORD", "1")
    monkeypatch.setattr(parts, "lab_hosts", lambda: True)
    monkeypatch.setattr(parts, "run", lambda *command, **_: ran.extend(map(str, command)) or True)

    assert parts.PARTS[part]()

    assert any(word.startswith("--junitxml") for word in ran) is kept


@pytest.mark.parametrize("part", ["lab", "scenarios", "kills", "pairs", "bundles"])
@pytest.mark.parametrize(("here", "installed"), [(["ssh"], ["mmdebstrap"]), (["mmdebstrap", "ssh"], [])])
def test_a_part_that_is_run_alone_installs_what_the_labs_hosts_are_made_with(
    monkeypatch: pytest.MonkeyPatch, part: str, here: list[str], installed: list[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(parts.shutil, "which", lambda program: program if program in here else None)
    monkeypatch.setattr(parts, "run", lambda *_, **__: True)
    monkeypatch.setattr(parts, "packages", lambda *names: asked.extend(names) or True)

    assert parts.PARTS[part]()

    assert asked == installed


@pytest.mark.parametrize("part", parts.PARTS)
@pytest.mark.parametrize("page", ["docs/testing.md", "CONTRIBUTING.md"])
def test_each_part_has_its_line_in_the_documentation(page: str, part: str) -> None:
    lines = [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    assert [line for line in lines if f"`{part}`" in line.split("|")[1]]
