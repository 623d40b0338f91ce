"""A model answers once before it counts; one that cannot is named with the engine's words and no longer offered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.catalogue import Catalogue
from gridtie.host.models import proof
from gridtie.host.models.install import InstallError
from gridtie.host.models.proof import at_host
from gridtie.host.router import Unreachable
from standins import httpd, model_registry
from standins.model_station import ModelStation


@pytest.fixture
def engine() -> Iterator[httpd.Httpd]:
    with httpd.serving() as server:
        server.answers["/api/version"] = (200, {"version": "0.32.15"})
        server.answers["/api/generate"] = (200, {"response": " there", "eval_count": 4})
        server.answers["/health"] = (200, {"status": "ok"})
        server.answers["/completion"] = (200, {"content": " there", "tokens_predicted": 4})
        yield server


@pytest.fixture
def station(tmp_path: Path, engine: httpd.Httpd) -> Iterator[ModelStation]:
    with model_registry.serving() as registry:
        found = ModelStation(tmp_path, registry)
        found.order = replace(found.order, reach=lambda url: engine.url, accept_s=0)
        yield found


def asked(engine: httpd.Httpd, path: str = "/api/generate") -> list[str]:
    return [each.body.get("model", each.body["prompt"]) for each in engine.asked if each.path == path]


def test_every_new_model_is_asked_once(station: ModelStation, engine: httpd.Httpd) -> None:
    station.provision()
    assert asked(engine) == ["gridtie/coder:1b", "gridtie/probe:1m"]

    engine.asked.clear()
    assert not station.provision().changed and not engine.asked


def test_a_model_that_is_run_in_another_way_is_asked_again(station: ModelStation, engine: httpd.Httpd) -> None:
    station.provision()
    engine.asked.clear()
    station.provision(parallel=2)

    assert asked(engine) == ["gridtie/coder:1b", "gridtie/probe:1m"]


def test_one_that_lists_and_does_not_run_is_an_error_and_is_not_offered(
    station: ModelStation, engine: httpd.Httpd
) -> None:
    engine.answers["/api/generate"] = (500, {"error": "unknown model architecture: 'odd'"})

    with pytest.raises(InstallError, match=r"gridtie/coder:1b is whole .* does not run: unknown model architecture"):
        station.provision()
    assert list(station.store().names()) == ["coder:1b"]
    assert station.store().blob(station.manifest.model.digest).is_file()


@pytest.mark.parametrize(
    ("kind", "path", "answer"),
    [
        ("ollama", "/api/embed", {"embeddings": [[0.6, 0.8]], "prompt_eval_count": 3}),
        ("embedded", "/v1/embeddings", {"data": [{"embedding": [0.6, 0.8]}], "usage": {"total_tokens": 3}}),
    ],
)
def test_a_model_for_embeddings_is_asked_for_a_vector(
    station: ModelStation, engine: httpd.Httpd, kind: str, path: str, answer: dict[str, Any]
) -> None:
    coder = replace(station.order.catalogue.models["coder:1b"], capabilities=("embeddings",))
    engine.answers[path] = (200, answer)
    catalogue = Catalogue({**station.order.catalogue.models, coder.name: coder})
    station.provision(engine=kind, catalogue=catalogue, models=["coder:1b"])

    assert [each.body["input"] for each in engine.asked if each.path == path] == ["Hello"]
    engine.answers[path] = (400, {"error": "this model does not support embeddings"})
    with pytest.raises(InstallError, match=r"coder:1b .* does not support embeddings"):
        station.provision(engine=kind, catalogue=catalogue, models=["coder:1b"], deep=True)


def test_the_next_run_tries_again_and_fetches_nothing(station: ModelStation, engine: httpd.Httpd) -> None:
    good = engine.answers["/api/generate"]
    engine.answers["/api/generate"] = (500, {"error": "out of memory"})
    with pytest.raises(InstallError):
        station.provision()
    station.registry.requests.clear()
    engine.answers["/api/generate"] = good

    assert station.provision().changed and not station.registry.requests
    assert not station.provision().changed


@pytest.mark.parametrize("answer", [(200, {"response": "", "eval_count": 0}), (200, b"<html>"), (404, b"")])
def test_an_answer_without_tokens_is_none(
    station: ModelStation, engine: httpd.Httpd, answer: tuple[int, object]
) -> None:
    engine.answers["/api/generate"] = answer

    with pytest.raises(InstallError, match="does not run"):
        station.provision()


def test_an_engine_that_cannot_be_reached_is_said_once_and_asked_with_the_next_deep_look(
    station: ModelStation, engine: httpd.Httpd
) -> None:
    done = station.provision(reach=lambda url: "http://127.0.0.1:9")
    assert "gridtie/coder:1b could not be asked for an answer from here" in done.remarks[-2]

    assert not station.provision().remarks and not asked(engine)
    station.provision(deep=True)
    assert asked(engine) == ["gridtie/coder:1b", "gridtie/probe:1m"]


def test_an_engine_that_this_host_has_no_way_to_is_a_remark_with_the_reason(
    station: ModelStation, engine: httpd.Httpd
) -> None:
    def nowhere(url: str) -> str:
        raise Unreachable("it runs in a rootless Docker")

    done = station.provision(reach=nowhere)

    assert done.remarks[-1].endswith("could not be asked for an answer from here: it runs in a rootless Docker")
    assert not engine.asked and not station.provision().remarks


def test_check_mode_asks_nobody(station: ModelStation, engine: httpd.Httpd) -> None:
    station.provision(check=True)

    assert not engine.asked


def test_each_server_of_the_embedded_engine_is_waited_for_and_asked(
    station: ModelStation, engine: httpd.Httpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "LISTEN_S", 0.0)
    monkeypatch.setattr(proof, "LOAD_S", 0.0)
    station.provision(engine="embedded")
    assert asked(engine, "/completion") == ["Hello", "Hello"]

    engine.answers["/health"] = (503, {"error": {"message": "Loading model"}})
    with pytest.raises(InstallError, match="its server is not ready after 0 s"):
        station.provision(engine="embedded", parallel=2)
    with pytest.raises(InstallError, match="its server has not started within 0 s"):
        station.provision(engine="embedded", parallel=2, reach=lambda url: "http://127.0.0.1:9")


def test_a_containers_address_takes_the_place_of_its_name() -> None:
    assert at_host("http://engine:8081", "172.18.0.2") == "http://172.18.0.2:8081"
