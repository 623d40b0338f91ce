"""Which engine runs: what was asked, what is reachable, what is here already."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.module_utils.gridtie_choice import Unmet, choose

OK = {"state": "ok", "detail": "HTTP 200"}
GONE = {"state": "unreachable", "detail": "Name or service not known"}
BROKEN = {"state": "error", "detail": "HTTP 503"}
PACKAGES = {"apt": OK, "pypi": OK, "go": OK}
EVERYTHING = {**PACKAGES, "registry": OK}
RESTRICTED = {**PACKAGES, "registry": GONE}


def asked(**changes: str) -> dict[str, Any]:
    return {"engine": "auto", "mode": "auto", "source": "auto", "mirror_url": "", **changes}


@pytest.mark.parametrize(
    ("wanted", "reach", "engine", "source"),
    [
        pytest.param(asked(), EVERYTHING, "ollama", "release", id="a registry gives the pinned image"),
        pytest.param(asked(), RESTRICTED, "ollama", "packages", id="without a registry Ollama is compiled"),
        pytest.param(
            asked(), {**RESTRICTED, "go": GONE}, "embedded", "packages", id="without Go modules the other engine runs"
        ),
        pytest.param(
            asked(), {"apt": OK, "pypi": OK, "registry": GONE}, "ollama", "packages", id="an unknown Go proxy is tried"
        ),
        pytest.param(asked(engine="embedded"), EVERYTHING, "embedded", "packages", id="an explicit engine is taken"),
        pytest.param(asked(source="packages"), EVERYTHING, "ollama", "packages", id="an explicit source is taken"),
        pytest.param(
            asked(mirror_url="https://mirror"),
            {**RESTRICTED, "mirror": OK},
            "ollama",
            "release",
            id="a mirror is upstream",
        ),
    ],
)
def test_auto_takes_ollama_wherever_it_can_be_had(
    wanted: dict[str, Any], reach: dict[str, Any], engine: str, source: str
) -> None:
    choice = choose(wanted, {}, reach)

    assert (choice["engine"], choice["source"]) == (engine, source)


@pytest.mark.parametrize(
    ("wanted", "reach", "says"),
    [
        pytest.param(asked(mode="native"), EVERYTHING, "containers only", id="native mode"),
        pytest.param(
            asked(source="release"), RESTRICTED, "gridtie_ollama_source is release", id="release without registry"
        ),
        pytest.param(
            asked(engine="ollama"), {**RESTRICTED, "go": GONE}, "the Go module proxy", id="ollama from nowhere"
        ),
        pytest.param(
            asked(), {**PACKAGES, "registry": BROKEN}, "answers with an error", id="a registry that is broken"
        ),
        pytest.param(
            asked(), {"apt": GONE, "pypi": GONE, "go": GONE, "registry": GONE}, "no answer from", id="no network at all"
        ),
    ],
)
def test_what_was_asked_and_cannot_be_had_is_an_error_not_a_switch(
    wanted: dict[str, Any], reach: dict[str, Any], says: str
) -> None:
    with pytest.raises(Unmet, match=says) as raised:
        choose(wanted, {}, reach)
    assert raised.value.fix


@pytest.mark.parametrize("reach", [EVERYTHING, RESTRICTED, {}], ids=["everything", "restricted", "no network"])
def test_what_auto_came_to_stays_whatever_is_reachable_later(reach: dict[str, Any]) -> None:
    stored = {"kind": "ollama", "source": "packages", "why": "no registry then"}

    choice = choose(asked(), stored, reach)

    assert (choice["source"], choice["why"], choice["kept"]) == ("packages", "no registry then", True)


def test_a_stored_embedded_engine_gives_way_to_an_explicit_wish() -> None:
    choice = choose(asked(engine="ollama"), {"kind": "embedded", "source": "packages"}, RESTRICTED)

    assert (choice["engine"], choice["kept"]) == ("ollama", False)


def test_a_gpu_that_will_lie_idle_is_named() -> None:
    choice = choose(asked(), {}, RESTRICTED, ["NVIDIA L4"])

    assert "NVIDIA L4 stays idle" in choice["why"]
