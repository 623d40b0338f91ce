"""The caller's package sources reach the module that fetches models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ACTION = Path(__file__).parents[3] / "plugins" / "action" / "gridtie_models.py"


@pytest.fixture(scope="module")
def action() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gridtie_models_action", ACTION)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_settings_of_pip_that_are_set_are_handed_on(action: ModuleType, tmp_path: Path) -> None:
    environ = {"PIP_INDEX_URL": "https://mirror.example/simple", "PIP_CERT": "", "SECRET": "x"}

    assert action.pip_settings(environ, tmp_path) == {"PIP_INDEX_URL": "https://mirror.example/simple"}


def test_the_callers_own_configuration_file_counts_under_sudo(action: ModuleType, tmp_path: Path) -> None:
    own = tmp_path / ".config" / "pip" / "pip.conf"
    own.parent.mkdir(parents=True)
    own.touch()

    assert action.pip_settings({}, tmp_path) == {"PIP_CONFIG_FILE": str(own)}
    assert action.pip_settings({"PIP_CONFIG_FILE": "/x"}, tmp_path) == {"PIP_CONFIG_FILE": "/x"}
