"""The page of supported machines shows the table that the preflight judges by."""

from __future__ import annotations

import re
from pathlib import Path

from plugins.module_utils.gridtie_support import PLATFORMS

PAGE = Path(__file__).resolve().parents[3] / "docs/support.md"


def test_the_page_has_each_kind_of_machine_with_the_level_by_which_the_preflight_judges() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Machines")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (tested|expected|unsupported) \|", section, re.MULTILINE)

    assert sorted(rows) == sorted((row.name, row.level) for row in PLATFORMS)
