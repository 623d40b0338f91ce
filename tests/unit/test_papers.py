"""Papers: the licence is the one that the metadata names, links lead somewhere, commands are there."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader

from gridtie.cli import controller_parser
from pages import anchors, commands, headings, links

ROOT = Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
PAGES = sorted(set(LISTED.splitlines())) or [path.name for path in ROOT.glob("*.md")]
# A decision says what was there when it was taken.
PRESENT = [page for page in PAGES if not page.startswith("docs/decisions/")]


def test_the_licence_is_the_one_that_all_metadata_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    roles = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob("roles/*/meta/main.yml")]
    text = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())

    assert text.startswith("Apache License Version 2.0, January 2004")
    assert "END OF TERMS AND CONDITIONS" in text
    named = {project["license"], *galaxy["license"], *(role["galaxy_info"]["license"] for role in roles)}
    assert named == {"Apache-2.0"}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_of_the_project_leads_to_one(page: str) -> None:
    assert [target for target in links(ROOT / page) if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("page", PRESENT)
def test_every_target_of_make_that_a_page_names_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))

    assert named - targets == set()


@pytest.mark.parametrize("page", PRESENT)
def test_variables_that_a_page_hands_to_ansible_by_way_of_make_arrive(page: str) -> None:
    """A shell reads what is in ARGS a second time: quotes within it are gone by then, unless they are quoted."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for given in re.findall(r"""make [a-z]+[^`\n]*? ARGS=('[^'\n]*'|"[^"\n]*")""", text):
        words = shlex.split(given[1:-1])
        variables = [value for option, value in itertools.pairwise(words) if option == "-e"]
        for value in variables:
            # As Ansible takes them: a mapping, a file, or NAME=VALUE.
            mapping = DataLoader().load(value) if value.startswith("{") else {value.partition("=")[0]: value}
            assert value.startswith("@") or all(map(str.isidentifier, mapping)), f"{page}: {given}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_heading_leads_to_one(page: str) -> None:
    here = ROOT / page
    parts = [target.partition("#")[::2] for target in anchors(here)]

    assert [
        f"{file}#{name}" for file, name in parts if name not in headings(here.parent / file if file else here)
    ] == []


@pytest.mark.parametrize("page", PRESENT)
def test_every_name_that_a_page_has_of_ours_is_one_of_the_project(page: str) -> None:
    """Variables of Ansible and metrics; a prefix is written with its underscore at the end."""
    named = set(re.findall(r"(?<![\w/.])gridtie_[a-z]\w*[a-z\d]\b(?!_)", (ROOT / page).read_text(encoding="utf-8")))

    assert named - our_names() == set()


@pytest.mark.parametrize("page", PRESENT)
def test_every_command_line_of_gridtie_is_one_that_it_takes(page: str) -> None:
    refused = {line: why for line, in_block in commands(ROOT / page) if (why := refusal(line, in_block))}

    assert refused == {}


def test_a_command_line_that_gridtie_does_not_take_is_found() -> None:
    assert "--colour" in refusal("sudo gridtie logs --colour", in_block=False)
    assert "did you mean usage?" in refusal("gridtie usages", in_block=False)
    assert "expected one argument" in refusal("gridtie fit --why", in_block=True)
    assert refusal("gridtie fit --why", in_block=False) == ""
    assert refusal("gridtie report --html > november.html  # a page", in_block=True) == ""


@functools.cache
def our_names() -> set[str]:
    """Every name with `gridtie_` in front that the code has; counters get `_total` where metrics are written."""
    places = [*ROOT.glob("roles/**/*.yml"), *ROOT.glob("playbooks/*.yml"), *ROOT.glob("plugins/**/*.py")]
    files = [*places, *ROOT.glob("src/**/*.py"), *ROOT.glob("roles/**/*.j2"), *ROOT.glob("inventories/**/*.yml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    counters = {f"{name}_total".replace(".", "_") for name in re.findall(r"[\"'](gridtie[._][\w.]+)[\"']", text)}
    return {*re.findall(r"gridtie_\w+", text), *counters, *(path.stem for path in ROOT.glob("plugins/**/gridtie_*.py"))}


def refusal(line: str, in_block: bool) -> str:
    """Why `gridtie` would not take a line; "" where it would, or where it is a form with NAMES to be filled in."""
    words = shlex.split(line.removeprefix("$ ").removeprefix("sudo "), comments=True)[1:]
    ends = next((number for number, word in enumerate(words) if word in (">", "|", "&&", ";")), len(words))
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            controller_parser().parse_args(words[:ends])
        except SystemExit as ended:
            if not ended.code:
                return ""
            why = said.getvalue().strip().splitlines()[-1]
            form = re.search(r"invalid choice: '([A-Z]+|\.\.\.)'", why)
            named = not in_block and re.search(r"expected (one|\d+) argument|are required|one of the arguments", why)
            return "" if form or named else why
    return ""
