"""The dashboard as a real browser shows it: every panel with data, without, with errors, and the engine being down."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from standins import chromium
from standins.dashboard import EVIL, Scene, scene
from standins.dashboard_shots import DRAWN, PHONE, SCREEN, SHORT, opened, shots, size
from standins.process import PATIENCE_S
from standins.router import KEY, OTHER_KEY

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here; Debian's is `chromium`")

PANELS = ("station", "flight", "speed", "money", "share", "trouble", "budgets", "leading", "machine", "requests")
ENTER, ESCAPE, TAB = ("Enter", 13), ("Escape", 27), ("Tab", 9)


@pytest.fixture
def tab() -> Iterator[chromium.Tab]:
    with chromium.tab() as open_tab:
        yield open_tab


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("station")) as found:
        yield found


@pytest.fixture
def here(station: Scene) -> Iterator[Scene]:
    """A station with a month behind it, that tests share."""
    yield station
    station.settle()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Scene]:
    """One that a test may break."""
    with scene(tmp_path) as found:
        yield found


def texts(tab: chromium.Tab) -> dict[str, str]:
    """What each panel says."""
    return {name: tab.value(f"document.getElementById('{name}').innerText") for name in PANELS}


def says(tab: chromium.Tab, panel: str, text: str) -> None:
    """Wait until a panel says something."""
    tab.until(f"document.getElementById({json.dumps(panel)}).innerText.includes({json.dumps(text)})")


def focus(tab: chromium.Tab, query: str) -> None:
    tab.until(f"!!document.querySelector({json.dumps(query)})")
    tab.value(f"document.querySelector({json.dumps(query)}).focus()")


def test_every_panel_has_its_data(here: Scene, tab: chromium.Tab) -> None:
    here.ask(OTHER_KEY)
    opened(tab, here)
    says(tab, "flight", "answering")
    says(tab, "station", "6.0 GiB")
    says(tab, "speed", "tokens a second being answered now")

    told = texts(tab)
    assert all(word in told["station"] for word in ("ready", "2 of 2", "ollama 0.34.4", "100.0 %", "32,768"))
    assert "station/gridtie/smollm2:135m" in told["flight"]
    assert "dev, dev, aider" in told["flight"]
    assert "95 of 100" in told["speed"]
    assert all(
        word in told["money"]
        for word in ("quality unknown", "electricity, assumed", "2026-11-22", "priced from tokens")
    )
    assert all(word in told["share"] for word in ("of the dollars", "of requests", "of tokens"))
    assert all(word in told["trouble"] for word in ("budget_exhausted", "unreachable", "private requests at a cloud"))
    assert all(word in told["budgets"] for word in ("clouds", "$2.50 a day", "team"))
    assert all(word in told["leading"] for word in ("ann", "ci-bot", "continue", "production"))
    assert all(word in told["machine"] for word in ("GiB of", "6.3 GiB", "4.8 %"))
    assert "answered" in told["requests"]
    assert tab.value("document.querySelectorAll('svg.plot').length") == 3
    assert tab.complaints == []


def test_nothing_of_a_client_runs_and_nothing_is_asked_of_others(here: Scene, tab: chromium.Tab) -> None:
    opened(tab, here)
    says(tab, "requests", EVIL[:20])

    assert tab.value("document.title") == "Gridtie"
    assert {url.split("/")[2] for url in tab.requests} == {f"127.0.0.1:{here.port}"}
    assert tab.complaints == []


def test_the_code_leaves_the_address_and_no_secret_is_where_scripts_read(here: Scene, tab: chromium.Tab) -> None:
    address = here.sign_in()
    tab.open(address)
    tab.until(DRAWN)

    assert tab.value("location.href") == f"{here.url}/dashboard"
    assert tab.value("document.cookie + localStorage.length + sessionStorage.length") == "00"
    cookies = tab.ask("Network.getCookies", urls=[f"{here.url}/dashboard"])["cookies"]
    assert [(each["httpOnly"], each["sameSite"], each["path"]) for each in cookies] == [(True, "Strict", "/dashboard")]
    # The address opens nothing a second time, and ends what it has opened: it may have been seen.
    tab.open("about:blank")
    tab.open(address)
    tab.until("!document.getElementById('sign-in').hidden")
    assert "it was used" in tab.value("document.getElementById('code-wrong').innerText")


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (360, False), (360, True)])
def test_it_fits_its_screen_and_is_told_from_its_ground(here: Scene, tab: chromium.Tab, width: int, dark: bool) -> None:
    """Contrast as WCAG counts it: 4.5 for text, 3 for what a plot is drawn with."""
    here.ask(OTHER_KEY)
    opened(tab, here, width=width, dark=dark)
    says(tab, "flight", "answering")

    assert tab.value("document.documentElement.scrollWidth") <= width
    found = tab.contrast()
    assert found["text"] >= 4.5
    assert found["labels"] >= 4.5
    assert found["marks"] >= 3


def test_a_station_that_was_asked_nothing_yet_says_so_in_every_panel(tmp_path: Path, tab: chromium.Tab) -> None:
    with scene(tmp_path, None, models=False, routing=_plain()) as new:
        opened(tab, new)

        told = texts(tab)
        assert "here/small" in told["station"]
        assert "Nothing is under way." in told["flight"]
        assert "No answer in this period." in told["speed"]
        assert "No request of this period is metered" in told["money"]
        assert "Nothing was asked" in told["share"]
        assert "Everything was answered whole." in told["trouble"]
        assert "No budget is set" in told["budgets"]
        assert "Nothing was asked" in told["leading"]
        says(tab, "machine", "GiB of")
        assert "No request of this period is like that." in told["requests"]
        assert "NaN" not in "".join(told.values())
        assert tab.complaints == []


def _plain() -> str:
    return (
        "version: 1\nproviders:\n  here: {type: openai, base_url: 'http://127.0.0.1:9/v1', locality: local}\n"
        "models:\n  coder: {local: here/small}\nrules:\n  - {name: all, use: [local]}\n"
    )


def test_an_engine_that_is_down_is_seen_within_seconds_and_again_when_it_is_up(own: Scene, tab: chromium.Tab) -> None:
    opened(tab, own)
    says(tab, "station", "2 of 2")

    own.engine.well = False
    says(tab, "station", "cannot serve")
    told = texts(tab)
    assert "does not answer" in told["station"]
    assert "HTTP 500" in told["station"]
    assert "cannot serve" in tab.value("document.getElementById('state').innerText")
    # What was is still town.
    assert "quality unknown" in told["money"]

    own.engine.well = True
    says(tab, "station", "2 of 2")
    assert tab.value("document.getElementById('state').innerText") == "Live."
    assert tab.complaints == []


def test_a_ledger_that_cannot_be_read_is_said_in_its_panels_and_what_was_drawn_stays(
    own: Scene, tab: chromium.Tab, tmp_path: Path
) -> None:
    opened(tab, own)
    ledger = tmp_path / "state" / "ledger" / "ledger.sqlite"
    away = ledger.with_name("away.sqlite")
    tab.value("document.querySelector('[value=week]').click()")
    says(tab, "money", "quality unknown")
    shutil.move(ledger, away)
    try:
        tab.value("document.querySelector('[value=month]').click()")
        for panel in ("money", "share", "trouble", "leading", "speed", "requests"):
            says(tab, panel, "the ledger cannot be read")
        assert "quality unknown" in texts(tab)["money"]
        # What is so now does not need it.
        says(tab, "station", "2 of 2")
    finally:
        shutil.move(away, ledger)


def test_a_router_that_is_gone_is_said(own: Scene, tab: chromium.Tab) -> None:
    opened(tab, own)
    own.child.terminate()
    own.child.wait(PATIENCE_S)

    tab.until("document.getElementById('state').innerText.startsWith('Not live')")
    assert "asked again in" in tab.value("document.getElementById('state').innerText")


def test_a_request_is_ended_by_the_keyboard_and_asked_for_twice(here: Scene, tab: chromium.Tab) -> None:
    thread = here.ask(OTHER_KEY)
    opened(tab, here, OTHER_KEY)
    focus(tab, "[data-end]")

    tab.press(*ENTER, text="\r")
    says(tab, "flight", "Really end it")
    # Drawn anew meanwhile, and the focus stays where it was.
    time.sleep(1.5)
    assert tab.value("document.activeElement.dataset.end")
    tab.press(*ENTER, text="\r")

    says(tab, "flight-said", "was ended")
    says(tab, "flight", "Nothing is under way.")
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    says(tab, "requests", "cancelled")


def test_a_key_that_is_held_down_ends_nothing(here: Scene, tab: chromium.Tab) -> None:
    here.ask(OTHER_KEY)
    opened(tab, here, OTHER_KEY)
    focus(tab, "[data-end]")

    tab.value("(button => { button.click(); button.click(); button.click() })(document.querySelector('[data-end]'))")

    says(tab, "flight", "Really end it")
    time.sleep(1.5)
    says(tab, "flight", "answering")


def test_whoever_looks_elsewhere_has_not_ended_it(here: Scene, tab: chromium.Tab) -> None:
    here.ask(OTHER_KEY)
    opened(tab, here, OTHER_KEY)
    focus(tab, "[data-end]")
    tab.press(*ENTER, text="\r")
    says(tab, "flight", "Really end it")

    tab.press(*TAB)

    tab.until("!document.getElementById('flight').innerText.includes('Really')")
    says(tab, "flight", "answering")


def test_a_request_is_told_in_the_words_of_route_explain(here: Scene, tab: chromium.Tab) -> None:
    opened(tab, here)
    focus(tab, "#requests tbody tr:nth-child(2) [data-request]")
    tab.press(*ENTER, text="\r")
    tab.until("document.getElementById('request').open")
    says(tab, "request-told", "The decision")

    told = tab.value("document.getElementById('request-told').innerText")
    assert "attempt 1" in told
    assert "uses local" in told or "uses cloud" in told
    assert "By the rules and the state of now" in told
    tab.press(*ESCAPE)
    tab.until("!document.getElementById('request').open")
    # Back to where it was opened.
    assert tab.value("document.activeElement.dataset.request")


def test_filters_choose_and_files_have_the_same_rows(here: Scene, tab: chromium.Tab) -> None:
    opened(tab, here)
    tab.value("document.querySelector('[value=month]').click()")
    tab.value(
        "(select => { select.value = 'refused'; select.dispatchEvent(new Event('input', {bubbles: true})) })"
        "(document.querySelector('[name=outcome]'))"
    )
    tab.until(
        "[...document.querySelectorAll('#requests tbody tr')].length > 3 && "
        "[...document.querySelectorAll('#requests tbody tr')].every(row => row.innerText.includes('refused'))"
    )

    href = tab.value("document.getElementById('as-csv').href")
    (cookie,) = tab.ask("Network.getCookies", urls=[f"{here.url}/dashboard"])["cookies"]
    file = httpx.get(href, cookies={cookie["name"]: cookie["value"]}, trust_env=False, timeout=PATIENCE_S)
    lines = file.text.splitlines()
    assert len(lines) - 1 == len(file.text.split("refused")) - 1 > 3
    assert len(lines) - 1 >= tab.value("document.querySelectorAll('#requests tbody tr').length")


def test_a_keys_holder_sees_his_own_and_an_admin_all(here: Scene, tab: chromium.Tab) -> None:
    here.ask(KEY)
    opened(tab, here, OTHER_KEY)
    says(tab, "who", "sees his own")
    told = texts(tab)

    assert "Nothing is under way." in told["flight"]
    assert not any(name in "".join(told.values()) for name in ("ann", "ci-bot"))
    assert "Your key has no budget of its own." in told["budgets"]
    assert tab.complaints == []


def test_a_revoked_key_ends_what_is_shown(own: Scene, tab: chromium.Tab) -> None:
    opened(tab, own, OTHER_KEY)
    path = own.config / "keys.json"
    document = json.loads(path.read_text())
    document["keys"] = [row for row in document["keys"] if row["name"] != "dev"]
    path.write_text(json.dumps(document))

    tab.until("!document.getElementById('sign-in').hidden")
    assert tab.value("document.getElementById('panels').hidden")
    # Whoever has another key signs in where he is.
    code = own.sign_in(KEY)
    tab.value(f"document.getElementById('code').value = {json.dumps(code)}")
    focus(tab, "#code")
    tab.press(*ENTER, text="\r")
    tab.until("!document.getElementById('panels').hidden")
    says(tab, "who", "sees all")


def test_another_address_in_the_same_tab_signs_in_anew(here: Scene, tab: chromium.Tab) -> None:
    opened(tab, here, OTHER_KEY)
    says(tab, "who", "sees his own")

    tab.value(f"location.hash = {json.dumps(here.sign_in(KEY).partition('#')[2])}")

    says(tab, "who", "sees all")
    assert tab.value("location.hash") == ""
    says(tab, "leading", "ann")


def test_nothing_of_who_was_signed_in_is_left_for_who_comes_next(here: Scene, tab: chromium.Tab) -> None:
    opened(tab, here, KEY)
    says(tab, "leading", "ci-bot")
    all_of_it = "document.documentElement.textContent"
    assert "ci-bot" in tab.value(all_of_it)

    tab.value("document.getElementById('sign-out').click()")
    tab.until("!document.getElementById('sign-in').hidden")

    assert "ci-bot" not in tab.value(all_of_it)
    tab.value(f"location.hash = {json.dumps(here.sign_in(OTHER_KEY).partition('#')[2])}")
    says(tab, "who", "sees his own")
    tab.until(DRAWN)
    assert "ci-bot" not in tab.value(all_of_it)
    assert [line for line in tab.complaints if "401" not in line] == []


def test_a_page_that_nobody_sees_asks_nothing(here: Scene, tab: chromium.Tab) -> None:
    opened(tab, here)
    says(tab, "flight", "connections")
    tab.value(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    time.sleep(0.5)
    before = len(tab.requests)
    still = "document.getElementById('station').innerText"
    shown = tab.value(still)
    time.sleep(2.5)
    assert tab.value(still) == shown
    assert len(tab.requests) == before
    tab.value("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    tab.until(f"{still} !== {json.dumps(shown)}")


def test_who_hears_the_page_finds_his_way(here: Scene, tab: chromium.Tab) -> None:
    """As a screen reader gets it: landmarks, a heading for each panel, names for all that can be used."""
    here.ask(OTHER_KEY)
    opened(tab, here)
    says(tab, "flight", "answering")
    nodes = [node for node in tab.ask("Accessibility.getFullAXTree")["nodes"] if not node.get("ignored")]

    def named(role: str) -> list[str]:
        return [str(node.get("name", {}).get("value", "")) for node in nodes if node["role"].get("value") == role]

    assert named("main")
    assert named("banner")
    assert named("search") == ["Requests"]
    regions = {"Station", "In flight", "Speed", "Money", "Fallbacks and refusals", "Budgets", "Machine", "Requests"}
    assert regions <= set(named("region"))
    assert regions <= set(named("heading"))
    for role in ("button", "link", "combobox", "checkbox", "radio", "searchbox", "image"):
        assert named(role), role
        assert all(named(role)), role
    assert any(name.startswith("End request") for name in named("button"))
    assert len(named("columnheader")) > 20
    assert len(named("rowheader")) > 10
    # What is redrawn each second is not read out: only what changed for the person is.
    live = "[...document.querySelectorAll('[aria-live], [role=status]')].map(each => each.id)"
    assert tab.value(live) == ["state", "flight-said"]


def test_the_page_is_there_before_its_history(here: Scene, tab: chromium.Tab) -> None:
    """What is so now does not wait for what was."""
    tab.ask("Network.setBlockedURLs", urls=["*/dashboard/history*", "*/dashboard/requests*"])
    tab.open(here.sign_in())

    says(tab, "station", "2 of 2")
    assert tab.value("document.querySelectorAll('section h2').length") == len(PANELS)


def test_pictures_show_what_they_are_called_by(tmp_path: Path) -> None:
    """Those of docs/pictures, which scripts/dashboard_pictures.py makes in this way."""
    found: dict[str, Any] = dict(shots(tmp_path))

    others = ("dark", "phone", "empty", "failing")
    assert list(found) == ["dashboard.png", *(f"dashboard/{name}.png" for name in others)]
    for name, png in found.items():
        assert size(png) == (PHONE if "phone" in name else SHORT if "/" in name else SCREEN)
        assert 5_000 < len(png) < 40_000, name
    assert len(set(found.values())) == len(found)
