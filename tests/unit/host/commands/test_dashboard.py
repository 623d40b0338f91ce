"""`gridtie dashboard`: an address that is good for one use, opened where there is a browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator

import pytest

from gridtie.host import cli
from gridtie.host.commands import dashboard
from standins.httpd import Httpd, serving

KEY = "gt-" + "a" * 43
CODE = "c0de-" + "x" * 27


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[Httpd]:
    with serving() as server:
        server.answers["/gridtie/sign-in"] = (200, {"code": CODE, "seconds": 120.0, "path": f"/dashboard#code={CODE}"})
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        for name in ("GRIDTIE_CONFIG_DIR", "SSH_CONNECTION", "SSH_TTY", "DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def test_it_prints_an_address_in_which_no_key_is(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dashboard", "--print"]) == 0

    out, errors = capsys.readouterr()
    assert out == f"{router.url}/dashboard#code={CODE}\n"
    assert KEY not in out + errors
    assert "good for one use" in errors
    assert router.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("more", "opened"), [([], 1), (["--print"], 0)])
def test_it_opens_where_there_is_a_browser(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str], opened: int
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: seen.append(address) or True)
    monkeypatch.setattr(dashboard, "has_browser", lambda *_: True)

    assert cli.main(["dashboard", *more]) == 0

    assert seen == [f"{router.url}/dashboard#code={CODE}"] * opened
    assert ("Opened in your browser" in capsys.readouterr().err) is bool(opened)


def test_over_ssh_it_says_how_the_port_is_forwarded(
    router: Httpd, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.7 50312 10.0.0.2 22")
    monkeypatch.setenv("USER", "ann")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("a browser on the far machine"))

    assert cli.main(["dashboard"]) == 0

    port = router.url.rpartition(":")[2]
    assert f"ssh -L {port}:127.0.0.1:{port} ann@10.0.0.2" in capsys.readouterr().err


def test_a_router_of_before_is_told_apart(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"error": {"code": "not_found", "message": "there is nothing at '/gridtie/sign-in'"}}
    router.answers["/gridtie/sign-in"] = (404, error)

    assert cli.main(["dashboard"]) == 2

    assert "there is nothing at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "user", "platform", "there"),
    [
        ({"DISPLAY": ":0"}, 1000, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, 1000, "linux", True),
        ({}, 1000, "linux", False),
        ({}, 501, "darwin", True),
        ({"DISPLAY": ":0"}, 0, "linux", False),
        ({"DISPLAY": "localhost:10", "SSH_CONNECTION": "a 1 b 22"}, 1000, "linux", False),
        ({"SSH_TTY": "/dev/pts/1"}, 501, "darwin", False),
    ],
)
def test_a_browser_opens_before_the_eyes_of_whoever_typed_it_or_not_at_all(
    environ: dict[str, str], user: int, platform: str, there: bool
) -> None:
    assert dashboard.has_browser(environ, user, platform) is there


@pytest.mark.parametrize(
    ("endpoint", "command"),
    [
        ("http://127.0.0.1:8484", "ssh -L 8484:127.0.0.1:8484 ann@10.0.0.2"),
        ("https://gpu-server:8443", None),
    ],
)
def test_a_router_that_is_reached_from_elsewhere_needs_no_forwarding(endpoint: str, command: str | None) -> None:
    environ = {"SSH_CONNECTION": "10.0.0.7 50312 10.0.0.2 22", "USER": "root", "SUDO_USER": "ann"}

    assert dashboard.forwarding(environ, endpoint) == command
    assert dashboard.forwarding({}, endpoint) is None


def test_the_address_is_told_when_the_machine_has_no_place_for_a_browser(
    router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dashboard"]) == 0

    assert "Open it in a browser" in capsys.readouterr().err
