"""The catalogue's files are read strictly, and errors lead to the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.catalogue import CatalogueFileError, load, load_documents, load_lock
from gridtie.host.catalogue import PackageSource, parse, parse_lock

CONFIG = Path(__file__).parents[3] / "config"

MODEL = """schema: 1
models:
  - name: tiny:1b
    title: Tiny
    maker: Nobody
    license: {id: Apache-2.0, commercial: true}
    parameters: 1000
    shape:
      architecture: llama
      context_length: 8192
      block_count: 2
      embedding_length: 64
      feed_forward_length: 128
      head_count: 4
      head_count_kv: 2
      key_length: 16
      value_length: 16
      vocab_size: 100
    file: {bytes: 1000, size: exact, quantisation: Q4_0}
    scores:
      - {benchmark: humaneval, value: 12.5, source: maker, date: 2026-11}
    capabilities: [chat]
    purposes: [code]
    sources:
      - ollama: tiny:1b
"""

MISSION = (
    *("codellama:7b", "codellama:13b", "codellama:34b", "codellama:70b"),
    *("deepseek-coder:1.3b", "deepseek-coder:6.7b", "deepseek-coder:33b", "deepseek-coder-v2:16b"),
    *(f"qwen2.5-coder:{size}b" for size in ("0.5", "1.5", "3", "7", "14", "32")),
    *("qwen3-coder:30b", "llama3:8b", "llama3:70b", "llama3.1:8b", "llama3.1:70b"),
    *("llama3.2:1b", "llama3.2:3b", "llama3.3:70b", "smollm2:135m"),
)


def broken(tmp_path: Path, old: str, new: str) -> str:
    """The message that the loader has for MODEL with one thing replaced."""
    assert old in MODEL
    path = tmp_path / "models.yaml"
    path.write_text(MODEL.replace(old, new, 1))
    with pytest.raises(CatalogueFileError) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize("name", MISSION)
def test_the_catalogue_has_every_model_of_the_mission(name: str) -> None:
    assert name in load(CONFIG / "models.yaml").models


def test_the_lock_pins_the_small_model_by_wheel_and_file() -> None:
    catalogue, lock = load(CONFIG / "models.yaml"), load_lock(CONFIG / "models.lock.yaml")

    assert isinstance(catalogue.models["smollm2:135m"].sources[0], PackageSource)
    assert lock["smollm2:135m"].gguf.startswith("b179c952") and lock["smollm2:135m"].package


def test_the_lock_names_only_models_of_the_catalogue() -> None:
    assert load_lock(CONFIG / "models.lock.yaml").keys() <= load(CONFIG / "models.yaml").models.keys()


def test_a_host_gets_the_same_catalogue_as_plain_documents() -> None:
    documents = load_documents(CONFIG / "models.yaml", CONFIG / "models.lock.yaml")

    assert parse(documents["catalogue"]) == load(CONFIG / "models.yaml")
    assert parse_lock(documents["lock"]) == load_lock(CONFIG / "models.lock.yaml")


def test_a_licence_that_forbids_commercial_use_is_marked() -> None:
    forbidden = [m.name for m in load(CONFIG / "models.yaml").models.values() if not m.license.commercial]

    assert forbidden == ["qwen2.5-coder:3b"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "block_count: 2",
            "block_cuont: 2",
            ":11: models[0].shape.block_cuont: unknown key; did you mean 'block_count'",
        ),
        ("      block_count: 2\n", "", ":8: models[0].shape: the key 'block_count' is missing"),
        ("block_count: 2", "block_count: two", ":11: models[0].shape.block_count: a whole number was expected"),
        ("block_count: 2", "block_count: true", ":11: models[0].shape.block_count: a whole number was expected"),
        ("head_count_kv: 2", "head_count_kv: 3", ":15: models[0].shape.head_count_kv: 4 heads cannot share 3"),
        ("      feed_forward_length: 128\n", "", ":8: models[0].shape: the key 'feed_forward_length' is missing"),
        ("commercial: true", "commercial: yes please", ":6: models[0].license.commercial: true or false was expected"),
        (
            "size: exact",
            "size: roughly",
            ":19: models[0].file.size: 'roughly' is not one of exact, published, estimated",
        ),
        ("value: 12.5", "value: 125", ":21: models[0].scores[0].value: a percentage from 0 to 100"),
        ("value: 12.5", "value: 12.5, worth: 1", ":21: models[0].scores[0].worth: unknown key"),
        ("date: 2026-11", "date: autumn", ":21: models[0].scores[0].date: a date in quotes"),
        ("benchmark: humaneval", "benchmark: assigned", ":21: models[0].scores[0].benchmark: 'assigned' is not one of"),
        ("[chat]", "[chat, cook]", ":22: models[0].capabilities: 'cook' is not one of"),
        ("ollama: tiny:1b", "ollame: tiny:1b", ":25: models[0].sources[0]: one of ollama, package, gguf was expected"),
        ("name: tiny:1b", "name: ../tiny", ":3: models[0].name: '../tiny' is not of the form model:tag"),
        ("name: tiny:1b", "name: tiny:1b-cloud", ":3: models[0].name: 'tiny:1b-cloud' ends in `cloud`"),
        ("ollama: tiny:1b", "ollama: tiny:Cloud", ":25: models[0].sources[0].ollama: 'tiny:Cloud' ends in `cloud`"),
        ("schema: 1", "schema: 2", ":1: schema: this program reads schema 1"),
        ("title: Tiny", "title: Tiny\n    title: Twice", ":5: the key 'title' is there twice"),
        ("[chat]", "[chat", ":"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in broken(tmp_path, old, new)


def test_a_model_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(MODEL + MODEL.split("models:\n")[1])

    with pytest.raises(CatalogueFileError, match=r"models\[1\]\.name: 'tiny:1b' is there twice"):
        load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueFileError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


def test_a_pin_that_is_no_sha256_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock.yaml"
    path.write_text("schema: 1\nmodels:\n  tiny:1b:\n    gguf: abc\n")

    with pytest.raises(CatalogueFileError, match=r"lock\.yaml:4: models\.tiny:1b\.gguf: 64 lower-case hexadecimal"):
        load_lock(path)
