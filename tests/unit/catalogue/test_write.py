"""Entries of the catalogue are written as people write them, and a difference shows what was changed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.catalogue import load
from gridtie.catalogue.write import WIDTH, add_entry, entry_text, replace_entry
from gridtie.host.catalogue import CatalogueError

CONFIG = Path(__file__).parents[3] / "config" / "models.yaml"


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(CONFIG.read_text())
    return path


def entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())["models"]
    return found


def test_what_is_written_anew_unchanged_is_the_same_text(catalogue: Path) -> None:
    text = CONFIG.read_text()

    assert [entry["name"] for entry in entries(catalogue) if entry_text(entry) not in text] == []


def test_a_new_entry_stands_behind_the_one_that_is_named_and_nothing_else_changes(catalogue: Path) -> None:
    new = {**entries(catalogue)[0], "name": "codellama:99b", "title": "Code, Llama: 99"}
    add_entry(catalogue, new, "codellama:7b")
    names = [entry["name"] for entry in entries(catalogue)]

    assert names[:3] == ["codellama:7b", "codellama:99b", "codellama:13b"]
    assert load(catalogue).models["codellama:99b"].title == "Code, Llama: 99"
    assert catalogue.read_text().replace("\n" + entry_text(new), "") == CONFIG.read_text()


def test_without_a_name_it_is_the_last_before_the_references(catalogue: Path) -> None:
    add_entry(catalogue, {**entries(catalogue)[0], "name": "new:1b"})

    assert entries(catalogue)[-1]["name"] == "new:1b"
    assert load(catalogue).references == load(CONFIG).references


def test_one_changed_value_is_a_difference_of_one_line(catalogue: Path) -> None:
    entry = entries(catalogue)[0]
    replace_entry(catalogue, entry["name"], {**entry, "parameters": 6_750_000_000})
    before, after = CONFIG.read_text().splitlines(), catalogue.read_text().splitlines()

    assert len(before) == len(after)
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ["    parameters: 6_750_000_000"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain words", "plain words"),
        ("2026-11-29", '"2026-11-29"'),
        ("2026-11", "2026-11"),
        ("2024", '"2024"'),
        ("true", '"true"'),
        ("a, b", '"a, b"'),
        ('so-called "best"', '"so-called \\"best\\""'),
        ("key: value", '"key: value"'),
        ("", '""'),
    ],
)
def test_a_text_is_in_quotes_only_where_yaml_would_read_something_else(value: str, written: str) -> None:
    text = entry_text({"name": "x:1", "title": value})

    assert text == f"  - name: x:1\n    title: {written}\n"
    assert yaml.safe_load(text) == [{"name": "x:1", "title": value}]


def test_long_values_are_folded_within_the_width(catalogue: Path) -> None:
    entry = {**entries(catalogue)[0], "note": "word " * 60 + "end"}
    pattern = [True, False] * 40
    entry["shape"] = {**entry["shape"], "numbers": pattern}
    text = entry_text(entry)

    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert yaml.safe_load(text)[0]["note"] == entry["note"] and yaml.safe_load(text)[0]["shape"]["numbers"] == pattern


@pytest.mark.parametrize("change", [{"parameters": "many"}, {"name": "codellama:13b"}, {"nonsense": 1}])
def test_an_entry_that_the_loader_would_refuse_is_not_written(catalogue: Path, change: dict[str, Any]) -> None:
    with pytest.raises(CatalogueError):
        add_entry(catalogue, {**entries(catalogue)[0], "name": "new:1b", **change})

    assert catalogue.read_text() == CONFIG.read_text()


def test_a_name_that_is_not_there_is_an_error(catalogue: Path) -> None:
    with pytest.raises(ValueError, match="has no model 'none:1b'"):
        replace_entry(catalogue, "none:1b", entries(catalogue)[0])
