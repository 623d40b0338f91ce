"""The page is sent to everybody, says nothing about anybody, and nothing else runs or is loaded in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gridtie.gateway import dashboard
from standins.router import Answered, Station, routing, run

ASSETS = Path(dashboard.__file__).parent / "assets"
POLICY = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]


def ask(directory: Path, *paths: str) -> list[Answered]:
    async def get() -> list[Answered]:
        async with Station(directory, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            return [await station.ask(path=path, key=None) for path in paths]

    return run(get)


def test_the_page_and_all_that_it_names_are_sent_without_a_key_under_a_strict_policy(tmp_path: Path) -> None:
    named = re.findall(r'(?:href|src)="(/dashboard/[^"]+)"', (ASSETS / "index.html").read_text())
    scripts = [f"/dashboard/assets/{path.name}" for path in ASSETS.glob("*.js")]
    assert named

    answers = ask(tmp_path, "/dashboard", "/dashboard/", *named, *scripts)

    assert {each.status for each in answers} == {200}
    for each in answers:
        policy = each.headers["content-security-policy"].split("; ")
        assert set(POLICY) <= set(policy)
        assert "unsafe" not in each.headers["content-security-policy"]
        assert each.headers["x-content-type-options"] == "nosniff"


def test_another_page_of_the_assets_is_not_found(tmp_path: Path) -> None:
    answers = ask(
        tmp_path, "/dashboard/assets/other.js", "/dashboard/assets/../sessions.py", "/dashboard/assets/%2e%2e/x"
    )

    assert {each.status for each in answers} == {404}


@pytest.mark.parametrize("path", sorted(ASSETS.iterdir()), ids=lambda path: path.name)
def test_nothing_in_it_is_loaded_from_elsewhere_or_read_as_html(path: Path) -> None:
    text = path.read_text()

    assert set(re.findall(r"https?://[^\"' )]+", text)) <= {"http://www.w3.org/2000/svg"}
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "localStorage", "sessionStorage", " style="):
        assert word not in text


def test_what_scripts_import_is_there() -> None:
    for path in ASSETS.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert (ASSETS / name).is_file(), f"{path.name} imports {name}"
