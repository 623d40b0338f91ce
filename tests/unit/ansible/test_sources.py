"""Where a machine gets its packages from."""

from __future__ import annotations

import pytest
from plugins.module_utils import gridtie_sources
from plugins.module_utils.gridtie_sources import AptIndex

# As apt 2.6 and 3.0 print it. Whether an index has been fetched makes no difference.
PRINTED = (
    "'http://security.example/debian/dists/trixie-security/InRelease' security_InRelease 0 \n"
    "'http://user:pw@deb.example/debian//dists/trixie/InRelease' deb_InRelease 0 \n"
    "'http://flat.example/repository/./InRelease' flat_InRelease 0 \n"
    "'http://security.example/debian/dists/trixie-security/main/binary-amd64/Packages.xz' security_Packages 0 \n"
    "'http://user:pw@deb.example/debian//dists/trixie/main/binary-amd64/Packages.xz' deb_Packages 0 \n"
    "'http://user:pw@deb.example/debian//dists/trixie/main/binary-all/Packages.xz' deb_Packages 0 \n"
    "'http://user:pw@deb.example/debian//dists/trixie/main/dep11/Components-amd64.yml.xz' deb_Components 0 \n"
    "'http://user:pw@deb.example/debian//dists/trixie/contrib/binary-amd64/Packages.xz' deb_Packages 0 \n"
    "'http://deb.example/debian/dists/trixie/main/source/Sources.xz' deb_Sources 0 \n"
    "'http://flat.example/repository/./Packages.xz' flat_Packages 0 \n"
)


def test_apts_indexes_are_what_it_would_fetch_each_once_and_without_sources() -> None:
    assert gridtie_sources.parse_uris(PRINTED) == [
        AptIndex("http://security.example/debian", "trixie-security", "main"),
        AptIndex("http://user:pw@deb.example/debian", "trixie", "main"),
        AptIndex("http://user:pw@deb.example/debian", "trixie", "contrib"),
    ]


@pytest.mark.parametrize(
    ("printed", "site"),
    [(PRINTED, "http://user:pw@deb.example/debian"), (PRINTED.replace("/trixie/", "/forky/"), ""), ("", "")],
    ids=["its release", "another release", "no sources"],
)
def test_the_mirror_is_the_one_that_serves_the_machines_release(
    monkeypatch: pytest.MonkeyPatch, printed: str, site: str
) -> None:
    monkeypatch.setattr(gridtie_sources, "run", lambda command: (0, printed, ""))

    assert gridtie_sources.apt_site("trixie") == site
