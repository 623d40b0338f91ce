"""Which engine runs, how, and from where: what was asked, what is reachable, what is here already."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.module_utils.gridtie_choice import Unmet, choose

OK = {"state": "ok", "detail": "HTTP 200"}
GONE = {"state": "unreachable", "detail": "Name or service not known"}
BROKEN = {"state": "error", "detail": "HTTP 503"}
PACKAGES = {"apt": OK, "pypi": OK, "go": OK}
EVERYTHING = {**PACKAGES, "registry": OK, "release": OK}
IMAGES_ONLY = {**PACKAGES, "registry": OK, "release": GONE}
RESTRICTED = {**PACKAGES, "registry": GONE, "release": GONE}
NOWHERE = dict.fromkeys(("apt", "pypi", "go", "registry", "release", "mirror"), GONE)

PLAIN: dict[str, Any] = {"init": "other"}
SYSTEMD: dict[str, Any] = {"init": "systemd", "runs_compiled": True}
# Its C library or its Python may be too old for what is compiled.
OTHER_SYSTEM: dict[str, Any] = {"init": "systemd", "runs_compiled": False}
SERVICE = {
    "unit": "ollama.service",
    "url": "http://127.0.0.1:11434",
    "version": "0.32.15",
    "user": "ollama",
    "store": "/usr/share/ollama/.ollama/models",
    "exposed": False,
}
WITH_SERVICE = {**SYSTEMD, "ollama": SERVICE}
WITH_OLD_SERVICE = {**SYSTEMD, "ollama": {**SERVICE, "version": "0.24.0"}}
BY_HAND = {**SYSTEMD, "own_ollama": True}

IN_CONTAINER = {"kind": "ollama", "mode": "container", "source": "release", "why": "a registry then"}
AS_SERVICE = {"kind": "ollama", "mode": "native", "source": "packages", "why": "no release page then"}
ADOPTED = {"kind": "ollama", "mode": "native", "source": "adopted", "adopted": True, "unit": "ollama.service"}
EMBEDDED = {"kind": "embedded", "mode": "container", "source": "packages", "why": "no Go modules then"}


def asked(**changes: Any) -> dict[str, Any]:
    return {"engine": "auto", "mode": "auto", "source": "auto", "mirror_url": "", "networks": [], **changes}


def chosen(choice: dict[str, Any]) -> tuple[str, str, str]:
    return choice["engine"], choice["mode"], choice["source"]


VLLM = {"kind": "vllm", "mode": "container", "source": "packages", "why": "gridtie_engine was vllm"}
CARDS = ["NVIDIA H200"]


def vllm(wanted: dict[str, Any], stored: Any, reach: Any, cards: list[str]) -> dict[str, Any]:
    return choose(wanted, stored, reach, cards, PLAIN, cards)


def test_vllm_router_stands_before_the_pool_and_stays_where_it_was_asked_for() -> None:
    found = choose({**asked(engine="vllm_router"), "pool": ["gpu-1", "gpu-2"]}, {}, EVERYTHING)

    assert chosen(found) == ("vllm_router", "container", "packages")
    assert found["why"] == "gridtie_engine is vllm_router, in front of gpu-1, gpu-2"
    kept = choose({**asked(), "pool": ["gpu-1"]}, {"kind": "vllm_router", "mode": "container"}, NOWHERE)
    assert (kept["engine"], kept["kept"]) == ("vllm_router", True)


@pytest.mark.parametrize(
    ("wanted", "reach", "said"),
    [
        ({**asked(engine="vllm_router"), "pool": []}, EVERYTHING, "gridtie_pool names nobody that it could ask"),
        ({**asked(engine="vllm_router", mode="native"), "pool": ["a"]}, EVERYTHING, "runs in a container only"),
        (
            {**asked(engine="vllm_router"), "pool": ["a"]},
            {**EVERYTHING, "pypi": GONE},
            "no answer from the Python package index",
        ),
    ],
)
def test_vllm_router_that_cannot_be_is_told_before_anything_is_changed(wanted: Any, reach: Any, said: str) -> None:
    with pytest.raises(Unmet, match=said):
        choose(wanted, {}, reach)


@pytest.mark.parametrize(("cards", "source"), [([], "packages"), (CARDS, "release")])
def test_vllm_is_upstreams_image_where_there_is_a_card_for_it(cards: list[str], source: str) -> None:
    assert chosen(vllm(asked(engine="vllm"), {}, EVERYTHING, cards)) == ("vllm", "container", source)


def test_vllm_is_never_taken_unasked_and_stays_where_it_was_asked_for() -> None:
    assert vllm(asked(), {}, EVERYTHING, CARDS)["engine"] == "ollama"
    assert chosen(vllm(asked(), VLLM, NOWHERE, CARDS)) == ("vllm", "container", "packages")


@pytest.mark.parametrize(
    ("wanted", "reach", "cards", "said"),
    [
        (asked(engine="vllm", mode="native"), EVERYTHING, [], "vLLM runs in a container only"),
        (asked(engine="vllm"), {**EVERYTHING, "pypi": GONE}, [], "no answer from the Python package index"),
        (asked(engine="vllm"), {**EVERYTHING, "registry": GONE}, CARDS, "the container registry does not answer"),
        (
            asked(engine="vllm", mirror_url="http://m"),
            {**EVERYTHING, "mirror": GONE},
            CARDS,
            "the mirror does not answer",
        ),
    ],
)
def test_a_vllm_that_cannot_be_had_is_an_error_and_no_other_engine(
    wanted: dict[str, Any], reach: dict[str, Any], cards: list[str], said: str
) -> None:
    with pytest.raises(Unmet, match=said):
        vllm(wanted, {}, reach, cards)


def test_vllm_needs_no_go_modules() -> None:
    assert vllm(asked(engine="vllm"), {}, {**EVERYTHING, "go": GONE}, [])["source"] == "packages"


# -- a first run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "reach", "host", "engine", "mode", "source"),
    [
        pytest.param(asked(), EVERYTHING, PLAIN, "ollama", "container", "release", id="a registry gives the image"),
        pytest.param(asked(), RESTRICTED, PLAIN, "ollama", "container", "packages", id="without one it is compiled"),
        pytest.param(
            asked(), {**RESTRICTED, "go": GONE}, PLAIN, "embedded", "container", "packages", id="without Go modules"
        ),
        pytest.param(
            asked(), {"apt": OK, "pypi": OK, "registry": GONE}, PLAIN, "ollama", "container", "packages",
            id="an unknown Go proxy is tried",
        ),
        pytest.param(
            asked(engine="embedded"), EVERYTHING, SYSTEMD, "embedded", "container", "packages",
            id="the embedded engine is never a service",
        ),
        pytest.param(
            asked(source="packages"), EVERYTHING, PLAIN, "ollama", "container", "packages", id="an explicit source"
        ),
        pytest.param(
            asked(mirror_url="https://mirror"), {**RESTRICTED, "mirror": OK}, PLAIN, "ollama", "container", "release",
            id="a mirror of images",
        ),
        pytest.param(asked(), EVERYTHING, SYSTEMD, "ollama", "native", "release", id="systemd runs the archive"),
        pytest.param(
            asked(), {**EVERYTHING, "registry": GONE}, SYSTEMD, "ollama", "native", "release", id="no registry needed"
        ),
        pytest.param(asked(), RESTRICTED, SYSTEMD, "ollama", "native", "packages", id="a service that is compiled"),
        pytest.param(
            asked(), IMAGES_ONLY, SYSTEMD, "ollama", "container", "release",
            id="upstream's image rather than a compiled one",
        ),
        pytest.param(
            asked(), {**IMAGES_ONLY, "release": BROKEN}, SYSTEMD, "ollama", "container", "release",
            id="a broken release page: the image is upstream's too",
        ),
        pytest.param(
            asked(source="packages"), IMAGES_ONLY, SYSTEMD, "ollama", "native", "packages",
            id="packages as a service, whatever a registry has",
        ),
        pytest.param(
            asked(mirror_url="https://mirror"), {**IMAGES_ONLY, "mirror": OK}, SYSTEMD, "ollama", "native", "release",
            id="a mirror of archives",
        ),
        pytest.param(
            asked(mode="native", source="release"), EVERYTHING, SYSTEMD, "ollama", "native", "release",
            id="all of it explicit",
        ),
        pytest.param(asked(), EVERYTHING, OTHER_SYSTEM, "ollama", "native", "release", id="archives run anywhere"),
        pytest.param(
            asked(), RESTRICTED, OTHER_SYSTEM, "ollama", "container", "packages", id="compiled for another system"
        ),
        pytest.param(
            asked(source="packages"), EVERYTHING, OTHER_SYSTEM, "ollama", "container", "packages",
            id="packages on an older system",
        ),
        pytest.param(
            asked(mode="container"), EVERYTHING, SYSTEMD, "ollama", "container", "release", id="an explicit container"
        ),
        pytest.param(
            asked(), EVERYTHING, {**SYSTEMD, "confined_docker": True}, "ollama", "container", "release",
            id="a rootless Docker or Docker Desktop",
        ),
        pytest.param(
            asked(networks=["ci"]), EVERYTHING, SYSTEMD, "ollama", "container", "release", id="networks for the router"
        ),
        pytest.param(asked(), EVERYTHING, BY_HAND, "ollama", "container", "release", id="an Ollama run by hand"),
        pytest.param(
            asked(), {**RESTRICTED, "go": GONE}, SYSTEMD, "embedded", "container", "packages",
            id="without Go modules on systemd",
        ),
    ],
)  # fmt: skip
def test_auto_takes_the_best_that_can_be_had(
    wanted: dict[str, Any], reach: dict[str, Any], host: dict[str, Any], engine: str, mode: str, source: str
) -> None:
    assert chosen(choose(wanted, {}, reach, host=host)) == (engine, mode, source)


@pytest.mark.parametrize(
    ("wanted", "reach", "host", "says"),
    [
        pytest.param(asked(mode="native"), EVERYTHING, PLAIN, "not run by systemd", id="native without systemd"),
        pytest.param(
            asked(mode="native"), EVERYTHING, {**SYSTEMD, "confined_docker": True}, "no way to a service",
            id="native beside a person's own Docker",
        ),
        pytest.param(
            asked(mode="native", networks=["ci"]), EVERYTHING, SYSTEMD, "gridtie_networks", id="native with networks"
        ),
        pytest.param(
            asked(mode="native"), EVERYTHING, WITH_OLD_SERVICE, "0.24.0 of ollama.service", id="beside an old one"
        ),
        pytest.param(
            asked(mode="native", engine="embedded"), EVERYTHING, SYSTEMD, "in a container only", id="embedded"
        ),
        pytest.param(
            asked(mode="native", source="release"), IMAGES_ONLY, SYSTEMD, "Ollama's release page does not answer",
            id="native from a release page that is gone",
        ),
        pytest.param(
            asked(mode="native"), RESTRICTED, OTHER_SYSTEM, "on Debian 12 and 13 and", id="a service on another system"
        ),
        pytest.param(
            asked(mode="native", source="packages"), EVERYTHING, OTHER_SYSTEM, "on Debian 12 and 13 and",
            id="a service from packages on another system",
        ),
        pytest.param(
            asked(), {**RESTRICTED, "release": BROKEN}, OTHER_SYSTEM, "release page answers with an error",
            id="a broken release page on an older system",
        ),
        pytest.param(
            asked(mode="native"), NOWHERE, SYSTEMD, "no answer from", id="native, and nothing else may stand in"
        ),
        pytest.param(
            asked(source="release"), RESTRICTED, PLAIN, "gridtie_ollama_source is release", id="release from nowhere"
        ),
        pytest.param(
            asked(engine="ollama"), {**RESTRICTED, "go": GONE}, PLAIN, "the Go module proxy", id="ollama from nowhere"
        ),
        pytest.param(
            asked(), {**PACKAGES, "registry": BROKEN}, PLAIN, "registry answers with an error", id="a broken registry"
        ),
        pytest.param(
            asked(), {**RESTRICTED, "release": BROKEN}, SYSTEMD, "release page answers with an error",
            id="a broken release page",
        ),
        pytest.param(
            asked(mirror_url="https://mirror"), {**EVERYTHING, "mirror": BROKEN}, SYSTEMD, "the mirror answers with",
            id="a broken mirror",
        ),
        pytest.param(asked(), NOWHERE, PLAIN, "no answer from", id="no network at all"),
    ],
)  # fmt: skip
def test_what_was_asked_and_cannot_be_had_is_an_error_not_a_switch(
    wanted: dict[str, Any], reach: dict[str, Any], host: dict[str, Any], says: str
) -> None:
    with pytest.raises(Unmet, match=says) as raised:
        choose(wanted, {}, reach, host=host)
    assert raised.value.fix


def test_a_gpu_that_will_lie_idle_is_named() -> None:
    choice = choose(asked(), {}, RESTRICTED, ["NVIDIA L4"])

    assert "NVIDIA L4 stays idle" in choice["why"]


# -- an Ollama that was here before -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [asked(), asked(engine="ollama"), asked(mode="native")])
def test_a_service_that_is_an_ollama_is_used_as_it_is_whatever_is_reachable(wanted: dict[str, Any]) -> None:
    choice = choose(wanted, {}, NOWHERE, host=WITH_SERVICE)

    assert (*chosen(choice), choice["kept"]) == ("ollama", "native", "adopted", False)
    assert choice["adopted"] == SERVICE


@pytest.mark.parametrize(
    ("version", "adopted"),
    [("0.30.0", True), ("0.30.0-rc1", True), ("1.0.0", True), ("0.29.9", False), ("0.9.1", False), ("0.0.0", False)],
)
def test_one_that_cuts_what_does_not_fit_is_left_alone_with_a_container_beside_it(version: str, adopted: bool) -> None:
    host = {**SYSTEMD, "ollama": {**SERVICE, "version": version}}

    choice = choose(asked(), {}, EVERYTHING, host=host)

    assert chosen(choice) == (("ollama", "native", "adopted") if adopted else ("ollama", "container", "release"))


@pytest.mark.parametrize("source", ["packages", "release"])
def test_who_names_a_source_gets_an_engine_of_the_stations_own_beside_the_service(source: str) -> None:
    choice = choose(asked(source=source), {}, EVERYTHING, host=WITH_SERVICE)

    assert (*chosen(choice), choice["adopted"]) == ("ollama", "container", source, {})


@pytest.mark.parametrize(
    "obstacle", [{"confined_docker": True}, {"init": "other"}], ids=["a person's own Docker", "no systemd"]
)
def test_a_service_that_the_router_cannot_reach_is_left_alone(obstacle: dict[str, Any]) -> None:
    choice = choose(asked(), {}, EVERYTHING, host={**WITH_SERVICE, **obstacle})

    assert chosen(choice) == ("ollama", "container", "release")


def test_an_adopted_service_stays_the_engine() -> None:
    choice = choose(asked(), ADOPTED, NOWHERE, host=WITH_SERVICE)

    assert (choice["source"], choice["kept"]) == ("adopted", True)


def test_where_the_adopted_service_was_taken_away_the_choice_is_made_anew() -> None:
    choice = choose(asked(), ADOPTED, EVERYTHING, host=SYSTEMD)

    assert (*chosen(choice), choice["kept"]) == ("ollama", "native", "release", False)


def test_an_adopted_service_that_only_does_not_answer_is_not_replaced() -> None:
    with pytest.raises(Unmet, match=r"ollama\.service, which is this station's engine") as raised:
        choose(asked(), ADOPTED, EVERYTHING, host={**SYSTEMD, "silent": "ollama.service"})

    assert "systemctl start ollama.service" in raised.value.fix


def test_a_container_instead_of_an_adopted_service_that_does_not_answer_is_had_by_asking() -> None:
    choice = choose(asked(mode="container"), ADOPTED, EVERYTHING, host={**SYSTEMD, "silent": "ollama.service"})

    assert (*chosen(choice), choice["kept"]) == ("ollama", "container", "release", False)


def test_an_adopted_service_that_was_replaced_by_an_old_one_is_left_alone() -> None:
    choice = choose(asked(), ADOPTED, EVERYTHING, host=WITH_OLD_SERVICE)

    assert (*chosen(choice), choice["kept"]) == ("ollama", "container", "release", False)


# -- a station that is here already -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reach", [EVERYTHING, RESTRICTED, NOWHERE, {}], ids=["all", "restricted", "nothing", "unasked"]
)
@pytest.mark.parametrize(
    "host", [PLAIN, SYSTEMD, WITH_SERVICE, BY_HAND], ids=["plain", "systemd", "service", "by hand"]
)
def test_a_container_station_stays_one_whatever_there_is_later(reach: dict[str, Any], host: dict[str, Any]) -> None:
    choice = choose(asked(), IN_CONTAINER, reach, host=host)

    assert (*chosen(choice), choice["why"], choice["kept"]) == (
        "ollama", "container", "release", "a registry then", True,
    )  # fmt: skip


@pytest.mark.parametrize("reach", [EVERYTHING, IMAGES_ONLY, NOWHERE], ids=["all", "images", "nothing"])
@pytest.mark.parametrize("mode", ["auto", "native"])
def test_a_native_station_stays_one_whatever_is_reachable_later(mode: str, reach: dict[str, Any]) -> None:
    choice = choose(asked(mode=mode), AS_SERVICE, reach, host=SYSTEMD)

    assert (*chosen(choice), choice["kept"]) == ("ollama", "native", "packages", True)


@pytest.mark.parametrize("mode", ["auto", "native"])
def test_a_native_station_does_not_go_over_to_a_service_that_came_later(mode: str) -> None:
    choice = choose(asked(mode=mode), AS_SERVICE, NOWHERE, host=WITH_SERVICE)

    assert (choice["source"], choice["adopted"]) == ("packages", {})


@pytest.mark.parametrize("stored", [AS_SERVICE, ADOPTED], ids=["own", "adopted"])
def test_what_a_native_station_cannot_have_any_more_is_an_error_not_a_switch(stored: dict[str, Any]) -> None:
    with pytest.raises(Unmet, match="engine of this station is a service, and gridtie_networks") as raised:
        choose(asked(networks=["ci"]), stored, EVERYTHING, host=WITH_SERVICE)
    assert "gridtie_engine_mode: container" in raised.value.fix


@pytest.mark.parametrize(
    ("stored", "mode", "reach", "source"),
    [
        pytest.param(IN_CONTAINER, "native", RESTRICTED, "packages", id="a service from other parts"),
        pytest.param(AS_SERVICE, "container", EVERYTHING, "release", id="a container from the image"),
        pytest.param(ADOPTED, "container", EVERYTHING, "release", id="a container beside what was adopted"),
    ],
)
def test_who_changes_the_mode_of_a_station_has_the_source_chosen_anew(
    stored: dict[str, Any], mode: str, reach: dict[str, Any], source: str
) -> None:
    choice = choose(asked(mode=mode), stored, reach, host=SYSTEMD)

    assert (*chosen(choice), choice["kept"]) == ("ollama", mode, source, False)


def test_who_makes_a_container_station_native_beside_a_service_gets_that_service() -> None:
    choice = choose(asked(mode="native"), IN_CONTAINER, EVERYTHING, host=WITH_SERVICE)

    assert (choice["source"], choice["kept"]) == ("adopted", False)


def test_who_changes_the_source_of_a_station_keeps_its_mode() -> None:
    choice = choose(asked(source="packages"), IN_CONTAINER, EVERYTHING, host=SYSTEMD)

    assert (*chosen(choice), choice["kept"]) == ("ollama", "container", "packages", False)


def test_the_source_that_a_station_has_may_be_named_without_a_network() -> None:
    choice = choose(asked(source="packages"), AS_SERVICE, NOWHERE, host=SYSTEMD)

    assert (choice["source"], choice["kept"]) == ("packages", True)


def test_a_stored_embedded_engine_gives_way_to_an_explicit_wish() -> None:
    choice = choose(asked(engine="ollama"), EMBEDDED, RESTRICTED, host=SYSTEMD)

    assert (*chosen(choice), choice["kept"]) == ("ollama", "native", "packages", False)


@pytest.mark.parametrize(("stored", "kept"), [(EMBEDDED, True), (IN_CONTAINER, False)], ids=["embedded", "ollama"])
def test_the_embedded_engine_is_kept_only_where_it_was(stored: dict[str, Any], kept: bool) -> None:
    choice = choose(asked(engine="embedded"), stored, RESTRICTED)

    assert (choice["engine"], choice["kept"]) == ("embedded", kept)


def test_a_station_with_the_embedded_engine_says_why_it_has_it() -> None:
    assert choose(asked(), EMBEDDED, EVERYTHING, host=SYSTEMD)["why"] == "no Go modules then"


MAC = {"init": "launchd", "confined_docker": True}
RELEASE = {**PACKAGES, "release": OK, "registry": OK}
OFFLINE = {**RELEASE, "release": GONE}
BREW = {"unit": "homebrew.mxcl.ollama", "url": "http://127.0.0.1:11434", "version": "0.32.3"}


@pytest.mark.parametrize(
    ("wanted", "stored", "reach", "host", "mode", "source"),
    [
        pytest.param(asked(), {}, RELEASE, MAC, "native", "release", id="upstream's archive, whatever Docker it is"),
        pytest.param(
            asked(networks=["ci"]), {}, RELEASE, MAC, "native", "release", id="the router is in a container of networks"
        ),
        pytest.param(
            asked(), {}, RELEASE, {**MAC, "own_ollama": True}, "native", "release", id="the app's does not lead to one"
        ),
        pytest.param(
            asked(mirror_url="https://mirror"), {}, {**OFFLINE, "mirror": OK}, MAC, "native", "release", id="a mirror"
        ),
        pytest.param(asked(), {}, RELEASE, {**MAC, "ollama": BREW}, "native", "adopted", id="Homebrew's is adopted"),
        pytest.param(asked(), {}, OFFLINE, {**MAC, "ollama": BREW}, "native", "adopted", id="and needs no network"),
        pytest.param(
            asked(mode="container"), {}, RELEASE, {**MAC, "ollama": BREW}, "container", "release", id="as it was asked"
        ),
        pytest.param(
            asked(), {"kind": "ollama", "mode": "container", "source": "release"}, RELEASE, MAC, "container", "release",
            id="what it came to stays",
        ),
    ],
)  # fmt: skip
def test_a_mac_runs_upstreams_ollama_with_metal(
    wanted: dict[str, Any],
    stored: dict[str, Any],
    reach: dict[str, Any],
    host: dict[str, Any],
    mode: str,
    source: str,
) -> None:
    choice = choose(wanted, stored, reach, [], host)

    assert (choice["engine"], choice["mode"], choice["source"]) == ("ollama", mode, source)


@pytest.mark.parametrize(
    ("wanted", "reach", "says"),
    [
        pytest.param(asked(source="packages"), RELEASE, "gridtie_ollama_source is packages", id="packages asked for"),
        pytest.param(
            asked(source="packages", mode="container"), RELEASE, "on a Mac Ollama is not compiled", id="in a container"
        ),
        pytest.param(asked(), OFFLINE, "Ollama's release page does not answer", id="no image, and no other engine"),
    ],
)
def test_ollama_is_never_compiled_on_a_mac(wanted: dict[str, Any], reach: dict[str, Any], says: str) -> None:
    with pytest.raises(Unmet, match=says) as raised:
        choose(wanted, {}, reach, [], MAC)
    assert "brew install ollama" in raised.value.fix


def test_an_old_ollama_of_homebrews_is_left_alone() -> None:
    choice = choose(asked(), {}, RELEASE, [], {**MAC, "ollama": {**BREW, "version": "0.24.0"}})

    assert (choice["mode"], choice["source"]) == ("native", "release")


def test_how_to_start_homebrews_is_told_in_words_of_a_mac() -> None:
    with pytest.raises(Unmet, match="does not answer") as raised:
        choose(asked(), ADOPTED, RELEASE, [], {**MAC, "silent": "homebrew.mxcl.ollama"})

    assert "brew services start ollama" in raised.value.fix
    assert "systemctl" not in raised.value.fix


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (PLAIN, "not run by systemd"),
        (BY_HAND, "not the station's has the port"),
        (OTHER_SYSTEM, "does not run on this"),
    ],
    ids=["no systemd", "run by hand", "another system"],
)
def test_auto_says_why_it_means_a_container(host: dict[str, Any], says: str) -> None:
    assert says in choose(asked(), {}, RESTRICTED, host=host)["why"]
    assert says not in choose(asked(mode="container"), {}, RESTRICTED, host=host)["why"]
