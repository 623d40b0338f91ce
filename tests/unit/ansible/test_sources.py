"""Where a machine gets its packages from."""

from __future__ import annotations

import pytest
from plugins.module_utils import gridtie_sources

LISTED = "http://security.example/debian trixie-security\nhttp://deb.example/debian/ trixie\n"
WOULD_FETCH = (
    "'http://security.example/debian/dists/trixie-security/InRelease' security_InRelease 0 \n"
    "'http://deb.example/debian/dists/trixie/InRelease' deb_InRelease 0 \n"
    "'http://deb.example/debian/dists/trixie/main/binary-amd64/Packages.xz' deb_Packages 0 \n"
)


@pytest.mark.parametrize(
    ("listed", "would_fetch", "site"),
    [
        (LISTED, "", "http://deb.example/debian"),
        ("", WOULD_FETCH, "http://deb.example/debian"),
        ("", WOULD_FETCH.replace("dists/trixie/", "dists/forky/"), ""),
        ("", "", ""),
    ],
    ids=["its indexes are here", "nothing was fetched yet", "another release", "no sources"],
)
def test_the_mirror_is_the_one_that_serves_the_machines_release(
    monkeypatch: pytest.MonkeyPatch, listed: str, would_fetch: str, site: str
) -> None:
    answers = {"indextargets": listed, "--print-uris": would_fetch}
    monkeypatch.setattr(gridtie_sources, "run", lambda command: (0, answers[command[1]], ""))

    assert gridtie_sources.apt_site("trixie") == site
