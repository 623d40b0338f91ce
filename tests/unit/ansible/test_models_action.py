"""The caller's package sources reach the module that fetches models."""

from __future__ import annotations

from pathlib import Path

from plugins.action import gridtie_models as action


def test_only_settings_of_pip_that_are_set_are_handed_on(tmp_path: Path) -> None:
    environ = {"PIP_INDEX_URL": "https://mirror.example/simple", "PIP_CERT": "", "PIP_RETRIES": "1", "SECRET": "x"}

    assert action.pip_addresses(environ) == {"PIP_INDEX_URL": "https://mirror.example/simple"}
    assert action.pip_settings(environ, tmp_path) == {"PIP_RETRIES": "1"}


def test_the_callers_own_configuration_file_counts_under_sudo(tmp_path: Path) -> None:
    own = tmp_path / ".config" / "pip" / "pip.conf"
    own.parent.mkdir(parents=True)
    own.touch()

    assert action.pip_settings({}, tmp_path) == {"PIP_CONFIG_FILE": str(own)}
    assert action.pip_settings({"PIP_CONFIG_FILE": "/x"}, tmp_path) == {"PIP_CONFIG_FILE": "/x"}
