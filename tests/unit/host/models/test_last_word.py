"""Before a model is fetched, and after an upgrade, the station's own engine says what it takes, or that it cannot."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.host.catalogue import Catalogue, OllamaSource
from gridtie.host.fit.memory import MIB, Need, Settings, need_of_file
from gridtie.host.models.added import Added
from gridtie.host.models.engine_server import EngineServer, NotAtHand
from gridtie.host.models.entries import Entry
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.install import InstallError
from standins import header_gguf, shape_gguf
from standins.engine_server import StandIn
from standins.model_registry import serving
from standins.model_station import SHAPE, ModelStation, model

# Its dry run has figures of many MiB, so that two per cent are more than what they are rounded to.
LARGE = replace(SHAPE, embedding_length=2048, head_count=16, head_count_kv=16, key_length=128, value_length=128)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    """A station whose model of the library is the large one; its file is nearly all zeros."""
    with serving() as registry:
        found = ModelStation(tmp_path, registry)
        shape_gguf.write(tmp_path / "large.gguf", LARGE)
        found.weights = (tmp_path / "large.gguf").read_bytes()
        found.manifest = registry.add_model("coder:1b", found.weights)
        large = model("coder:1b", OllamaSource("coder:1b"), ("code",), LARGE, len(found.weights))
        models = {**found.order.catalogue.models, "coder:1b": large}
        found.order = replace(found.order, catalogue=Catalogue(models), engine_version="0.32.15")
        yield found


@pytest.fixture
def engine(station: ModelStation, tmp_path: Path) -> StandIn:
    """At hand, and of the same opinion as the formula unless a test says else."""
    engine = StandIn(tmp_path / "engine")
    engine.say(predicted(tmp_path))
    station.order = replace(station.order, server=lambda: engine.server)
    return engine


def predicted(folder: Path) -> Need:
    return need_of_file(read_header(folder / "large.gguf"), Settings(32768))


def of_the_model(station: ModelStation) -> list[str]:
    """Requests for the model's file; the first bytes of it are one each."""
    return station.registry.ranges(station.manifest.model.digest)


def test_a_model_that_the_engine_cannot_load_is_told_before_it_is_fetched(
    station: ModelStation, engine: StandIn
) -> None:
    engine.refuse("unknown model architecture: 'llama'")

    with pytest.raises(InstallError) as raised:
        station.provision()
    assert str(raised.value).startswith(
        "coder:1b: this engine (ollama 0.32.15) cannot load it: unknown model architecture: 'llama'. Nothing of it was"
    )
    assert of_the_model(station) == ["bytes=0-8388607"]
    assert station.store().read("coder:1b") is None


def test_the_file_that_it_looks_at_is_as_long_as_the_whole_and_only_its_header_was_fetched(
    station: ModelStation, engine: StandIn, tmp_path: Path
) -> None:
    station.provision()
    _, length, *arguments = json.loads(engine.asked[0])

    assert length == read_header(tmp_path / "large.gguf").file_bytes
    assert " ".join(arguments).startswith("--model ") and "--ctx-size 32768 --parallel 1" in " ".join(arguments)
    assert not list((tmp_path / "engine").glob(".gridtie-asked-*")), "nothing of it stays"


def test_what_a_killed_run_laid_out_goes_with_the_next_question_and_what_another_asks_with_stays(
    station: ModelStation, engine: StandIn, tmp_path: Path
) -> None:
    left, in_use = (tmp_path / "engine" / f".gridtie-asked-{name}" for name in ("left", "in-use"))
    for folder in (left, in_use):
        folder.mkdir()
        (folder / "model.gguf").touch()
    os.utime(left, (time.time() - 600, time.time() - 600))
    station.provision()

    assert engine.asked
    assert not left.exists() and (in_use / "model.gguf").exists()


def test_where_both_agree_nothing_is_said_and_the_prediction_counts(
    station: ModelStation, engine: StandIn, tmp_path: Path
) -> None:
    done = station.provision()

    assert not [remark for remark in done.remarks if "coder" in remark]
    assert done.models[0]["predicted_bytes"] == predicted(tmp_path).total


def test_more_than_two_percent_of_difference_is_a_warning_and_the_engines_figure_counts(
    station: ModelStation, engine: StandIn, tmp_path: Path
) -> None:
    wanted = predicted(tmp_path)
    engine.say(replace(wanted, kv=wanted.kv + 300 * MIB))
    done = station.provision()

    (warning,) = (remark for remark in done.remarks if remark.startswith("coder:1b"))
    assert "the rule for 'llama' does not hold for its build (kv" in warning
    assert abs(int(done.models[0]["predicted_bytes"]) - wanted.total - 300 * MIB) <= 2 * MIB


def test_a_second_run_asks_nobody_and_knows_what_was_said(
    station: ModelStation, engine: StandIn, tmp_path: Path
) -> None:
    wanted = predicted(tmp_path)
    engine.say(replace(wanted, kv=wanted.kv + 300 * MIB))
    first = station.provision()
    count = len(engine.asked)
    second = station.provision()

    assert len(engine.asked) == count and not second.changed
    assert second.models[0]["predicted_bytes"] == first.models[0]["predicted_bytes"]


def test_after_an_upgrade_it_is_asked_again_and_what_it_cannot_load_any_more_is_told(
    station: ModelStation, engine: StandIn
) -> None:
    station.provision(engine_identity="ollama 0.32.15")
    count = len(engine.asked)
    engine.refuse("missing tensor 'output_norm.weight'")
    done = station.provision(engine_identity="ollama 0.34.0", engine_version="0.34.0")

    assert len(engine.asked) > count
    assert any("this engine (ollama 0.34.0) cannot load it: missing tensor" in remark for remark in done.remarks)
    assert [each["catalogue"] for each in done.models] == ["coder:1b", "probe:1m"], "what is here stays"


def test_another_context_is_another_question(station: ModelStation, engine: StandIn) -> None:
    station.provision(models=[{"name": "coder:1b", "context": 8192}])
    station.provision(models=[{"name": "coder:1b", "context": 4096}])
    arguments = [json.loads(line) for line in engine.asked]
    contexts = [each[each.index("--ctx-size") + 1] for each in arguments]

    # The small model of the smoke test has 8192 in both runs, and is asked about once.
    assert sorted(contexts) == ["4096", "8192", "8192"]


def test_what_comes_in_a_package_is_asked_about_once_it_is_here(station: ModelStation, engine: StandIn) -> None:
    station.provision()
    kept = json.loads(station.directories.asked.read_text())["said"]

    assert {key.split()[0] for key in kept} == {
        station.manifest.model.digest,
        "sha256:" + hashlib.sha256(station.probe).hexdigest(),
    }


def test_a_file_of_the_users_behind_a_url_is_looked_at_before_it_is_fetched(
    station: ModelStation, engine: StandIn
) -> None:
    engine.refuse("unknown model architecture: 'llama'")
    station.registry.files["/mine.gguf"] = station.weights
    sha256 = hashlib.sha256(station.weights).hexdigest()
    entry = {"name": "mine:1", "gguf": station.registry.url + "/mine.gguf", "sha256": sha256}

    with pytest.raises(InstallError, match=r"mine:1: this engine .* cannot load it"):
        station.provision(models=[entry])
    assert {header for path, header in station.registry.requests if path == "/mine.gguf"} == {"bytes=0-8388607"}


def test_a_file_that_a_person_adds_without_knowing_its_hash_is_looked_at_before_it_is_fetched(
    station: ModelStation, engine: StandIn
) -> None:
    station.provision(models=[])
    engine.refuse("unknown model architecture: 'llama'")
    station.registry.files["/mine.gguf"] = station.weights
    added = Added(Entry("mine:1b", 4096, gguf=station.registry.url + "/mine.gguf"), "gguf", "alice", "2026-11-29")

    with pytest.raises(InstallError, match=r"mine:1b: this engine .* cannot load it: .* Nothing of it was fetched"):
        station.provision(models=[], add=[added])
    assert {header for path, header in station.registry.requests if path == "/mine.gguf"} == {"bytes=0-8388607"}


def test_a_file_of_the_users_for_ollamas_own_build_is_told_before_it_is_fetched(
    station: ModelStation, tmp_path: Path
) -> None:
    keys = shape_gguf._keys(SHAPE)
    header_gguf.write(tmp_path / "oss.gguf", "gptoss", keys, header_gguf.tensors_of("llama", keys))
    station.registry.files["/oss.gguf"] = (tmp_path / "oss.gguf").read_bytes()
    entry = {"name": "oss:1", "gguf": station.registry.url + "/oss.gguf", "sha256": "a" * 64}

    with pytest.raises(InstallError, match=r"oss:1: .* whose header is for Ollama's own build"):
        station.provision(models=[entry], engine="embedded")
    assert {header for path, header in station.registry.requests if path == "/oss.gguf"} == {"bytes=0-8388607"}


def test_a_file_of_the_users_that_is_cut_is_told_before_it_is_fetched(station: ModelStation) -> None:
    station.registry.files["/cut.gguf"] = station.weights[: len(station.weights) // 2]
    entry = {"name": "cut:1", "gguf": station.registry.url + "/cut.gguf", "sha256": "a" * 64}

    with pytest.raises(InstallError, match=r"cut:1: it is cut: \d+ bytes are there"):
        station.provision(models=[entry])
    assert [header for path, header in station.registry.requests if path == "/cut.gguf"] == ["bytes=0-8388607"]


def test_an_engine_that_says_nothing_is_a_remark_and_no_failure(station: ModelStation, engine: StandIn) -> None:
    engine.write("another program\n")
    engine.server = replace(engine.server, command=["/bin/true"])
    done = station.provision()

    assert any("the engine could not be asked what it would reserve" in remark for remark in done.remarks)


def test_without_an_engine_at_hand_the_formula_alone_counts(station: ModelStation, tmp_path: Path) -> None:
    def away() -> EngineServer:
        raise NotAtHand("it is elsewhere")

    done = station.provision(server=away)
    assert done.models[0]["predicted_bytes"] == predicted(tmp_path).total
    assert of_the_model(station) == [""], "its header is not asked for either"


def test_check_mode_asks_nobody(station: ModelStation, engine: StandIn) -> None:
    station.provision(check=True)

    assert not engine.asked


def test_what_was_written_down_and_is_damaged_is_asked_anew(station: ModelStation, engine: StandIn) -> None:
    station.provision()
    count = len(engine.asked)
    station.directories.asked.write_text('{"engine": "ollama 0.32.15", "said": {"x": 3}}')
    station.provision()

    assert len(engine.asked) == 2 * count
