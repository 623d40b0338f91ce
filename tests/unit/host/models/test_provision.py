"""A station's models, from the order to the store: with a real registry of files and a wheel, without Ansible."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridtie.host.catalogue import Catalogue, DerivedSource, Flag, OllamaSource, Pin, Score
from gridtie.host.fit.agreed import Agreement, Pick
from gridtie.host.fit.memory import Settings, need
from gridtie.host.fit.placement import Budget, Device
from gridtie.host.models import sources
from gridtie.host.models.download import Fetcher
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.install import InstallError
from gridtie.host.models.provision import Provisioned
from gridtie.host.models.store import MODEL_TYPE, PARAMS_TYPE, build_manifest, sha256_of
from gridtie.host.models.tools_model import with_tools
from standins import header_gguf, shape_gguf
from standins.model_registry import serving
from standins.model_station import AMPLE, SHAPE, SMALL, ModelStation, model


@dataclass(frozen=True)
class Patient(Fetcher):
    """Before it downloads the content of one sha256 it waits for another download of it, and notes where one comes."""

    sha256: str = ""
    met: list[str] = field(default_factory=list)
    _both: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))

    def download(self, url: str, partial: Path, sha256: str, progress: Callable[[int], None]) -> None:
        if sha256 == self.sha256:
            try:
                self._both.wait(1.0)
                self.met.append(url)
            except threading.BrokenBarrierError:
                self._both.reset()
        super().download(url, partial, sha256, progress)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    with serving() as registry:
        yield ModelStation(tmp_path, registry)


def test_a_fresh_station_gets_the_best_model_and_the_probe(station: ModelStation) -> None:
    done = station.provision()

    assert [m["name"] for m in done.models] == ["gridtie/coder:1b", "gridtie/probe:1m"]
    assert list(station.store().names()) == ["gridtie/coder:1b", "gridtie/probe:1m", "coder:1b"]


def test_a_second_run_changes_nothing_and_asks_nobody(station: ModelStation) -> None:
    station.provision()
    before = station.files()
    station.provision()
    station.registry.requests.clear()
    done = station.provision(budget=pytest.fail, probe=pytest.fail)

    assert not done.changed and not station.registry.requests
    assert station.files().keys() == before.keys()


def test_check_mode_touches_nothing_and_foretells_the_run(station: ModelStation) -> None:
    foretold = station.provision(check=True)
    assert foretold.changed and not station.directories.root.exists()

    assert station.provision().after == foretold.after


def test_the_served_model_is_the_librarys_with_our_context(station: ModelStation) -> None:
    station.provision()
    served = station.store().read("gridtie/coder:1b")
    assert served

    parameters = next(layer for layer in served.layers if layer.media_type == PARAMS_TYPE)
    assert json.loads(station.store().blob(parameters.digest).read_text()) == {"num_ctx": 32768, "stop": ["<|end|>"]}
    assert served.model == station.manifest.model


def test_every_model_is_described_for_the_router(station: ModelStation) -> None:
    first = station.provision().models[0]

    assert first["url"] == "http://engine:11434" and first["dialect"] == "ollama" and first["context"] == 32768
    assert first["digest"] == station.store().read("gridtie/coder:1b").digest  # type: ignore[union-attr]
    assert first["bytes"] == len(station.weights) < first["predicted_bytes"]
    assert first["quantisation"] == "Q4_0"


def test_what_larger_contexts_would_take_is_said_up_to_the_training(station: ModelStation) -> None:
    """The router tells it to whom a prompt does not fit."""
    coder, probe = station.provision(models=[{"name": "coder:1b", "context": 6000}]).models

    assert [context for context, _ in coder["larger_contexts"]] == [12000, 24000, 32768]
    assert (coder["trained_context"], probe["trained_context"], probe["larger_contexts"]) == (32768, 8192, [])
    at_most = need(SHAPE, len(station.weights), Settings(32768)).total
    assert coder["predicted_bytes"] < coder["larger_contexts"][0][1] < coder["larger_contexts"][-1][1] <= at_most


def test_a_digest_that_was_learned_once_is_all_that_is_accepted(station: ModelStation) -> None:
    learned = station.provision().learned
    assert learned["coder:1b"].manifest == station.manifest.digest[7:] and list(learned) == ["coder:1b"]

    station.store().manifest_path("coder:1b").unlink()
    station.registry.add_model("coder:1b", station.weights, b"{}")
    with pytest.raises(InstallError, match="coder:1b was changed upstream"):
        station.provision(learned=learned)


def test_a_pin_of_the_project_outranks_a_learned_one(station: ModelStation) -> None:
    lock = {**station.order.lock, "coder:1b": Pin(manifest=station.manifest.digest[7:])}

    assert station.provision(lock=lock, learned={"coder:1b": Pin(manifest="0" * 64)}).learned == {}


def test_hosts_agree_on_a_digest_before_a_byte_of_the_model_is_fetched(station: ModelStation) -> None:
    class AnotherWasFirst(Exception):
        pass

    def agree(pins: Mapping[str, Pin]) -> None:
        raise AnotherWasFirst(pins["coder:1b"].manifest)

    with pytest.raises(AnotherWasFirst, match=station.manifest.digest[7:]):
        station.provision(agree=agree)
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path]
    assert not station.store().read("gridtie/coder:1b")


def test_a_model_that_is_here_already_is_learned_without_a_network(station: ModelStation) -> None:
    station.provision()
    station.registry.requests.clear()

    assert station.provision().learned["coder:1b"].manifest == station.manifest.digest[7:]
    assert station.registry.requests == []


def test_with_required_pins_a_missing_one_is_an_error_before_anything_is_fetched(station: ModelStation) -> None:
    with pytest.raises(InstallError, match=r"coder:1b: .*gridtie_pins is require"):
        station.provision(models=["coder:1b"], require_pins=True)
    assert not station.registry.requests


def test_with_required_pins_auto_chooses_among_pinned_models(station: ModelStation) -> None:
    pinned = {"coder:1b": Pin(manifest=station.manifest.digest[7:])}

    without = station.provision(require_pins=True)
    assert [model["catalogue"] for model in without.models] == ["probe:1m"]
    assert "gridtie_pins is require" in without.others["coder:1b"]
    chosen = station.provision(require_pins=True, learned=pinned, choose_again=True).models
    assert {model["catalogue"] for model in chosen} == {"coder:1b", "probe:1m"}


def test_a_manifest_other_than_the_locks_is_refused_before_its_blobs(station: ModelStation) -> None:
    lock = {**station.order.lock, "coder:1b": Pin(manifest="0" * 64)}

    with pytest.raises(InstallError, match=f"pinned is sha256:{'0' * 64}"):
        station.provision(lock=lock)
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path]


def derived(station: ModelStation, **changes: Any) -> dict[str, Any]:
    """An order for a model that is made of the probe's file."""
    target = io.BytesIO()
    with_tools(io.BytesIO(station.probe), target)
    made, base = target.getvalue(), hashlib.sha256(station.probe).hexdigest()
    source = DerivedSource("probe:1m", changes.get("base", base), "tools")
    found = model("tools:1m", source, (), SMALL, len(made))
    lock = {**station.order.lock, found.name: Pin(gguf=changes.get("pin", hashlib.sha256(made).hexdigest()))}
    return {"catalogue": Catalogue({found.name: found, **station.order.catalogue.models}), "lock": lock}


@pytest.mark.parametrize("engine", ["ollama", "embedded"])
def test_a_model_is_made_of_anothers_file_without_a_network(station: ModelStation, engine: str) -> None:
    """Named before the one that it is made of, on a station that has neither."""
    order = {"models": ["tools:1m"], "engine": engine, **derived(station)}
    done = station.provision(**order)
    path = station.store(engine).blob(f"sha256:{order['lock']['tools:1m'].gguf}")

    assert [each["name"] for each in done.models] == ["gridtie/tools:1m", "gridtie/probe:1m"]
    assert read_header(path).metadata["llama.context_length"] == 32768
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path]
    assert not station.provision(**order).changed


def test_a_model_that_is_made_here_is_never_chosen_unasked(station: ModelStation) -> None:
    done = station.provision(purposes=("code", "chat"), **derived(station))

    assert "tools:1m" not in {each["catalogue"] for each in done.models}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"base": "0" * 64},
            r"tools:1m: it is made of the file of probe:1m, and .* is not there",
        ),
        ({"pin": "0" * 64}, "tools:1m: what was made of probe:1m has sha256 [0-9a-f]{64}, wanted 0000"),
    ],
)
def test_what_a_model_is_made_of_and_what_it_becomes_are_held_to_their_digests(
    station: ModelStation, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(InstallError, match=says):
        station.provision(models=["tools:1m"], **derived(station, **changes))
    assert station.store().read("gridtie/tools:1m") is None


def test_a_package_is_asked_for_by_hash(station: ModelStation) -> None:
    station.provision()

    assert station.asked.read_text() == f"probe==1.0 --hash=sha256:{'a' * 64}\n"


def test_a_package_with_another_file_than_pinned_is_refused(station: ModelStation) -> None:
    with pytest.raises(InstallError, match=r"probe/model\.gguf in probe-1\.0.* has the wrong content"):
        station.provision(lock={"probe:1m": Pin(gguf="0" * 64, package="a" * 64)})
    assert station.store().read("gridtie/probe:1m") is None


def test_a_download_that_was_killed_is_continued(station: ModelStation) -> None:
    station.directories.incoming.mkdir(parents=True)
    digest = station.manifest.model.digest
    (station.directories.incoming / digest.replace(":", "-")).write_bytes(station.weights[:500])
    station.provision()

    assert station.registry.ranges(digest) == ["bytes=500-"]


def test_a_run_that_was_killed_between_blobs_and_manifest_finishes(station: ModelStation) -> None:
    station.provision()
    station.store().manifest_path("gridtie/coder:1b").unlink()
    station.registry.requests.clear()

    assert station.provision().changed
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path]


@pytest.mark.parametrize("name", ["coder:1b", "probe:1m"])
def test_a_damaged_file_is_found_and_fetched_again(station: ModelStation, name: str) -> None:
    station.provision()
    served = station.store().read(f"gridtie/{name}")
    assert served
    blob = station.store().blob(served.model.digest)
    blob.write_bytes(bytes(served.model.size))

    assert station.provision(check=True).changed
    station.provision()
    assert "sha256:" + sha256_of(blob) == served.model.digest


def test_content_damaged_on_the_way_never_becomes_visible(station: ModelStation) -> None:
    station.registry.damaged = 99

    with pytest.raises(InstallError, match="has the wrong content"):
        station.provision()
    assert station.store().read("coder:1b") is None and station.store().read("gridtie/coder:1b") is None


def test_one_failing_model_does_not_undo_the_others_and_all_failures_are_told(station: ModelStation) -> None:
    station.registry.files.clear()

    with pytest.raises(InstallError, match=r"coder:1b: .*HTTP 404"):
        station.provision()
    assert station.store().read("gridtie/probe:1m")


def test_a_changed_request_is_chosen_anew_and_an_equal_one_is_not(station: ModelStation) -> None:
    assert len(station.provision(probe=lambda: {"ollama": "unplugged"}).models) == 1
    assert len(station.provision().models) == 1

    assert len(station.provision(models=["coder:1b"]).models) == 2
    assert len(station.provision(choose_again=True).models) == 2


def better(station: ModelStation, size: int) -> Catalogue:
    """The catalogue with a model that scores higher and whose file is said to have `size` bytes."""
    weights = station.weights + b"better"
    station.registry.add_model("better:1b", weights)
    model = station.order.catalogue.models["coder:1b"]
    scores = (Score("aider-edit", 90.0, "here"),)
    found = replace(model, name="better:1b", scores=scores, sources=(OllamaSource("better:1b"),))
    return Catalogue(
        {"better:1b": replace(found, file=replace(model.file, bytes=size)), **station.order.catalogue.models}
    )


def test_a_station_keeps_its_models_when_the_catalogue_learns_of_better_ones(station: ModelStation) -> None:
    """Also one whose answer was written by 1.0.0, which knew neither purposes nor engine versions."""
    station.provision()
    kept = json.loads(station.directories.resolved.read_text())
    assert set(kept["request"]) == {"models", "engine", "parallel", "kv_type", "flash_attention"}

    done = station.provision(
        catalogue=better(station, 100), max_download=None, engine_version="0.34.0", stock=True, budget=pytest.fail
    )

    assert not done.changed
    assert [model["catalogue"] for model in done.models] == ["coder:1b", "probe:1m"]
    chosen = station.provision(catalogue=better(station, 100), choose_again=True)
    assert [model["catalogue"] for model in chosen.models] == ["better:1b", "probe:1m"]


def test_auto_chooses_by_the_scores_that_the_references_link(station: ModelStation) -> None:
    """The better model was only measured on another benchmark; three models that nobody runs here have both figures."""
    found = better(station, 100)
    models = {**found.models, "better:1b": replace(found.models["better:1b"], scores=(Score("humaneval", 90.0, "x"),))}
    both = {
        name: (Score("aider-edit", edit, "x"), Score("humaneval", human, "x"))
        for name, edit, human in (("one", 30.0, 40.0), ("two", 50.0, 60.0), ("three", 70.0, 80.0))
    }
    done = station.provision(catalogue=Catalogue(models, both))

    assert done.models[0]["catalogue"] == "better:1b"
    assert f"(score {done.models[0]['score']:g}~)" in done.models[0]["why"]


def test_what_is_too_large_to_be_fetched_unasked_is_named_and_not_fetched(station: ModelStation) -> None:
    done = station.provision(catalogue=better(station, 20 * 10**9), max_download=None)

    assert [model["catalogue"] for model in done.models] == ["coder:1b", "probe:1m"]
    assert "too big a download: 20.0 GB, gridtie_models_max_download_gb is 10" in done.others["better:1b"]
    assert "better:1b is recommended, and 20.0 GB are more than is fetched unasked (10 GB)" in done.models[0]["why"]


def test_on_a_card_what_it_has_room_for_is_fetched_unasked(station: ModelStation) -> None:
    card = Device("card", 40 << 30, 40 << 30, None)
    room = replace(AMPLE, name="card", total=card.total, available=card.available, cards=(card,))
    done = station.provision(catalogue=better(station, 20 * 10**9), max_download=None, budget=lambda: room)

    assert done.models[0]["catalogue"] == "better:1b"


def test_a_purpose_that_a_flag_speaks_against_is_none_of_the_stations_models(station: ModelStation) -> None:
    model = replace(
        station.order.catalogue.models["coder:1b"],
        purposes=("code", "agents"),
        capabilities=("chat", "tools"),
        flags=(Flag("agents", "it loses calls", "issue 1", engine="ollama", fixed_in="0.34.0"),),
    )
    catalogue = Catalogue({**station.order.catalogue.models, model.name: model})

    assert station.provision(catalogue=catalogue, engine_version="0.33.0").models[0]["purposes"] == ["code"]
    assert station.provision(catalogue=catalogue, engine_version="0.34.0").models[0]["purposes"] == ["code", "agents"]


def test_a_model_that_is_slower_than_wanted_is_not_taken_and_stays_where_it_was_chosen_before(
    station: ModelStation,
) -> None:
    """7 tokens/s, as the ledger has them: below the 8 that a new model needs, and above what a kept one does."""
    measured = {"coder:1b": 7.0}
    names = {model["catalogue"] for model in station.provision(speeds=lambda: measured).models}
    assert names == {"probe:1m"}

    station.provision(choose_again=True)
    names = {model["catalogue"] for model in station.provision(choose_again=True, speeds=lambda: measured).models}
    assert names == {"coder:1b", "probe:1m"}


def test_another_purpose_is_another_request_and_the_usual_one_is_as_it_always_was(station: ModelStation) -> None:
    station.provision()
    assert "purposes" not in json.loads(station.directories.resolved.read_text())["request"]

    done = station.provision(purposes=("chat",))
    assert [m["name"] for m in done.models] == ["gridtie/probe:1m"]
    assert not station.provision(purposes=("chat",), budget=pytest.fail).changed


def test_the_reason_against_a_model_is_handed_on(station: ModelStation) -> None:
    done = station.provision(probe=lambda: {"ollama": "unplugged"})

    assert done.others == {"coder:1b": "cannot be fetched here: unplugged"}


def test_the_embedded_engine_gets_a_list_of_files_and_ports(station: ModelStation) -> None:
    done = station.provision(engine="embedded")
    listing = json.loads(station.directories.embedded_list.read_text())

    assert [(m["name"], m["port"], m["context"]) for m in listing] == [
        ("gridtie/coder:1b", 8080, 32768),
        ("gridtie/probe:1m", 8081, 8192),
    ]
    assert [m["url"] for m in done.models] == ["http://engine:8080", "http://engine:8081"]
    assert (station.directories.root / listing[0]["path"]).read_bytes() == station.weights


def test_another_engine_takes_over_what_is_there(station: ModelStation) -> None:
    station.provision()
    station.registry.requests.clear()
    station.asked.unlink()
    station.provision(engine="embedded")

    assert not [path for path, _ in station.registry.requests if station.manifest.model.digest in path]
    assert not station.asked.exists()


def test_a_file_of_the_users_is_served_and_left_alone(station: ModelStation, tmp_path: Path) -> None:
    path = tmp_path / "coder.gguf"
    entry = {"name": "mine:1", "gguf": str(path), "sha256": sha256_of(path)}
    done = station.provision(models=[entry])

    assert [(m["name"], m["source"]) for m in done.models] == [
        ("gridtie/mine:1", "gguf"),
        ("gridtie/probe:1m", "package"),
    ]
    assert path.read_bytes() == station.weights and path.stat().st_nlink == 1
    path.unlink()
    assert not station.provision(models=[entry]).changed


def test_a_users_file_that_gives_vectors_is_for_embeddings_alone(station: ModelStation, tmp_path: Path) -> None:
    """An alias for embeddings did not find it, and `coder` came by it before every model that chats."""
    path = tmp_path / "vectors.gguf"
    shape_gguf.write(path, replace(SHAPE, header=(("pooling_type", 1),)))
    done = station.provision(models=[{"name": "vectors:1", "gguf": str(path), "sha256": sha256_of(path)}])

    assert done.models[0]["capabilities"] == done.models[0]["purposes"] == ["embeddings"]


@pytest.mark.parametrize(
    ("header", "purposes"),
    [((), ["completion"]), ((("tokenizer.chat_template", "{{ messages }}"),), ["code", "chat"])],
)
def test_a_users_file_without_a_template_for_chats_is_for_completion_alone(
    station: ModelStation, tmp_path: Path, header: tuple[tuple[str, str], ...], purposes: list[str]
) -> None:
    """A base model became `coder` and `chat` at once, and answered every question with the question."""
    path = tmp_path / "base.gguf"
    shape_gguf.write(path, replace(SHAPE, header=header))
    done = station.provision(models=[{"name": "base:1", "gguf": str(path), "sha256": sha256_of(path)}])

    assert done.models[0]["purposes"] == purposes


def test_one_file_that_is_wanted_in_two_ways_is_fetched_once(station: ModelStation) -> None:
    station.registry.files["/mine.gguf"] = station.weights
    sha256 = hashlib.sha256(station.weights).hexdigest()
    fetcher = Patient(sha256=sha256)
    entry = {"name": "mine:1", "gguf": station.registry.url + "/mine.gguf", "sha256": sha256}
    done = station.provision(models=[entry, "coder:1b"], means=replace(station.order.means, fetcher=fetcher))

    assert [m["name"] for m in done.models][:2] == ["gridtie/mine:1", "gridtie/coder:1b"]
    assert not fetcher.met
    assert not station.registry.ranges(f"sha256:{sha256}")


def test_two_files_of_one_name_do_not_mix(
    station: ModelStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are being copied before either is whole."""
    both, real = threading.Barrier(2, timeout=20), sources.copy_and_hash

    def together(*given: Any) -> str:
        both.wait()
        found = real(*given)
        both.wait()
        return found

    entries = []
    for number, vocabulary in enumerate((101, 102)):
        path = tmp_path / str(number) / "model.gguf"
        path.parent.mkdir()
        shape_gguf.write(path, replace(SHAPE, vocab_size=vocabulary))
        entries.append({"name": f"mine:{number}", "gguf": str(path), "sha256": sha256_of(path)})
    monkeypatch.setattr(sources, "copy_and_hash", together)
    done = station.provision(models=entries)

    served = [station.store().read(str(model["name"])) for model in done.models[:2]]
    assert [each and sha256_of(station.store().blob(each.model.digest)) for each in served] == [
        entry["sha256"] for entry in entries
    ]


def _own(tmp_path: Path, architecture: str, cut: int = 0, **more: Any) -> dict[str, str]:
    """An entry for a file of one's own, a little model of an architecture."""
    keys = {"block_count": 1, "embedding_length": 64, "attention.head_count": 4, "attention.head_count_kv": 2}
    keys |= {"feed_forward_length": 128, "vocab_size": 100, "context_length": 4096, **more}
    path = tmp_path / "mine.gguf"
    header_gguf.write(path, architecture, keys, header_gguf.tensors_of("llama", keys))
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return {"name": "mine:1", "gguf": str(path), "sha256": sha256_of(path)}


def test_a_file_of_an_unknown_architecture_is_refused_by_its_name(station: ModelStation, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="mine:1: the memory of the architecture 'shiny-new' cannot be predicted"):
        station.provision(models=[_own(tmp_path, "shiny-new")])


def test_a_file_that_is_cut_is_refused_by_its_length(station: ModelStation, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"mine\.gguf: it is cut"):
        station.provision(models=[_own(tmp_path, "llama", cut=500)])


def test_a_header_for_ollamas_own_build_is_refused_by_the_embedded_engine(
    station: ModelStation, tmp_path: Path
) -> None:
    with pytest.raises(InstallError, match="whose header is for Ollama's own build") as refused:
        station.provision(models=[_own(tmp_path, "gptoss")], engine="embedded")

    assert "take another file of the model" in str(refused.value)


def test_what_is_secret_in_an_address_is_in_no_error(station: ModelStation, tmp_path: Path) -> None:
    own = _own(tmp_path, "gptoss")
    station.registry.files["/mine.gguf?signature=s3cret"] = Path(own["gguf"]).read_bytes()
    address = station.registry.url.replace("//", "//alice:s3cret@") + "/mine.gguf?signature=s3cret"
    with pytest.raises(InstallError, match="whose header is for Ollama's own build") as refused:
        station.provision(models=[{**own, "gguf": address}], engine="embedded")
    with pytest.raises(InstallError, match="an entry needs a 'name': found gguf, sha256") as nameless:
        station.provision(models=[{"gguf": address, "sha256": own["sha256"]}])

    assert "s3cret" not in str(refused.value) + str(nameless.value)


def test_a_file_by_url_is_fetched_checked_and_served(station: ModelStation) -> None:
    station.registry.files["/mine.gguf"] = station.weights
    sha256 = hashlib.sha256(station.weights).hexdigest()
    entry = {"name": "mine:1", "gguf": station.registry.url + "/mine.gguf", "sha256": sha256}

    assert "its file is fetched first" in station.provision(models=[entry], check=True).remarks[0]
    assert station.provision(models=[entry]).models[0]["name"] == "gridtie/mine:1"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "mine:1", "gguf": "/x"}, "needs a text for 'sha256'"),
        ({"name": "mine:1", "gguf": "/x", "sha256": "abc"}, "64 lower-case hexadecimal digits"),
        ({"name": "mine", "gguf": "/x", "sha256": "0" * 64}, "'mine' is not of the form model:tag"),
        ({"name": "mine:1", "gguf": "/x", "sha256": "0" * 64, "context": 1}, "found 1, wanted 256 tokens or more"),
        ({"name": "mine:1", "ollama": "x:1"}, "'ollama' needs a text for 'manifest'"),
        ({"name": "mine:1", "ollama": "none:1", "manifest": "0" * 64}, "none:1|HTTP 404"),
        ({"name": "coder:1b", "gguf": "/x", "sha256": "0" * 64}, "coder:1b is a name of the catalogue"),
        ({"name": "mine:1", "gguf": "/none", "sha256": "0" * 64}, "/none is not there"),
    ],
)
def test_a_file_entry_that_cannot_be_used_is_refused(
    station: ModelStation, entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(InstallError, match=message):
        station.provision(models=[entry])


@pytest.mark.parametrize("engine", ["ollama", "embedded"])
def test_a_named_context_is_served_and_another_one_is_another_model_of_the_same_file(
    station: ModelStation, engine: str
) -> None:
    first = station.provision(engine=engine, models=[{"name": "coder:1b", "context": 4096}, "probe:1m"])
    station.registry.requests.clear()
    second = station.provision(engine=engine, models=[{"name": "coder:1b", "context": 8192}, "probe:1m"])

    assert [done.models[0]["context"] for done in (first, second)] == [4096, 8192]
    assert second.changed and not station.registry.requests
    assert not station.provision(engine=engine, models=[{"name": "coder:1b", "context": 8192}, "probe:1m"]).changed


def test_a_station_that_names_its_models_without_a_context_keeps_what_it_remembers(station: ModelStation) -> None:
    """As one of 1.0.0 does: the request that is remembered has no contexts in it."""
    station.provision(models=["coder:1b"])
    remembered = json.loads(station.directories.resolved.read_text())

    assert "contexts" not in remembered["request"]
    assert not station.provision(models=["coder:1b"], budget=pytest.fail).changed


def test_a_model_of_the_library_that_nobody_listed_is_served_as_the_library_has_it(station: ModelStation) -> None:
    """Not its file alone: templates and parameters are layers of their own."""
    shape = replace(SHAPE, vocab_size=200)
    path = station.directories.root.parent / "other.gguf"
    shape_gguf.write(path, shape)
    manifest = station.registry.add_model("other:2b", path.read_bytes())
    entry = {"name": "mine:1", "ollama": "other:2b", "manifest": manifest.digest[7:], "context": 2048}
    done = station.provision(models=[entry])
    served = station.store().read("gridtie/mine:1")
    assert served

    parameters = next(layer for layer in served.layers if layer.media_type == PARAMS_TYPE)
    assert json.loads(station.store().blob(parameters.digest).read_text()) == {"num_ctx": 2048, "stop": ["<|end|>"]}
    assert (done.models[0]["source"], served.model) == ("ollama", manifest.model)
    station.registry.requests.clear()
    assert not station.provision(models=[entry]).changed and not station.registry.requests


def test_a_full_disk_is_seen_before_the_download(station: ModelStation, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1 << 20

    monkeypatch.setattr("gridtie.host.models.install_all.shutil.disk_usage", lambda path: Full)
    with pytest.raises(InstallError, match=r"too little disk at .*: 0\.0 GiB are free"):
        station.provision()
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path] and not station.asked.exists()


def test_two_runs_at_once_do_not_mix(station: ModelStation) -> None:
    def second_run() -> Budget:
        with pytest.raises(InstallError, match="another run is installing models"):
            station.provision()
        return AMPLE

    station.provision(budget=second_run)


def test_a_word_that_is_no_choice_is_refused(station: ModelStation) -> None:
    with pytest.raises(InstallError, match="gridtie_models is 'all'; wanted: auto, or a list"):
        station.provision(models="all")


def test_sizes_are_the_registrys_and_what_an_earlier_run_left_counts(
    station: ModelStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue's size is wrong here by far; all but the last bytes lie in the partial file."""
    size = len(station.weights)
    coder = station.order.catalogue.models["coder:1b"]
    wrong = replace(coder, file=replace(coder.file, bytes=1 << 38))
    catalogue = Catalogue({**station.order.catalogue.models, "coder:1b": wrong})
    station.directories.incoming.mkdir(parents=True)
    (station.directories.incoming / station.manifest.model.digest.replace(":", "-")).write_bytes(
        station.weights[: size - 9]
    )
    monkeypatch.setattr("gridtie.host.models.install_all.DISK_RESERVE", 0)
    free = 2 * len(station.probe) + 9 + sum(layer.size for layer in station.manifest.blobs) - size
    monkeypatch.setattr(
        "gridtie.host.models.install_all.shutil.disk_usage", lambda path: SimpleNamespace(free=free - 1)
    )
    monkeypatch.setattr("gridtie.host.models.download.DISK_RESERVE", -free)
    with pytest.raises(InstallError, match="too little disk"):
        station.provision(catalogue=catalogue)

    monkeypatch.setattr("gridtie.host.models.install_all.shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    assert station.provision(catalogue=catalogue).changed


def test_a_file_of_the_users_that_the_disk_cannot_hold_is_not_begun(
    station: ModelStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.registry.files["/mine.gguf"] = station.weights
    sha256 = hashlib.sha256(station.weights).hexdigest()
    entry = {"name": "mine:1", "gguf": station.registry.url + "/mine.gguf", "sha256": sha256}
    monkeypatch.setattr("gridtie.host.models.download.shutil.disk_usage", lambda path: SimpleNamespace(free=1 << 30))

    with pytest.raises(InstallError, match=r"too little disk at .*; free some, or choose smaller models"):
        station.provision(models=[entry])
    assert not list(station.directories.incoming.glob("*"))


@pytest.mark.parametrize("engine", ["ollama", "embedded"])
def test_another_context_or_parallelism_makes_another_model_of_the_same_files(
    station: ModelStation, engine: str
) -> None:
    """Eight requests at once leave room for 16K each."""
    weights, total = len(station.weights), need(SHAPE, len(station.weights), Settings(32768, engine=engine)).total
    tight = replace(AMPLE, total=2 * total, available=2 * total)
    first = station.provision(engine=engine, budget=lambda: tight).models[0]
    blob = station.store(engine).blob(station.manifest.model.digest)
    before = blob.stat()
    station.registry.requests.clear()
    station.asked.unlink()
    second = station.provision(engine=engine, budget=lambda: tight, parallel=8).models[0]

    assert (first["context"], second["context"]) == (32768, 16384)
    assert not station.registry.requests and not station.asked.exists()
    assert (before.st_ino, before.st_mtime_ns) == (blob.stat().st_ino, blob.stat().st_mtime_ns)
    assert station.store(engine).read("gridtie/coder:1b").model.size == weights  # type: ignore[union-attr]


def test_a_name_that_begins_like_a_wanted_one_is_another_model(station: ModelStation) -> None:
    """What coder:1b is, is not what coder:1b-x is."""
    store = station.store()
    store.write("coder:1b-x", build_manifest(store.add_bytes(b"{}", "config"), ()))

    assert station.provision().changed
    assert station.registry.ranges(station.manifest.model.digest) == [""]


def test_a_manifest_that_lies_about_a_size_is_refused(station: ModelStation) -> None:
    path = "/v2/library/coder/manifests/1b"
    size = len(station.weights)
    station.registry.files[path] = station.registry.files[path].replace(b"%d" % size, b"%d" % (size + 1))

    with pytest.raises(InstallError, match=rf"its manifest says {size + 1} bytes for sha256:.*, the file has {size}"):
        station.provision()
    assert station.store().read("coder:1b") is None


def test_progress_names_every_model_with_its_bytes(station: ModelStation) -> None:
    said: list[str] = []
    station.provision(say=said.append)

    assert any("coder:1b 0.00 of 0.00 GB (100 %)" in line for line in said)


def test_what_a_killed_run_left_half_written_is_removed(station: ModelStation) -> None:
    leftover = station.directories.incoming / "package-abc"
    leftover.mkdir(parents=True)
    (leftover / "model.gguf").write_text("half")
    station.provision()

    assert not leftover.exists() and list(station.directories.incoming.iterdir()) == []


def test_a_blob_in_the_store_is_of_the_kind_that_its_layer_says(station: ModelStation) -> None:
    station.provision()
    probe = station.store().read("gridtie/probe:1m")

    assert probe and [layer.media_type for layer in probe.layers] == [MODEL_TYPE, PARAMS_TYPE]
    assert json.loads(station.store().blob(probe.config.digest).read_text())["model_family"] == "llama"


# What a group of machines was told to run.

TOLD = Agreement("laptops", (Pick("coder:1b", 16384, ("code",)),))


def contexts(done: Provisioned) -> dict[str, int]:
    return {str(model["name"]): int(model["context"]) for model in done.models}


def test_a_station_of_a_group_takes_what_the_group_was_told_with_its_context(station: ModelStation) -> None:
    done = station.provision(agreed=TOLD)

    assert contexts(done) == {"gridtie/coder:1b": 16384, "gridtie/probe:1m": 8192}
    assert done.models[0]["why"] == "chosen for the group laptops"
    assert not station.provision(agreed=TOLD).changed


def test_another_choice_for_the_group_is_followed_and_the_same_one_measures_nothing(station: ModelStation) -> None:
    station.provision(agreed=TOLD)
    shorter = Agreement("laptops", (Pick("coder:1b", 8192, ("code",)),))

    def never() -> Budget:
        raise AssertionError("the same choice needs no look at the machine")

    assert not station.provision(agreed=TOLD, budget=never).changed
    assert contexts(station.provision(agreed=shorter))["gridtie/coder:1b"] == 8192


def test_what_a_station_chose_for_itself_stays_until_it_is_told_to_choose_again(station: ModelStation) -> None:
    assert contexts(station.provision())["gridtie/coder:1b"] == 32768

    assert not station.provision(agreed=TOLD).changed
    assert contexts(station.provision(agreed=TOLD, choose_again=True))["gridtie/coder:1b"] == 16384


def test_what_a_station_was_told_stays_where_nobody_tells_it_anything(station: ModelStation) -> None:
    station.provision(agreed=TOLD)

    assert not station.provision().changed
    assert contexts(station.provision(choose_again=True))["gridtie/coder:1b"] == 32768


def test_names_outrank_what_the_group_was_told(station: ModelStation) -> None:
    assert contexts(station.provision(agreed=TOLD, models=["coder:1b"]))["gridtie/coder:1b"] == 32768


def test_a_station_that_cannot_run_what_its_group_runs_says_why(station: ModelStation) -> None:
    tight = Budget("memory", 1, 1, None)

    with pytest.raises(InstallError, match="coder:1b: does not fit"):
        station.provision(agreed=TOLD, budget=lambda: tight)
