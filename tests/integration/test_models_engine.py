"""What the models role does to a store, seen by a real Ollama that works on it; and the same done by Ollama itself."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from python_on_whales import docker

from gridtie.catalogue import load
from gridtie.host.catalogue import Catalogue, OllamaSource, Pin
from gridtie.host.fit.choice import Budget
from gridtie.host.models.export import chosen, export
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.install import InstallError, configuration
from gridtie.host.models.order import Directories, Order
from gridtie.host.models.provision import Provisioned, provision
from gridtie.host.models.sources import Means
from gridtie.host.models.store import Store
from integration.station import Station
from standins.model_registry import Registry, serving

SMALL = load(Path(__file__).parents[2] / "config" / "models.yaml").models["smollm2:135m"]
AMPLE = Budget("memory", 1 << 40, 1 << 40, None)


@dataclass
class Engine:
    """A real Ollama on a store of its own, and orders for that store."""

    url: str
    order: Order

    @property
    def store(self) -> Store:
        return self.order.directories.store("ollama")

    def provision(self, **changes: Any) -> Provisioned:
        return provision(replace(self.order, **changes))

    def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = httpx.request(method, self.url + path, json={"stream": False, **body} if body else None, timeout=110)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None

    def listed(self) -> dict[str, str]:
        """Names and digests as Ollama tells them."""
        return {each["name"]: "sha256:" + each["digest"] for each in self.ask("GET", "/api/tags")["models"]}

    def says(self, name: str) -> str:
        """Its answer to the question that the doctor asks as well: its tokens lead by a wide margin."""
        question = "What is the capital of France? Answer in one sentence."
        options = {"num_predict": 16, "temperature": 0, "seed": 1}
        messages = [{"role": "user", "content": question}]
        return str(self.ask("POST", "/api/chat", model=name, messages=messages, options=options)["message"]["content"])


@pytest.fixture(scope="module")
def weights(station: Station) -> Path:
    """The small model's file, from the station's own store."""
    digest = next(model for model in station.facts["models"] if "smoke-test" in model["purposes"])["digest"]
    root = Path(station.facts["state_dir"]) / "models" / "ollama"
    manifest = next(m for _, m in Store(root).every_manifest() if m.digest == digest)
    return Store(root).blob(manifest.model.digest)


@pytest.fixture(scope="module")
def registry(weights: Path) -> Iterator[Registry]:
    """A mirror of plain files that has the small model as one of the library."""
    with serving() as found:
        described = configuration(read_header(weights))
        found.add_model("small:135m", weights.read_bytes(), b'{"temperature":0.2}', described)
        yield found


@contextmanager
def running(station: Station, folder: Path, registry: Registry) -> Iterator[Engine]:
    """Ollama in a container of the station's image, on the host's loopback; its store can be written to, as a native
    engine's can.
    """
    directories = Directories(folder / "models")
    root = directories.root / "ollama"
    for name in ("blobs", "manifests"):
        (root / name).mkdir(parents=True)
    name, port = f"gridtie-test-models-{uuid.uuid4().hex[:8]}", _free_port()
    variables = {"HOME": "/tmp", "OLLAMA_MODELS": "/store", "OLLAMA_HOST": f"127.0.0.1:{port}"}
    docker.run(
        station.facts["engine"]["image"],
        detach=True,
        name=name,
        networks=["host"],
        user=f"{os.getuid()}:{os.getgid()}",
        tmpfs=["/tmp"],
        volumes=[(root, "/store")],
        envs={**variables, "OLLAMA_NO_CLOUD": "1", "OLLAMA_NOPRUNE": "1"},
    )
    url = f"http://127.0.0.1:{port}"
    small = replace(SMALL, name="small:135m", sources=(OllamaSource("small:135m"),))
    order = Order(
        directories=directories, catalogue=Catalogue({small.name: small}), lock={}, models="auto", engine="ollama",
        means=Means(directories.incoming, registry.url), budget=lambda: AMPLE, probe=dict, ollama_url=url,
        reach=lambda asked: asked, accept_s=0.0,
    )  # fmt: skip
    try:
        _wait(url, name)
        yield Engine(url, order)
    finally:
        docker.remove(name, force=True)


@pytest.fixture
def engine(station: Station, registry: Registry, tmp_path: Path) -> Iterator[Engine]:
    with running(station, tmp_path, registry) as found:
        yield found


def test_our_puller_and_ollamas_own_get_the_same_digests(engine: Engine, registry: Registry) -> None:
    engine.provision()
    ours = engine.listed()
    mirrored = f"{registry.url}/library/small:135m"
    engine.ask("POST", "/api/pull", model=mirrored, insecure=True)
    theirs = {name: digest for name, digest in engine.listed().items() if name not in ours}

    expected = "sha256:" + hashlib.sha256(registry.files["/v2/library/small/manifests/135m"]).hexdigest()
    assert ours["small:135m"] == expected and list(theirs.values()) == [expected]


def test_ollamas_own_puller_fetches_all_of_it_from_the_mirror(engine: Engine, registry: Registry) -> None:
    """With nothing in the store: manifest, blobs, ranges, digests, as for the library itself."""
    engine.ask("POST", "/api/pull", model=f"{registry.url}/library/small:135m", insecure=True)
    engine.ask(
        "POST", "/api/copy", source=f"{registry.url.removeprefix('http://')}/library/small:135m",
        destination="small:135m",
    )  # fmt: skip
    blobs = {path.name for path in (engine.store.root / "blobs").iterdir()}
    registry.requests.clear()
    done = engine.provision()

    assert not [path for path, _ in registry.requests if "/blobs/" in path], "what Ollama pulled is used as it is"
    assert blobs < {path.name for path in (engine.store.root / "blobs").iterdir()}
    assert "Paris" in engine.says(done.models[0]["name"])


def test_the_served_model_has_our_context_and_keeps_the_librarys_parameters(engine: Engine) -> None:
    done = engine.provision()
    shown = engine.ask("POST", "/api/show", model="gridtie/small:135m")
    parameters = dict(line.split() for line in shown["parameters"].splitlines())

    assert parameters == {"num_ctx": "8192", "temperature": "0.2"}
    assert engine.listed()["gridtie/small:135m"] == done.models[0]["digest"]


def test_another_context_is_another_model_of_the_same_file(engine: Engine) -> None:
    engine.provision()
    before = engine.listed()
    tight = replace(AMPLE, available=240 << 20)
    pin = Pin(manifest=before["small:135m"].partition(":")[2])
    catalogue = engine.order.catalogue.models["small:135m"]
    shorter = replace(catalogue, shape=replace(catalogue.shape, context_length=2048))
    engine.provision(
        catalogue=Catalogue({"small:135m": shorter}), choose_again=True, budget=lambda: tight, lock={"small:135m": pin},
        means=replace(engine.order.means, registry="http://127.0.0.1:9"),
    )  # fmt: skip
    loaded = engine.ask("GET", "/api/ps")["models"]

    assert engine.listed()["gridtie/small:135m"] != before["gridtie/small:135m"]
    assert [each["context_length"] for each in loaded if each["name"] == "gridtie/small:135m"] == [2048]


def test_a_gguf_file_is_imported_and_answers(engine: Engine, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(weights.read_bytes())
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    engine.provision(models=[{"name": "mine:1", "gguf": str(tmp_path / "mine.gguf"), "sha256": sha256}])

    assert "gridtie/mine:1" in engine.listed()
    assert "Paris" in engine.says("gridtie/mine:1")


def test_a_gguf_that_lists_and_does_not_run_is_an_error(engine: Engine, weights: Path, tmp_path: Path) -> None:
    """A tensor has a name that llama.cpp does not look for: everything but the engine takes the file for a model."""
    content = weights.read_bytes().replace(b"output_norm.weight", b"output_form.weight", 1)
    (tmp_path / "odd.gguf").write_bytes(content)
    entry = {"name": "odd:1", "gguf": str(tmp_path / "odd.gguf"), "sha256": hashlib.sha256(content).hexdigest()}

    with pytest.raises(InstallError, match=r"gridtie/odd:1 is whole .* and does not run: "):
        engine.provision(models=[entry])
    assert "gridtie/odd:1" not in engine.listed()


def test_an_engine_without_a_network_is_stocked_from_a_copy_and_answers(
    engine: Engine, station: Station, registry: Registry, tmp_path: Path
) -> None:
    first = engine.provision().models[0]
    copy = tmp_path / "copy.tar"
    export(engine.store, chosen(engine.store, []), copy, lambda line: None)
    with serving() as empty, running(station, tmp_path / "other", empty) as other:
        done = other.provision(seed=copy, probe=lambda: {"ollama": "there is no network"})

        assert other.listed()["gridtie/small:135m"] == first["digest"] == done.models[0]["digest"]
        assert "Paris" in other.says("gridtie/small:135m")
        assert not empty.requests


def test_pruning_takes_ours_and_leaves_a_persons_copy_running(engine: Engine, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(weights.read_bytes())
    other = weights.read_bytes()
    entry = {"name": "mine:1", "gguf": str(tmp_path / "mine.gguf"), "sha256": hashlib.sha256(other).hexdigest()}
    engine.provision(models=[entry])
    engine.ask("POST", "/api/copy", source="gridtie/mine:1", destination="persons:1")
    done = engine.provision(models="auto", prune=True)

    assert sorted(engine.listed()) == ["gridtie/small:135m", "persons:1", "small:135m"]
    assert any(remark.startswith("removed: gridtie/mine:1 (") for remark in done.remarks)
    assert "Paris" in engine.says("persons:1")


def test_what_is_no_longer_declared_leaves_ollamas_memory(engine: Engine, weights: Path, tmp_path: Path) -> None:
    """It was counted against the next model for as long as Ollama kept it."""
    (tmp_path / "mine.gguf").write_bytes(weights.read_bytes())
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    engine.provision(models=[{"name": "mine:1", "gguf": str(tmp_path / "mine.gguf"), "sha256": sha256}])
    engine.says("gridtie/mine:1")
    assert "gridtie/mine:1" in {each["name"] for each in engine.ask("GET", "/api/ps")["models"]}
    done = engine.provision(models="auto", prune=True)

    assert "no longer declared, unloaded from the engine: gridtie/mine:1" in done.remarks
    assert "gridtie/mine:1" not in {each["name"] for each in engine.ask("GET", "/api/ps")["models"]}


def test_a_context_that_was_named_is_the_one_that_is_reserved(engine: Engine) -> None:
    done = engine.provision(models=[{"name": "small:135m", "context": 3072}])
    engine.says("gridtie/small:135m")
    loaded = {each["name"]: each["context_length"] for each in engine.ask("GET", "/api/ps")["models"]}

    assert (done.models[0]["context"], loaded["gridtie/small:135m"]) == (3072, 3072)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(url: str, name: str, limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            if httpx.get(url + "/api/version").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is not ready: {docker.logs(name, tail=20)}")
        time.sleep(0.2)
