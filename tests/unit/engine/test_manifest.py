"""`embedded.json`: which models the embedded engine serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gridtie_engine.manifest import ManifestError, Model, read


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "gridtie/a:1b", "path": "embedded/a.gguf", "port": 8080, "context": 4096, **changes}


def written(directory: Path, content: Any) -> Path:
    file = directory / "embedded.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_path_is_relative_to_the_file(tmp_path: Path) -> None:
    models = read(written(tmp_path, [entry(digest="sha256:00", parallel=2)]))

    assert models == {"gridtie/a:1b": Model("gridtie/a:1b", tmp_path / "embedded/a.gguf", 8080, 4096, parallel=2)}


def test_every_slot_gets_the_whole_context_and_nothing_is_cut(tmp_path: Path) -> None:
    line = " ".join(Model("gridtie/a:1b", tmp_path / "a.gguf", 8080, 4096, parallel=2).arguments())

    assert "-c 8192 -np 2" in line
    assert "--context-shift" not in line


def test_a_model_listens_where_its_entry_says(tmp_path: Path) -> None:
    models = read(written(tmp_path, [entry(), entry(name="gridtie/b:1b", port=8081, host="127.0.0.1")]))
    lines = [" ".join(model.arguments()) for model in models.values()]

    assert ["--host 0.0.0.0" in lines[0], "--host 127.0.0.1" in lines[1]] == [True, True]


def test_a_model_for_embeddings_is_started_as_one(tmp_path: Path) -> None:
    models = read(written(tmp_path, [entry(embedding=True), entry(name="gridtie/b:1b", port=8081)]))

    assert ["--embedding" in list(model.arguments()) for model in models.values()] == [True, False]


def test_no_file_means_no_model_yet(tmp_path: Path) -> None:
    assert read(tmp_path / "embedded.json") == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[{", "not JSON"),
        ({"models": []}, "a list of models expected, dict found"),
        (["a"], "entry 0: an object expected, str found"),
        ([{"name": "a"}], "entry 0: .* is missing"),
        ([entry(port="8080")], "port: int expected, '8080' found"),
        ([entry(context=0)], "context: at least 1 expected, 0 found"),
        ([entry(embedding=1)], "embedding: bool expected, 1 found"),
        ([entry(parallel=True)], "parallel: int expected, True found"),
        ([entry(), entry(port=8081)], "entry 1: the name gridtie/a:1b is taken"),
        ([entry(), entry(name="gridtie/b:1b")], "entry 1: port 8080 is taken by gridtie/a:1b"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        read(written(tmp_path, content))
