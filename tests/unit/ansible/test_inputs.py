"""What a person can write wrongly is told before anything is changed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def inputs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gridtie_inputs", ROOT / "plugins/action/gridtie_inputs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_defaults_have_nothing_wrong(inputs: ModuleType) -> None:
    specs = inputs.load_specs(ROOT / "roles")
    defaults = {name: spec["default"] for name, spec in specs.items() if "{{" not in str(spec.get("default", "{{"))}

    assert inputs.check_names(set(specs), set(defaults)) == []
    assert inputs.check_types(specs, defaults) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("gridtie_port", "abc"), ("gridtie_engine", "olama"), ("gridtie_require_pins", "maybe")],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_wanted(inputs: ModuleType, name: str, value: Any) -> None:
    (problem,) = inputs.check_types(inputs.load_specs(ROOT / "roles"), {name: value})

    assert problem["found"].startswith(name)
    assert problem["fix"].startswith(f"set {name} to ")


def test_a_misspelt_name_is_told_the_near_one_and_facts_are_left_alone(inputs: ModuleType) -> None:
    problems = inputs.check_names({"gridtie_port"}, {"gridtie_prot", "gridtie_resolved_choice", "gridtie_machine"})

    assert [problem["fix"] for problem in problems] == ["did you mean gridtie_port?"]


@pytest.mark.parametrize(
    "values",
    [
        {"gridtie_port": 70000},
        {"gridtie_project": "My Station"},
        {"gridtie_prefix": "/opt"},
        {"gridtie_state_dir": "relative/path"},
        {"gridtie_config_dir": "/etc/gridtie/../ssh"},
    ],
    ids=str,
)
def test_values_that_a_type_cannot_forbid(inputs: ModuleType, values: dict[str, Any]) -> None:
    assert len(inputs.check_values(values)) == 1


def test_the_projects_routing_file_is_right_and_a_broken_one_is_told_with_its_line(
    inputs: ModuleType, tmp_path: Path
) -> None:
    good = ROOT / "config/llm_routing.yaml"
    bad = tmp_path / "llm_routing.yaml"
    bad.write_text(good.read_text(encoding="utf-8") + "\nsurprise: 1\n", encoding="utf-8")
    line = len(bad.read_text(encoding="utf-8").splitlines())

    assert inputs.check_routing(good) == []
    assert f"{bad}:{line}" in inputs.check_routing(bad)[0]["found"]
    assert "surprise" in inputs.check_routing(bad)[0]["found"]


def test_a_routing_file_that_is_not_there_is_told(inputs: ModuleType, tmp_path: Path) -> None:
    assert "no such routing file" in inputs.check_routing(tmp_path / "none.yaml")[0]["found"]
