"""What an image build is told about the host's package sources."""

from __future__ import annotations

import configparser

import pytest
from plugins.module_utils.gridtie_build_sources import NoMirrorError, apt_sources, go_env, pip_conf, proxies

DEBIAN_12 = [
    ("http://mirror.example/debian", "bookworm", "main"),
    ("http://mirror.example/debian", "bookworm-updates", "main"),
    ("https://security.example/debian-security", "bookworm-security", "main"),
    ("https://other.example/apt", "stable", "main"),
]
UBUNTU = [
    ("http://mirror.example/ubuntu", "noble", "main"),
    ("http://mirror.example/ubuntu", "noble", "universe"),
    ("http://mirror.example/ubuntu", "noble-security", "main"),
    ("http://mirror.example/ubuntu", "noble-backports", "main"),
]


def test_another_release_comes_from_the_hosts_own_mirrors_with_its_updates() -> None:
    assert apt_sources(DEBIAN_12, "bookworm", "trixie").splitlines() == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb https://security.example/debian-security trixie-security main",
    ]


def test_components_are_those_of_the_host_and_backports_are_left_out() -> None:
    assert apt_sources(UBUNTU, "noble", "noble").splitlines() == [
        "deb http://mirror.example/ubuntu noble main",
        "deb http://mirror.example/ubuntu noble universe",
        "deb http://mirror.example/ubuntu noble-security main",
    ]


@pytest.mark.parametrize(
    "indexes",
    [[], [("file:/srv/mirror", "bookworm", "main")], [("http://a.example", "bookworm-updates", "main")]],
    ids=["none", "a directory", "updates alone"],
)
def test_a_host_without_a_mirror_over_http_is_told_so(indexes: list[tuple[str, str, str]]) -> None:
    with pytest.raises(NoMirrorError, match="no http or https source for bookworm"):
        apt_sources(indexes, "bookworm", "trixie")


def settings(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return dict(parser.items("global"))


def test_the_environment_outranks_pips_files_and_later_files_the_earlier_ones() -> None:
    files = [
        "[global]\nindex-url = https://first.example/simple\ntimeout = 7\nfind-links = /opt/wheels\n",
        "[global]\nindex-url = https://second.example/simple\n[install]\ntrusted-host =\n  a.example\n  b.example\n",
        "not a pip.conf",
    ]

    found = settings(pip_conf({"PIP_EXTRA_INDEX_URL": "https://u:p@extra.example/simple"}, files, "/run/secrets/ca"))

    assert found == {
        "index-url": "https://second.example/simple", "extra-index-url": "https://u:p@extra.example/simple",
        "trusted-host": "a.example b.example", "timeout": "7", "cert": "/run/secrets/ca",
        "disable-pip-version-check": "true", "no-input": "true",
    }  # fmt: skip


def test_without_a_bundle_pip_keeps_its_own_certificates() -> None:
    assert "cert" not in settings(pip_conf({}, [], ""))


@pytest.mark.parametrize(
    ("environment", "printed", "wanted"),
    [
        ({}, "", ""),
        ({}, "https://p.example,direct\nsum.example\n", "GOPROXY=https://p.example,direct\nGOSUMDB=sum.example\n"),
        (
            {"GOPROXY": "https://mine.example"},
            "https://p.example\noff\n",
            "GOPROXY=https://mine.example\nGOSUMDB=off\n",
        ),
    ],
)
def test_go_modules_come_from_where_the_environment_or_else_the_hosts_go_says(
    environment: dict[str, str], printed: str, wanted: str
) -> None:
    assert go_env(environment, printed) == wanted


def test_a_proxy_is_named_in_both_spellings_and_an_empty_one_in_none() -> None:
    given = {"https_proxy": "http://u:p@proxy:3128", "HTTP_PROXY": "", "NO_PROXY": "localhost", "PATH": "/bin"}

    assert proxies(given) == {
        "HTTPS_PROXY": "http://u:p@proxy:3128",
        "https_proxy": "http://u:p@proxy:3128",
        "NO_PROXY": "localhost",
        "no_proxy": "localhost",
    }
