"""Package sources: what a file says is compared with what is declared, not with whether there is a file."""

from __future__ import annotations

import pytest
from plugins.module_utils.gridtie_deb822 import fields, lacking, source, text_of
from plugins.module_utils.gridtie_sources import AptIndex

MIRROR = "http://deb.example/debian"
MAIN = AptIndex(MIRROR, "trixie", "main")
CONTRIB = AptIndex(MIRROR, "trixie", "contrib")
WANTED = ["contrib", "non-free"]


def test_a_file_is_read_as_it_was_written() -> None:
    entries = {**source(MIRROR, "trixie", WANTED), "Signed-By": "\n -----BEGIN-----\n .\n abc=\n -----END-----"}

    assert text_of(entries).startswith("Types: deb\nURIs: http://deb.example/debian\nSuites: trixie\n")
    assert fields(text_of(entries)) == entries


def test_a_flat_repository_has_no_components() -> None:
    assert "Components" not in source("https://there.example", "/", [])


@pytest.mark.parametrize(
    ("indexes", "before", "components"),
    [
        ([MAIN], {}, ["contrib", "non-free"]),
        ([MAIN, CONTRIB], {}, ["non-free"]),
        ([MAIN, CONTRIB, AptIndex(MIRROR, "trixie", "non-free")], {}, []),
        ([MAIN, CONTRIB], {"Components": "contrib"}, ["contrib", "non-free"]),
        ([AptIndex(MIRROR, "bookworm", "contrib")], {"Components": "contrib"}, ["contrib", "non-free"]),
    ],
    ids=["nothing is there", "one is the machine's own", "all are the machine's own", "one is this file's", "upgraded"],
)
def test_a_file_has_the_components_that_apt_has_from_nowhere_else(
    indexes: list[AptIndex], before: dict[str, str], components: list[str]
) -> None:
    assert lacking(indexes, "trixie", WANTED, before) == components
