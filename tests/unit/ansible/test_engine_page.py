"""docs/engine.md says of Ollama's settings what the role gives to a service and to a container."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/engine.md").read_text(encoding="utf-8")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


VARIABLES = {
    name: value
    for role in ("station", "engine", "engine_ollama")
    for name, value in load(f"roles/{role}/vars/main.yml").items()
}
SERVICE = {name: str(value) for name, value in VARIABLES["_ollama_settings"].items()}
CONTAINER = {
    name: str(value)
    for part in ("compose", "engine.ollama")
    for name, value in load(f"compose/{part}.yaml")["services"]["engine"]["environment"].items()
}
DEFAULTS = {
    name: value
    for role in ("engine_ollama", "engine", "station")
    for name, value in load(f"roles/{role}/defaults/main.yml").items()
}


def rows() -> dict[str, tuple[str, str]]:
    """Of each of Ollama's variables: who sets it, and the default."""
    section = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    found = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, source, default = (cell.strip() for cell in line.strip("|").split("|"))
            found.update(dict.fromkeys(re.findall(r"`(\w+)`", names), (source, default)))
    return found


ROWS = rows()
SET = {name: source.strip("`") for name, (source, _) in ROWS.items() if source != "always"}
ALWAYS = {name: default for name, (source, default) in ROWS.items() if source == "always"}


def written_out(text: str) -> str:
    """A template with the roles' own variables put in."""
    return re.sub(r"\b_(?:ollama|engine|station)_\w+", lambda match: str(VARIABLES[match[0]]), text)


def test_every_setting_is_on_the_page_and_no_other() -> None:
    assert ROWS.keys() == SERVICE.keys()


@pytest.mark.parametrize("name", SET)
def test_a_setting_is_made_of_the_variable_that_the_page_names(name: str) -> None:
    assert SET[name] in written_out(SERVICE[name])
    assert SET[name] in DEFAULTS


@pytest.mark.parametrize("name", SET)
def test_the_default_on_the_page_is_the_variables(name: str) -> None:
    told = re.findall(r"`([^`]+)`", ROWS[name][1])[0]

    assert told == str(DEFAULTS[SET[name]]).replace("{{ gridtie_project }}", "gridtie")


@pytest.mark.parametrize("name", ALWAYS)
def test_what_is_always_so_has_the_value_on_the_page(name: str) -> None:
    assert re.findall(r"`([^`]+)`", ALWAYS[name])[0] == SERVICE[name]


def test_a_container_is_given_the_same_settings() -> None:
    assert CONTAINER.keys() - {"HOME"} == SERVICE.keys()
    assert {name: CONTAINER[name] for name in ALWAYS} == {name: SERVICE[name] for name in ALWAYS}


@pytest.mark.parametrize("name", [name for name in SET if "GRIDTIE_OLLAMA" in CONTAINER[name]])
def test_a_containers_setting_is_made_of_the_same_variable(name: str) -> None:
    variable = re.search(r"\${(\w+)", CONTAINER[name])

    assert variable
    assert SET[name] in written_out(VARIABLES["_ollama_container_settings"][variable[1]])


def test_a_service_is_started_again_for_every_setting() -> None:
    assert "_ollama_settings" in VARIABLES["_ollama_stamp"]
